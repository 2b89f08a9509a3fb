"""The nn.Module classes behind the model definitions."""
