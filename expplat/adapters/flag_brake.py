"""The emergency brake of the flags: a file a slug, which works while the database is away."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from expplat.adapters.durable import replace_file
from expplat.domain.proposal_rules import SLUG_PATTERN
from expplat.errors import DependencyError, InputError
from expplat.flow.ports import Brake

SLUG = re.compile(SLUG_PATTERN)


class FlagBrake:
    """Holds flags closed by files in a folder, whoever reads or writes it.

    That the file is there is what closes the flag; what it says is since when, and in which online
    test. So a file that was torn, or made by hand with `touch`, closes too.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def close(self, slug: str, at: datetime, phase: int | None = None) -> None:
        """Serve control to everyone, at once; on disk when this returns.

        Args:
            slug: Whose flag.
            at: Since when.
            phase: The online test that is stopped; None where that is not known.

        Raises:
            InputError: If the slug is none.
            DependencyError: If the folder cannot be written.
        """
        place = self._place(slug)
        with _told("written", self._folder):
            stated = "" if phase is None else f"{phase}"
            replace_file(place, f"{at.astimezone(UTC).isoformat()}\n{stated}")

    def closed(self) -> Mapping[str, Brake]:
        """Return the brakes that are on, by slug.

        Raises:
            DependencyError: If the folder or a file in it cannot be read; then treat every flag
                as closed.
        """
        with _told("read", self._folder):
            return {file.name: brake for file in self._files() if (brake := _brake(file))}

    def _files(self) -> list[Path]:
        try:
            return sorted(file for file in self._folder.iterdir() if SLUG.fullmatch(file.name))
        except FileNotFoundError:
            return []

    def _place(self, slug: str) -> Path:
        if not SLUG.fullmatch(slug):
            raise InputError(
                f"{slug!r} is not the name of a POC.",
                hint="Names are made of lower-case letters, digits and underscores.",
            )
        return self._folder / slug


@contextmanager
def _told(what: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DependencyError(
            f"The emergency brake in {folder} cannot be {what}: {error.strerror or error}.",
            hint="Look at the rights and the space of the folder.",
        ) from error


def _brake(file: Path) -> Brake | None:
    """Return what the file says; None where it was taken away in this moment."""
    try:
        content = file.read_bytes()
        changed = file.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        since, phase = content.decode().split("\n")
        return Brake(datetime.fromisoformat(since).astimezone(UTC), int(phase) if phase else None)
    except ValueError:
        return Brake(datetime.fromtimestamp(changed, UTC))
