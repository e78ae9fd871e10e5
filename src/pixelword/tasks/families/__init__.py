"""One file a family of tasks; see `tasks.family`."""
