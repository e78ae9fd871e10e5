"""The model inside other people's programs. Each room is imported only by its program, and needs its own packages."""
