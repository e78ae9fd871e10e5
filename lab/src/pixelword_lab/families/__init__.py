"""One file a family of tasks; see `pixelword_lab.family`."""
