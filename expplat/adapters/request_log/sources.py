"""Finds the files of a request log: named, in a folder or an object store, or a query's rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expplat.adapters.request_log.raw import LogFile, is_readable
from expplat.domain.proposal import RequestLogSource
from expplat.errors import InputError

NO_STORE_HINT = "Fetch the files first, or name them without a query."


@contextmanager
def log_files(
    source: RequestLogSource, workspace: Path, draft: Path, kept: Path | None
) -> Iterator[list[LogFile]]:
    """Give the files of a log; the rows of a query are a file too.

    A query over files is run anew, so that a file that has changed is seen. A database is asked
    once: its rows are kept, for as long as the file `kept` is.

    Args:
        source: As the proposal names it.
        workspace: Where paths start.
        draft: A folder for rows that are not kept.
        kept: Where the rows of a database lie, or are to lie, once all is read; None keeps none.

    Raises:
        InputError: If there is no such file, it is of no known format, or the query is wrong.
        ConfigurationError: If the variable that names the database is not set.
        DependencyError: If a store or a database cannot be reached.
    """
    if not source.query:
        yield _named(source.path, workspace)
        return
    if not source.database_env:
        kept = None
    if kept is not None and kept.exists():
        yield [_local(kept)]
        return
    rows = draft / "query.parquet"
    try:
        yield [_local(_queried(source, workspace, rows))]
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            rows.replace(kept)
    finally:
        rows.unlink(missing_ok=True)


def name_of(source: RequestLogSource) -> str:
    """Return what a log is called in a sentence."""
    if not source.query:
        return source.path
    return f"The query {'over ' + source.path if source.path else 'in ' + source.database_env}"


def _named(path: str, workspace: Path) -> list[LogFile]:
    if not path:
        raise InputError(
            "The request log has neither a path nor a query.", hint="Write request_log.path."
        )
    if "://" in path:
        from expplat.adapters.request_log.store import store_files

        return store_files(path)
    return [_local(file) for file in _files(path, workspace)]


def _queried(source: RequestLogSource, workspace: Path, rows: Path) -> Path:
    from expplat.adapters.request_log.query import write_from_database, write_from_files

    mapped = source.columns.get
    names = mapped("request_id", "request_id"), mapped("cluster", "cluster")
    if source.database_env:
        write_from_database(source.query, source.database_env, rows, names)
    elif "://" in source.path:
        raise InputError(f"A query does not read {source.path}.", hint=NO_STORE_HINT)
    else:
        files = _files(source.path, workspace) if source.path else []
        write_from_files(source.query, _one_pattern(source.path, files, workspace), rows, names)
    return rows


def _one_pattern(path: str, files: list[Path], workspace: Path) -> tuple[Path, str | None]:
    """Return the workspace, and the one file or pattern that a query calls `data`."""
    if (workspace / path).is_dir() and files:
        endings = {file.suffix.lower() for file in files}
        if len(endings) > 1:
            raise InputError(
                f"A query does not read files of several formats, as in {path}.",
                hint=f"Name those of one, such as {path.rstrip('/')}/*{files[0].suffix}.",
            )
        return workspace, str(workspace / path / f"*{files[0].suffix}")
    return workspace, str(workspace / path) if files else None


def _local(file: Path) -> LogFile:
    return LogFile(file.name, lambda: file.open("rb"))


def _files(path: str, workspace: Path) -> list[Path]:
    """Return the files of a path, a glob or a folder, sorted by name."""
    if any(letter in path for letter in "*?[") and not (workspace / path).exists():
        absolute = Path(path)
        root = Path(absolute.anchor) if absolute.is_absolute() else workspace
        found = sorted(root.glob(str(absolute.relative_to(absolute.anchor))))
    elif (workspace / path).is_dir():
        return _files_in(workspace / path, path, workspace)
    else:
        found = [workspace / path]
    files = [file for file in found if file.is_file()]
    if not files:
        raise _absent(path, workspace)
    return files


def _files_in(folder: Path, path: str, workspace: Path) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if file.is_file())
    shown = [file for file in files if not file.name.startswith((".", "_"))]
    readable = [file for file in shown if is_readable(file.name)]
    if readable:
        return readable
    if not shown:
        raise _absent(path, workspace)
    raise InputError(
        f"No file in {path} is of a known format.",
        hint=f"A log is .jsonl, .csv or .parquet; there is {shown[0].name}.",
    )


def _absent(path: str, workspace: Path) -> InputError:
    return InputError(
        f"There is no request log {path} in the workspace.",
        hint=f"The path starts at {workspace}; it may be a folder, or a glob, such as "
        "data/log-*.jsonl.",
    )
