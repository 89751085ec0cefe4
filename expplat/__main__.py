"""`python -m expplat`: the command line."""

from expplat.cli import main

main()
