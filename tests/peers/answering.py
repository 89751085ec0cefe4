"""What every `ask_<peer>.py` does: questions from stdin, answers with the peer's version to stdout.

The scripts run inside the peers' own environment, and know nothing of expplat.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

Questions = Mapping[str, Any]


def answer(package: str, ask: Callable[[Questions], object]) -> None:
    """Ask one peer everything."""
    answers = ask(json.load(sys.stdin))
    found = {"package": package, "version": version(package), "answers": plain(answers)}
    json.dump(found, sys.stdout, indent=1, sort_keys=True, allow_nan=False)
    sys.stdout.write("\n")


def plain(value: Any) -> Any:
    """Numbers of any library as numbers of Python; None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, str):
        return value
    return float(value) if math.isfinite(value) else None
