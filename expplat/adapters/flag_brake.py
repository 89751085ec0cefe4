"""The emergency brake of the flags: a file a slug, which works while the database is away."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from expplat.adapters.durable import sync_folder
from expplat.domain.proposal_rules import SLUG_PATTERN
from expplat.errors import DependencyError, InputError

SLUG = re.compile(SLUG_PATTERN)


class FlagBrake:
    """Holds flags closed by files in a folder, whoever reads or writes it.

    That the file is there is what closes the flag; what it says is since when. So a file that was
    torn, or made by hand with `touch`, closes too.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def close(self, slug: str, at: datetime) -> None:
        """Serve control to everyone, at once; on disk when this returns.

        Raises:
            InputError: If the slug is none.
            DependencyError: If the folder cannot be written.
        """
        place = self._place(slug)
        with _told("written", self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = self._folder / f".{slug}.{uuid.uuid4().hex}"
            try:
                _write_through(fresh, at.astimezone(UTC).isoformat())
                fresh.replace(place)
            finally:
                fresh.unlink(missing_ok=True)
            sync_folder(self._folder)

    def release(self, slug: str) -> None:
        """Let the flag follow the database again.

        Raises:
            InputError: If the slug is none.
            DependencyError: If the folder cannot be written.
        """
        place = self._place(slug)
        with _told("written", self._folder), suppress(FileNotFoundError):
            place.unlink()
            sync_folder(self._folder)

    def closed(self) -> Mapping[str, datetime]:
        """Return the slugs that are held closed, and since when.

        Raises:
            DependencyError: If the folder or a file in it cannot be read; then treat every flag
                as closed.
        """
        with _told("read", self._folder):
            return {file.name: since for file in self._files() if (since := _since(file))}

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


def _since(file: Path) -> datetime | None:
    """Return when the file was written; None where it was released in this moment."""
    try:
        content = file.read_bytes()
        changed = file.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        return datetime.fromisoformat(content.decode()).astimezone(UTC)
    except ValueError:
        return datetime.fromtimestamp(changed, UTC)


def _write_through(file: Path, content: str) -> None:
    descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
