"""What training costs: floating-point operations, memory, hardware, time."""
