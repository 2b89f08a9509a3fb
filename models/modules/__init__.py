"""The nn.Module classes of the models."""
