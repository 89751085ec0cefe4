"""MLflow's store: where it is, how it is opened quietly, and how a local one is made once."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import sqlite3
import ssl
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import urlopen

from expplat.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

QUIET = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Environment that MLflow is imported with, where it does not say otherwise. No retries: MLflow's
own seven hold a caller for four minutes, and a copy that failed is made again later."""

LOCK_WAIT_S = 60.0
"""How long to wait for another process that creates the store or copies."""

KNOCK_S = 3.0
"""How long a server may take to its first answer. MLflow would ask for longer, and its import alone
takes seconds, so that a server that is away would cost a replay more than five."""

DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}

NOISY_LOGGERS = ("mlflow", "alembic", "urllib3.connectionpool")


def is_server(uri: str) -> bool:
    """Whether the tracking store is an MLflow server, with a UI of its own."""
    return urlsplit(uri).scheme in {"http", "https"}


def public_base(uri: str) -> str:
    """Return the address of a server's UI, without a password; empty for a local store."""
    if not is_server(uri):
        return ""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/") + "/", "", ""))


def artifact_root(state_dir: Path) -> Path:
    """Return the folder of a local store's files."""
    return state_dir / "mlflow-artifacts"


def quiet_mlflow() -> None:
    """Keep MLflow from telephoning home, printing and waiting; call it before importing MLflow."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", module=r"mlflow(\.|$)")


def open_store(uri: str) -> MlflowClient:
    """Return a client of the store; a local one is created where there is none.

    Call it under `store_lock`: of two processes that create the same database, one dies.

    Raises:
        OSError: If a database server is out of reach, or a local file cannot be written.
        sqlite3.Error: If a local file is no database.
    """
    quiet_mlflow()
    if uri.startswith("sqlite:"):
        _prepare_sqlite(uri)
    elif not is_server(uri):
        _knock(uri)
    from mlflow import MlflowClient

    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def store_lock(uri: str, state_dir: Path) -> Iterator[None]:
    """Let one process of this machine at a time create or write a local store.

    Raises:
        TrackingError: If another process holds it for longer than a minute.
    """
    if is_server(uri):
        yield
        return
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state_dir / "mlflow.lock").open("a") as lock:
        deadline = time.monotonic() + LOCK_WAIT_S
        while not _locked(lock.fileno()):
            if time.monotonic() > deadline:
                raise TrackingError(
                    "Another process has been writing to MLflow for a minute.",
                    hint="Wait for it to end, then run `expplat replay --sync`.",
                )
            time.sleep(0.05)
        yield


def _locked(file_descriptor: int) -> bool:
    try:
        fcntl.flock(file_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _prepare_sqlite(uri: str) -> None:
    """Make the file, readable by its owner alone; MLflow would retry a broken one for minutes."""
    path = Path(urlsplit(uri).path.removeprefix("/"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    with closing(sqlite3.connect(path, timeout=5)) as connection:
        connection.execute("PRAGMA schema_version").fetchone()


def reach(uri: str) -> str:
    """Make sure that somebody answers, before MLflow is imported; return who it is.

    Returns:
        The version of the MLflow that shows the runs: the server's own, else the installed one;
        empty where a server does not say.

    Raises:
        OSError: If nobody answers within `KNOCK_S`, or the answer is that something is broken.
    """
    if is_server(uri):
        return _server_version(public_base(uri) + "version")
    if not uri.startswith("sqlite:"):
        _knock(uri)
    return version("mlflow")


def _server_version(address: str) -> str:
    try:
        with urlopen(address, timeout=KNOCK_S) as answer:  # noqa: S310  (is_server has seen it)
            told = answer.read(50).decode(errors="replace").strip()
            return told if told.replace(".", "").isalnum() else ""
    except HTTPError as error:
        if error.code >= 500:
            raise OSError(f"the server answers {error.code} {error.reason}") from error
        return ""
    except URLError as error:
        # MLflow has settings of its own for certificates, and will say what is wrong with them.
        if isinstance(error.reason, ssl.SSLError):
            return ""
        raise
    except HTTPException as error:
        raise OSError(f"the server does not speak HTTP: {error}") from error


def _knock(uri: str) -> None:
    """Make sure that a database server listens; MLflow would try for more than a minute."""
    parts = urlsplit(uri)
    port = parts.port or DATABASE_PORTS.get(parts.scheme.partition("+")[0])
    if parts.hostname and port:
        socket.create_connection((parts.hostname, port), timeout=KNOCK_S).close()
