"""Bodies of requests: of a known type, unpacked with care, and no larger than agreed.

413 for what is too large, 415 for what is of another type or packing, 400 for what cannot be read.
The server itself refuses a body of over a megabyte before it is read.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from fastapi import Request
from starlette.exceptions import HTTPException

MAX_UNPACKED_BYTES = 5_000_000
MAX_PARTS = 16
"""Of a gzip: each costs a copy of what comes after it."""

MAX_EVENTS = 5_000
MAX_DEPTH = 32
"""Of a body that is evaluated."""


@dataclass(frozen=True, slots=True)
class Body:
    """A body as it came."""

    content: bytes
    media_type: str
    """Without parameters, in small letters."""

    is_gzipped: bool

    def unpacked(self) -> bytes:
        """Return the content, unpacked where it is gzipped."""
        return unpack(self.content) if self.is_gzipped else self.content


async def read_body(request: Request, media_types: Sequence[str]) -> Body:
    """Return the body of a request; one that names no type is of the first of `media_types`."""
    named = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if named and named not in media_types:
        detail = f"The body is {named[:100]!a}; send {' or '.join(media_types)}."
        raise HTTPException(415, detail, {"Accept": ", ".join(media_types)})
    packing = request.headers.get("content-encoding", "").strip().lower() or "identity"
    if packing not in ("identity", "gzip"):
        raise HTTPException(415, "Send the body gzipped or plain.", {"Accept-Encoding": "gzip"})
    return Body(await request.body(), named or media_types[0], packing == "gzip")


def unpack(content: bytes) -> bytes:
    """Return what was gzipped, at most five megabytes; 413 for more, 400 for other bytes."""
    parts: list[bytes] = []
    room = MAX_UNPACKED_BYTES
    while content:  # a gzip may be several, one after the other
        if len(parts) == MAX_PARTS:
            raise HTTPException(400, f"The gzip has over {MAX_PARTS} parts.")
        inflater = zlib.decompressobj(wbits=31)
        try:
            parts.append(inflater.decompress(content, room + 1))
        except zlib.error as error:
            raise HTTPException(400, "The body is not gzip.") from error
        room -= len(parts[-1])
        if room < 0:
            raise HTTPException(413, f"Unpacked, the body is over {MAX_UNPACKED_BYTES} bytes.")
        if not inflater.eof:
            raise HTTPException(400, "The gzip is cut off.")
        content = inflater.unused_data
    return b"".join(parts)


def read_json(content: bytes) -> object:
    """Return what a JSON text says; 400 for anything else, NaN and Infinity among it."""
    try:
        document: object = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "The body is not JSON.") from error
    return document


def read_object(content: bytes) -> dict[str, Any]:
    """Return the JSON object of a body that is worked with at once: finite, and not too deep.

    Raises:
        ValueError: If it is none, or holds what other programs cannot read.
    """
    try:
        document = json.loads(content, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("The body is nested too deep.") from error
    except ValueError as error:
        raise ValueError("The body is not JSON.") from error
    if not isinstance(document, dict):
        raise ValueError("The body is not a JSON object.")
    if _depth(document) > MAX_DEPTH:
        raise ValueError("The body is nested too deep.")
    return document


def batch_of(document: object) -> list[object]:
    """Return the events of an object with `batch`, of an array, or the one event that it is."""
    if isinstance(document, dict):
        document = document.get("batch", [document])
    if not isinstance(document, list):
        raise HTTPException(400, "Send an object with `batch`, an array of events, or one event.")
    must_be_few(len(document))
    return document


def must_be_few(events: int, most: int = MAX_EVENTS) -> None:
    """Refuse a batch of more events with 413."""
    if events > most:
        raise HTTPException(413, f"A batch has at most {most} events.")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


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


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError("too large a number")
    return value
