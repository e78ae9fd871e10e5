"""Many inputs, one line of output for each, on this machine: `pixelword batch`."""
