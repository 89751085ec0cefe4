"""Reads the documentation: its pages, their fenced blocks, and the commands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

FENCE = re.compile(
    r"(?:^<!-- (?P<note>.*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
"""A fenced block, with the comment that stands on the line before it."""

EXIT = re.compile(r"\s+# exit (?P<status>\d+)$")
"""At the end of a typed line: the status that the command ends with; 0 where there is none."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    note: str
    """Text of the HTML comment before the block, such as `file: service.py`."""

    text: str


@dataclass(frozen=True)
class Typed:
    """A line that a reader types, and what the page says follows."""

    line: int
    command: str
    status: int
    answers: tuple[str, ...]


def pages() -> list[Path]:
    """Return every page of the documentation."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """Give the fenced blocks of a page, in order."""
    content = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(content):
        line = content.count("\n", 0, found.start("text")) + 1
        note, language = found["note"] or "", found["language"]
        yield Block(page=page, line=line, language=language, note=note, text=found["text"])


def typed(block: Block) -> Iterator[Typed]:
    r"""Give the lines of a console block that begin with `$`, with the answers below each.

    A line that ends with `\` goes on in the next.
    """
    command, answers, at = "", [], 0
    for number, line in enumerate([*block.text.splitlines(), "$ "], start=block.line):
        if command.endswith(" \\") and not line.startswith("$ "):
            command = f"{command[:-2]} {line.strip()}"
            continue
        if not line.startswith("$ "):
            answers.append(line)
            continue
        if command:
            found = EXIT.search(command)
            status = int(found["status"]) if found else 0
            yield Typed(at, EXIT.sub("", command), status, tuple(answers))
        command, answers, at = line.removeprefix("$ "), [], number
