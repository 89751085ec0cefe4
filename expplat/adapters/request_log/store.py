"""Finds and reads the files of a log in an object store, through the file systems of pyarrow."""

from __future__ import annotations

import fnmatch
import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from expplat.adapters.request_log.raw import LogFile, is_readable
from expplat.errors import DependencyError, InputError

READ_BYTES = 4 << 20
"""What is asked of a store at once: each request of it takes long, however little it brings."""

GIVE_UP_S = 20
"""Seconds after which Google's store counts as out of reach; its client would try for minutes."""

HINT = (
    "Credentials and the region are those of the environment, such as AWS_ACCESS_KEY_ID, "
    "AWS_REGION, GOOGLE_APPLICATION_CREDENTIALS or AZURE_CLIENT_ID."
)


def store_files(address: str) -> list[LogFile]:
    """Return the files of an address: a file, a glob with `*`, or a folder, sorted by path.

    Args:
        address: Such as `s3://bucket/logs/2026-*.parquet`; what follows a `?` are options of the
            store, such as `?endpoint_override=localhost:9000&scheme=http`.

    Raises:
        InputError: If the store is of no known kind, or holds no such file.
        DependencyError: If it cannot be reached, or refuses.
    """
    place, question, options = address.partition("?")
    if urlsplit(place).scheme in ("gs", "gcs") and "retry_limit_seconds" not in options:
        question, options = "?", f"{options}&retry_limit_seconds={GIVE_UP_S}".lstrip("&")
    plain, pattern = _split(place)
    with _said(place):
        store, path = _opened(f"{plain}{question}{options}", place)
        files = files_in(store, path, pattern)
    if not files:
        raise InputError(
            f"There is no request log at {place}.",
            hint="It may be a file, a folder, or a glob, such as s3://bucket/logs/*.parquet; "
            "the names end in .jsonl, .csv or .parquet.",
        )
    return files


def files_in(store: Any, path: str, pattern: str = "") -> list[LogFile]:
    """Return the files of a path in one of pyarrow's file systems; of a folder the readable ones.

    Args:
        store: Any of `pyarrow.fs`.
        path: A file or a folder.
        pattern: What the paths within the folder must look like; `*` also stands for folders.
    """
    from pyarrow.fs import FileSelector, FileType

    found = store.get_file_info(path)
    if found.type == FileType.File:
        return [_file(store, path)]
    if found.type != FileType.Directory:
        return []
    selector = FileSelector(path, allow_not_found=True, recursive="/" in pattern)
    paths = sorted(
        each.path for each in store.get_file_info(selector) if each.type == FileType.File
    )
    wanted = [each for each in paths if _fits(each, path, pattern)]
    return [_file(store, each) for each in wanted]


def _fits(path: str, folder: str, pattern: str) -> bool:
    within = path.removeprefix(folder.rstrip("/") + "/")
    if pattern:
        return fnmatch.fnmatchcase(within, pattern)
    return is_readable(path) and not within.startswith((".", "_"))


def _split(place: str) -> tuple[str, str]:
    """Return the folder above the first part that is a pattern, and the pattern."""
    parts = place.split("/")
    first = next((n for n, part in enumerate(parts) if "*" in part or "[" in part), len(parts))
    return "/".join(parts[:first]), "/".join(parts[first:])


def _opened(address: str, place: str) -> tuple[Any, str]:
    import pyarrow
    from pyarrow.fs import FileSystem

    try:
        store, path = FileSystem.from_uri(address)
    except pyarrow.ArrowInvalid as error:
        raise InputError(
            f"{place} is no address of a store: {_first_line(error)}",
            hint="Write s3://bucket/…, gs://bucket/…, abfs://container@account…, hdfs://host/… or "
            "file:///….",
        ) from error
    return store, path


def _file(store: Any, path: str) -> LogFile:
    return LogFile(path.rpartition("/")[2], partial(_open, store, path))


def _open(store: Any, path: str) -> BinaryIO:
    with _said(path):
        reader = _Reader(store.open_input_file(path), path)
    return cast("BinaryIO", io.BufferedReader(reader, READ_BYTES))


class _Reader(io.RawIOBase):
    """A file of a store: read in pieces, and clear about whose fault it is when that fails."""

    def __init__(self, content: Any, path: str) -> None:
        self._content = content
        self._path = path

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def seekable(self) -> bool:
        """Parquet files are read from their end."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, as far as the file goes."""
        with _said(self._path):
            return int(self._content.readinto(buffer))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, and say which."""
        with _said(self._path):
            self._content.seek(offset, whence)
            return int(self._content.tell())

    def tell(self) -> int:
        """Say where it stands."""
        return int(self._content.tell())

    def close(self) -> None:
        """Let go of it."""
        if not self.closed:
            self._content.close()
        super().close()


@contextmanager
def _said(place: str) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (OSError, pyarrow.ArrowException) as error:
        raise DependencyError(
            f"The store of {place} cannot be read: {_first_line(error)}", hint=HINT
        ) from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{lines[0][:300].rstrip('.')}."
