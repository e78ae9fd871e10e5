"""`python -m pixelword`, and `torchrun -m pixelword`: the command line."""

from pixelword.cli import main

main()
