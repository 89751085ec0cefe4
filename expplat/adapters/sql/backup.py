"""Copies a whole database into one file that only its owner may read."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import URL

from expplat.adapters.durable import sync_folder
from expplat.adapters.sql.engine import database_file, parse_url
from expplat.adapters.sql.failures import shown, translated
from expplat.adapters.sql.tables import schema
from expplat.errors import DatabaseError, DependencyError, InputError
from expplat.flow.ports import Progress

PAGES_AT_ONCE = 2_000
"""Pages of a SQLite between two reports of progress; 8 MB."""

POLL_S = 0.5
"""Seconds between two reports of how much was dumped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A copy that was checked."""

    file: Path
    size_bytes: int
    is_counted: bool
    """Whether its rows were counted against those of the database, in one state of it."""


def backup(url: str, file: Path, progress: Progress) -> Backup:
    """Copy a database while it is in use; the copy is one state of it.

    A SQLite is copied page by page, checked for its integrity, and counted. A PostgreSQL is dumped
    by `pg_dump` in its custom format, for `pg_restore`.

    Args:
        url: Of the database.
        file: Where the copy goes; it and its folder are made for their owner alone.
        progress: Told pages of a SQLite, done and in all; of a PostgreSQL bytes, without an end.

    Raises:
        InputError: If the file is there already.
        DatabaseError: If the database cannot be read, or the copy is not sound.
        DependencyError: If there is no `pg_dump`.
    """
    address = parse_url(url)
    source = database_file(address)
    with _fresh(file) as part:
        if source is None:
            _dump(address, part, progress)
        else:
            _copy(address, source, part, progress)
        size = part.stat().st_size
    return Backup(file=file, size_bytes=size, is_counted=source is not None)


def backup_name(url: str, revision: str | None, now: datetime) -> str:
    """Return what to call a backup that is made now."""
    ending = "dump" if database_file(parse_url(url)) is None else "db"
    return f"expplat-{now:%Y%m%dT%H%M%SZ}-{revision or 'empty'}.{ending}"


@contextmanager
def _fresh(file: Path) -> Iterator[Path]:
    """Yield a file beside `file`; give it that name once it is whole and on the disk.

    What a kill leaves behind is in nobody's way: no two copies are written under the same name.
    """
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")
    with _writing(file):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if file.exists():
            raise FileExistsError
        _make(part)
    try:
        yield part
        with _writing(file):
            with part.open("rb") as written:
                os.fsync(written.fileno())
            _name(part, file)
            sync_folder(file.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    """Put it to the user where a file is there already, or cannot be written."""
    try:
        yield
    except FileExistsError:
        raise InputError(f"{file} is there already.", hint="Name another file.") from None
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}.") from error


def _name(part: Path, file: Path) -> None:
    """Give a copy its name, and replace nothing.

    Raises:
        FileExistsError: If the name is taken.
    """
    try:
        os.link(part, file)  # unlike a renaming, it replaces nothing
    except FileExistsError:
        raise
    except OSError:  # vfat, exFAT and SMB know no second name of a file
        _make(file)
        part.replace(file)


def _make(file: Path) -> None:
    """Make an empty file for its owner alone; a name that is taken is a FileExistsError."""
    os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _copy(address: URL, source: Path, part: Path, progress: Progress) -> None:
    if not source.exists():
        raise DatabaseError(f"There is no file {source}.", hint="Is EXPPLAT_DATABASE_URL right?")
    uri = f"{source.absolute().as_uri()}?mode=rw"
    try:
        with (
            closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as original,
            closing(sqlite3.connect(part, isolation_level=None)) as copy,
        ):
            # One transaction around it all: writers go on, and the copy and the counts see none.
            original.execute("BEGIN")
            counts = _counts(original)
            original.backup(
                copy,
                pages=PAGES_AT_ONCE,
                sleep=0,
                progress=lambda _, left, pages: progress(pages - left, pages),
            )
            found = [row[0] for row in copy.execute("PRAGMA integrity_check")]
            is_equal = _counts(copy) == counts
    except sqlite3.Error as error:
        raise translated(error, address) from error
    if found != ["ok"] or not is_equal:
        raise DatabaseError(
            f"The copy is not sound: {found[0] if found != ['ok'] else 'rows are missing'}.",
            hint="The database itself is damaged; `expplat doctor` says more. Nothing was kept.",
        )


def _counts(connection: sqlite3.Connection) -> dict[str, int]:
    there = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
    return {
        name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608 - ours
        for name in schema.tables
        if name in there
    }


def _dump(address: URL, part: Path, progress: Progress) -> None:
    program = shutil.which("pg_dump")
    if program is None:
        raise DependencyError(
            "There is no pg_dump on this machine.",
            hint="Install the client programs of PostgreSQL, of the server's version or newer.",
        )
    target = address.set(drivername="postgresql", password=None)
    # In the environment, because anybody on the machine can read the arguments of a process.
    secret = {"PGPASSWORD": address.password} if address.password else {}
    arguments = ["--format=custom", "--no-password", f"--file={part}"]
    dump = subprocess.Popen(  # noqa: S603 - no shell, and the address was parsed
        [program, *arguments, f"--dbname={target.render_as_string()}"],
        env=os.environ | secret,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with dump:
        complaint = _follow(dump, part, progress)
    if dump.returncode:
        lines = complaint.strip().splitlines() or [f"it ended with {dump.returncode}"]
        raise DatabaseError(
            f"pg_dump failed: {lines[0].removeprefix('pg_dump: ').removeprefix('error: ')}.",
            hint=f"The database is {shown(address)}. Nothing was kept.",
        )


def _follow(dump: subprocess.Popen[str], part: Path, progress: Progress) -> str:
    """Report until it has ended; return what it complained of."""
    while True:
        try:
            _, complaint = dump.communicate(timeout=POLL_S)
        except subprocess.TimeoutExpired:
            progress(part.stat().st_size, 0)
        else:
            return complaint
