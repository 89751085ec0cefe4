"""Floor 7: the command line. One file a command: words in, one call of the flow, words out."""

import sys


def main() -> None:
    """Run the command line; whoever interrupts it while it is loaded sees no traceback."""
    try:
        from expplat.cli._main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()
