"""What a model can do, measured the same way for every model."""
