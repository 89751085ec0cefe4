"""Names and texts in the form that MLflow keeps as they are."""

from __future__ import annotations

import hashlib
import posixpath
import re

LONGEST_NAME = 250

_REFUSED_IN_NAMES = re.compile(r"[^\w\-. :/]", re.ASCII)
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def safe_name(name: str) -> str:
    """Return the name where MLflow takes it, else a readable stand-in that is the same every time.

    The stand-in ends in eight characters of the name's SHA-256, so two names never meet in one.
    """
    is_path = posixpath.normpath(name) == name and not name.startswith(("/", ".."))
    if name and is_path and len(name) <= LONGEST_NAME and not _REFUSED_IN_NAMES.search(name):
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    cleaned = _REFUSED_IN_NAMES.sub("_", name).replace("..", "__").strip("/")
    cleaned = re.sub(r"/(\./|/)+", "/", cleaned)
    return f"{cleaned[: LONGEST_NAME - 9].rstrip('/')}-{digest}".lstrip("/")


def segment_name(segment: str) -> str:
    """Return a segment such as `topic=syntax` as one readable part of a name: `topic:syntax`.

    MLflow refuses `=`. What holds more than one, or a `:` or `/` of its own, becomes a stand-in, so
    that two segments never meet in one name.
    """
    key, _, value = segment.partition("=")
    readable = f"{key}:{value}"
    if not re.search(r"[:=/]", key + value) and safe_name(readable) == readable:
        return readable
    return safe_name(segment).replace("/", "_")


def cut(text: str, limit: int) -> str:
    """Return the text without control characters, and where it is too long cut with a note."""
    clean = _CONTROL_CHARACTERS.sub(" ", text.encode(errors="replace").decode())
    if len(clean) <= limit:
        return clean
    note = f" … (cut; the whole text is {len(clean)} characters)"
    return clean[: limit - len(note)] + note


def first_line(error: Exception) -> str:
    """Say what happened without a traceback, and without a password that an address may hold."""
    lines = re.sub(r"//[^/@\s]+@", "//", str(error)).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
