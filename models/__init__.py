"""Settings of the recurrent encoders, without torch; their modules are in `models.modules`."""
