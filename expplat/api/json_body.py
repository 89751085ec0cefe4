"""Request bodies as JSON that can be worked with: no NaN, nothing infinite, nothing too deep."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

MAX_DEPTH = 32


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body.

    Raises:
        ValueError: If it is none, or holds what other programs cannot read.
    """
    try:
        document = json.loads(body, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("The body is nested too deep.") from error
    except ValueError as error:
        raise ValueError("The body is not JSON.") from error
    if not isinstance(document, dict):
        raise ValueError("The body is not a JSON object.")
    if _depth(document) > MAX_DEPTH:
        raise ValueError("The body is nested too deep.")
    return document


def _depth(document: object) -> int:
    # A loop, not a recursion: the depth is the sender's choice.
    deepest, waiting = 0, [(document, 1)]
    while waiting:
        value, depth = waiting.pop()
        deepest = max(deepest, depth)
        if isinstance(value, dict):
            waiting.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list):
            waiting.extend((item, depth + 1) for item in value)
    return deepest


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError("too large a number")
    return value
