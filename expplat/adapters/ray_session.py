"""One Ray for this process: private, on the loopback interface, and gone when the process is."""

from __future__ import annotations

import atexit
import fnmatch
import importlib
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from expplat.adapters.clean_stdout import stdout_kept_clean
from expplat.errors import EngineError

SECRETS = ("*KEY*", "*TOKEN*", "*SECRET*", "*PASSWORD*", "*CREDENTIAL*", "EXPPLAT_*", "MLFLOW_*")
"""Names of environment variables that workers do not inherit."""

PASS_ENV = "EXPPLAT_PASS_ENV"  # noqa: S105  (a name)
"""Names the variables, separated by commas, that they inherit all the same."""

OBJECT_STORE_BYTES = 80 << 20
"""Ray's least, nearly: nothing of a log passes through the object store."""

LONGEST_FOLDER = 40
"""Ray's sockets lie about 60 characters below its folder, and their paths may have 107."""

CONNECT_TIMEOUT_S = 10.0
"""How long an address is given to answer at all."""

_open: dict[str, str] = {}
"""Address of the session that is open ("" for our own), and the folder that goes with it."""


def ensure_session(*, address: str, state_dir: Path, workers: int, code: tuple[Path, ...]) -> None:
    """Start a Ray on this machine, or connect to the one at `address`; keep it for the next replay.

    Our own listens on the loopback interface alone, asks for a token that only this user can read,
    and inherits no secrets from the environment.

    Args:
        address: Empty for a Ray of our own.
        state_dir: Where the token is kept.
        workers: How many processes our own is sized for.
        code: The workspace and the packages that a remote Ray is sent.

    Raises:
        EngineError: If Ray does not start, or the address does not answer.
    """
    if address in _open:
        return
    close_session()
    try:
        if address:
            _connect(address, code)
        else:
            _start(state_dir, workers)
    except Exception as error:  # Ray raises what its layers raise: its own kind, gRPC's, plain ones
        close_session()
        words = str(error).strip().splitlines() or [type(error).__name__]
        what = f"cannot be reached at {address}" if address else "does not start"
        raise EngineError(
            f"Ray {what}: {words[0][:300]}",
            hint="`--engine local` replays without Ray; a busy machine may do better later.",
        ) from error


def close_session() -> None:
    """End our own Ray, or leave the one that we connected to."""
    if not _open:
        return
    _, folder = _open.popitem()
    ray = sys.modules.get("ray")
    if ray is not None:
        with stdout_kept_clean():
            ray.shutdown()
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def _connect(address: str, code: tuple[Path, ...]) -> None:
    _must_answer(address)
    workspace, *packages = code
    _open[address] = ""
    importlib.import_module("ray").init(
        address=address,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={
            "working_dir": str(workspace),
            "excludes": [".git", ".venv", ".expplat", "__pycache__", "/mlruns"],
            "py_modules": [str(package) for package in packages],
        },
    )


def _must_answer(address: str) -> None:
    """Raise OSError unless somebody listens there: Ray itself waits for minutes, or exits."""
    host, colon, port = address.rpartition("//")[2].rpartition(":")
    if colon and port.isascii() and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()


def _start(state_dir: Path, workers: int) -> None:
    folder = tempfile.mkdtemp(prefix="expplat-")
    _open[""] = folder
    with _environment(_worker_environment(os.environ, _token_file(state_dir))):
        _imported().init(
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=OBJECT_STORE_BYTES,
            _temp_dir=folder if len(folder) <= LONGEST_FOLDER else None,
        )


def _imported() -> Any:
    """Import Ray, which reads its environment once; where it was imported before, again."""
    was_there = "ray" in sys.modules
    ray = importlib.import_module("ray")
    if was_there:
        inner: Any = importlib.import_module("ray._raylet")
        inner.Config.initialize("")
        inner.AuthenticationTokenLoader.instance().reset_cache()
    return ray


def _token_file(state_dir: Path) -> Path:
    """Return the file of the token, made on first use, which this user alone can read."""
    path = state_dir / "ray" / "token"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        draft = path.with_name(f".token-{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(descriptor, secrets.token_hex(32).encode())
        os.close(descriptor)
        draft.replace(path)
    path.chmod(0o600)
    return path


def _worker_environment(inherited: Mapping[str, str], token: Path) -> dict[str, str]:
    """Return what our own Ray, and so its workers, find in their environment."""
    passed = {name.strip() for name in inherited.get(PASS_ENV, "").split(",")}
    kept = {
        name: value
        for name, value in inherited.items()
        if name in passed or not any(fnmatch.fnmatch(name.upper(), secret) for secret in SECRETS)
    }
    kept.pop("RAY_ADDRESS", None)
    return {
        **kept,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    }


@contextmanager
def _environment(replacement: Mapping[str, str]) -> Iterator[None]:
    """Have another environment for a while."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(replacement)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


atexit.register(close_session)
