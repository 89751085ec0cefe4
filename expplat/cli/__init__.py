"""Floor 7: the command line. One file a command: words in, one call of the flow, words out."""

from expplat.cli._main import main

__all__ = ["main"]
