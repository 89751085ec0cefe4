"""Every command that a page shows is one that the product has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from expplat.cli._main import app
from tests.docs.doc_blocks import ROOT, blocks, pages, typed

INLINE = re.compile(r"`(expplat(?: [^`\n]+)?)`")
MAKE = re.compile(r"^(?:\$ )?make ([a-z-]+)|`make ([a-z-]+)`", re.MULTILINE)
ENDS = frozenset({"|", "&", "&&", ";", ">", "2>"})
WITHOUT_ARGUMENTS = ("--help", "--version")


class Shown(NamedTuple):
    """A command as a page shows it."""

    page: Path
    words: tuple[str, ...]


def test_every_command_shown_is_a_real_one_with_real_options() -> None:
    found = [fault for shown in _shown_commands() for fault in _faults(shown)]

    assert found == []


def test_a_wrong_command_or_option_is_found() -> None:
    page = ROOT / "README.md"

    assert list(_faults(Shown(page, ("promot", "my_poc"))))
    assert list(_faults(Shown(page, ("promote", "my_poc", "--force"))))
    assert list(_faults(Shown(page, ("keys", "create", "--sort", "client"))))
    assert not list(_faults(Shown(page, ("keys", "create", "--kind", "client"))))


def test_every_command_there_is_stands_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")

    missing = [
        name for name in _paths(_root()) if f"## `{' '.join(('expplat', *name))}`" not in text
    ]

    assert missing == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_shown_is_in_the_makefile(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))

    shown = {one or other for one, other in MAKE.findall(page.read_text(encoding="utf-8"))}

    assert shown <= targets


def _shown_commands() -> Iterator[Shown]:
    for page in pages():
        for block in blocks(page):
            if block.language == "console":
                for one in typed(block):
                    yield from _in_line(page, one.command)
        for inline in INLINE.findall(page.read_text(encoding="utf-8")):
            yield from _in_line(page, inline)


def _in_line(page: Path, line: str) -> Iterator[Shown]:
    """Give the calls of expplat in a line of shell, also those in `$(…)`."""
    words = shlex.split(line.replace("$(", " ").replace(")", " "), comments=True)
    for place, word in enumerate(words):
        if word == "expplat" or word.endswith("/expplat"):
            rest = words[place + 1 :]
            end = next((at for at, other in enumerate(rest) if other in ENDS), len(rest))
            yield Shown(page, tuple(word.rstrip(",") for word in rest[:end]))


def _faults(shown: Shown) -> Iterator[str]:
    command, words = _root(), list(shown.words)
    place = shown.page.name
    while getattr(command, "commands", None) and words and not words[0].startswith("-"):
        name = words.pop(0)
        # A verb may be left open, as in `db upgrade|check`.
        choices = name.split("|")
        if any(choice not in command.commands for choice in choices):
            yield f"{place}: there is no command {name!r} in `expplat {' '.join(shown.words)}`"
            return
        command = command.commands[choices[0]]
    options = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    for word in words:
        if word.startswith("-") and word.split("=")[0] not in {*options, *WITHOUT_ARGUMENTS}:
            yield f"{place}: {word} is no option of `expplat {' '.join(shown.words)}`"


def _paths(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from _paths(inner, (*words, name))


@cache
def _root() -> Any:
    return typer.main.get_command(app)
