"""One trainer for all stages of all sizes: a stage is a recipe (data), never code."""
