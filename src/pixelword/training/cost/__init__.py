"""Cost of training: FLOPs, memory, hardware, time."""
