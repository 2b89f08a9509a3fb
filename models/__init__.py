"""Recurrent encoders: definitions only.

Each file here defines the settings of one family of models and imports no torch, so that the
command line reports mistakes at once. The `nn.Module` classes are in `models.modules`.
"""
