"""The nn.Module classes a task puts before and after the encoder."""
