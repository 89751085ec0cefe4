"""Text of a file, a log or a model as Markdown that shows it and does nothing else."""

from __future__ import annotations

import re

_MARKS = re.compile(r"([\\`*_\[\]|#!~])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"}
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)

APART = "\u200b"
"""Stands, without any width, where a sign would otherwise make a mention or an address."""

_ADDRESSES = re.compile(r"(?<!\w@)(?<=@)(?=\w)|(?<=:)(?=//)|(?<=\bwww)(?=\.)", re.IGNORECASE)


def cell(text: str, longest: int | None = None) -> str:
    """Return a text on one line, with nothing in it that Markdown or HTML would read as markup.

    No `@name` calls anybody, and no address becomes a link.

    Args:
        text: What somebody else wrote.
        longest: Characters that are kept of it; all where it is left out.
    """
    flat = " ".join(_INVISIBLE.sub(" ", text).split())
    if longest is not None and len(flat) > longest:
        flat = f"{flat[: longest - 1].rstrip()}…"
    escaped = "".join(_ENTITIES.get(letter, letter) for letter in _MARKS.sub(r"\\\1", flat))
    return _ADDRESSES.sub(APART, escaped)


def row(*cells: str, longest: int | None = None) -> str:
    """Return one row of a table, every cell escaped."""
    return f"| {' | '.join(cell(text, longest) for text in cells)} |"
