"""One Ray for this process: private, on the loopback interface, and gone when the process is."""

from __future__ import annotations

import atexit
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
from expplat.adapters.replay.worker_environment import allowed
from expplat.errors import EngineError

MANY_MACHINES = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Set to 0, it keeps a Ray to the loopback interface, on every system."""

OBJECT_STORE_BYTES = 80 << 20
"""Ray's least, nearly: nothing of a log passes through the object store."""

LONGEST_FOLDER = 40
"""Ray's sockets lie about 60 characters below its folder, and their paths may have 107."""

CONNECT_TIMEOUT_S = 10.0
"""How long an address is given to answer at all."""

WITHOUT_TOKEN = "EXPPLAT_RAY_WITHOUT_TOKEN"  # noqa: S105  (a name)
"""Set to 1, it lets expplat connect to a cluster that asks for no token."""

_NOT_SENT = (".git", ".venv", ".expplat", "__pycache__", "/mlruns")
"""What stays at home when a workspace is sent to a cluster."""

_open: dict[str, str] = {}
"""Address of the session that is open ("" for our own), and the folder that goes with it."""


def ensure_session(*, address: str, state_dir: Path, workers: int, code: tuple[Path, ...]) -> None:
    """Start a Ray on this machine, or connect to the one at `address`; keep it for the next replay.

    Our own listens on the loopback interface alone, asks for a token that only this user can read,
    and inherits no secrets from the environment.

    A cluster is held to the same: whoever can speak to one that asks for no token can run any code
    on all its nodes. One that lets a made-up token in is refused, unless
    `EXPPLAT_RAY_WITHOUT_TOKEN` is 1. The token itself is Ray's own setting: `RAY_AUTH_TOKEN`, or
    the file that `RAY_AUTH_TOKEN_PATH` names, or `~/.ray/auth_token`.

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
            _connect(address, state_dir, code)
        else:
            _start(state_dir, workers)
    except EngineError:
        close_session()
        raise
    except Exception as error:  # Ray raises what its layers raise: its own kind, gRPC's, plain ones
        close_session()
        words = str(error).strip().splitlines() or [type(error).__name__]
        what = f"cannot be reached at {address}" if address else "does not start"
        raise EngineError(
            f"Ray {what}: {words[0][:300]}",
            hint="Is RAY_AUTH_TOKEN_PATH the cluster's token? `--engine local` replays without Ray."
            if address
            else "`--engine local` replays without Ray; a busy machine may do better later.",
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


def _connect(address: str, state_dir: Path, code: tuple[Path, ...]) -> None:
    """Connect to a cluster that asks for a token, with the one that the environment names."""
    _must_answer(address)
    settings = {
        "RAY_AUTH_MODE": "token",
        # An index that git does not keep may well be what a variant needs.
        "RAY_RUNTIME_ENV_IGNORE_GITIGNORE": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    if _lets_anybody_in(address):
        if os.environ.get(WITHOUT_TOKEN) != "1":
            raise EngineError(
                f"The Ray cluster at {address} lets anybody in, to run any code.",
                hint="Start it with RAY_AUTH_MODE=token and a token; "
                f"{WITHOUT_TOKEN}=1 says that its network is closed.",
            )
        settings["RAY_AUTH_MODE"] = "disabled"
    workspace, *packages = code
    _open[address] = ""
    with _environment({**os.environ, **settings}):
        ray = _imported()
        _knock(address)
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={
                "working_dir": str(workspace),
                "excludes": [*_NOT_SENT, *_below(workspace, state_dir)],
                "py_modules": [str(package) for package in packages],
            },
        )


def _lets_anybody_in(address: str) -> bool:
    """Knock with a token that nobody has, and see whether the cluster opens all the same."""
    settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    others = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    with _environment({**others, **settings}):
        ray = _imported()
        try:
            _knock(address)
        except ray.exceptions.AuthenticationError:
            return False
    return True


def _knock(address: str) -> None:
    """Ask a cluster for its id, which takes a moment; Ray's own `init` is refused for 20 s."""
    inner: Any = importlib.import_module("ray._raylet")
    with _stderr_dropped():
        _ = inner.GcsClient(address=address).cluster_id


@contextmanager
def _stderr_dropped() -> Iterator[None]:
    """Drop what is written below Python meanwhile: Ray complains of a refusal that is hoped for."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _below(workspace: Path, folder: Path) -> list[str]:
    """Return a folder as a pattern relative to the workspace, where it is in it."""
    if not folder.is_relative_to(workspace) or folder == workspace:
        return []
    return [f"/{folder.relative_to(workspace).as_posix()}"]


def _must_answer(address: str) -> None:
    """Raise OSError unless somebody listens there: Ray itself waits for minutes, or exits."""
    host, _, port = address.rpartition(":")
    if not (host and port.isascii() and port.isdigit()) or "/" in host:
        raise EngineError(
            f"{address!r} is no address of a Ray cluster.",
            hint="Give the host and the port of its head node, such as 10.0.0.5:6379.",
        )
    socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()


def _start(state_dir: Path, workers: int) -> None:
    folder = tempfile.mkdtemp(prefix="expplat-")
    _open[""] = folder
    with _environment(_own_environment(os.environ, _token_file(state_dir))):
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
        constants: Any = importlib.import_module("ray._private.ray_constants")
        constants.ENABLE_RAY_CLUSTER = os.environ.get(MANY_MACHINES) != "0"
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


def _own_environment(inherited: Mapping[str, str], token: Path) -> dict[str, str]:
    """Return what our own Ray finds in its environment: no secret but its token's place."""
    settings = {name: value for name, value in inherited.items() if name.startswith("RAY_")}
    settings.pop("RAY_ADDRESS", None)
    return {
        **allowed(inherited),
        **settings,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        MANY_MACHINES: "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        # The keeper of a worker process ends it and all below it, which it cannot once it is dead.
        "RAY_kill_child_processes_on_worker_exit": "0",
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
