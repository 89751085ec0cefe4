from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from expplat.client import Client, Pace
from expplat.wiring import Platform
from tests.client.faults import CLIENT_KEY, INGEST_KEY, FaultServer, fault_server
from tests.serving import Walk, a_platform, eventually, serving

QUICK = Pace(first_retry_s=0.02, longest_retry_s=0.2, read_s=0.2, poll_s=0.2, exit_s=0.05)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A server that does as it is told, well or badly."""
    with fault_server() as server:
        yield server


@pytest.fixture
def new_client(tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """Makes clients of a server with both keys, in one folder, in a hurry; all are closed."""
    clients: list[Client] = []

    def make(url: str, **options: Any) -> Client:
        defaults = {
            "client_key": CLIENT_KEY,
            "ingest_key": INGEST_KEY,
            "cache_dir": tmp_path / "client",
            "handle_sigterm": False,
            "pace": QUICK,
        }
        clients.append(Client(url, **(defaults | options)))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


class Service:
    """A service in a process of its own."""

    def __init__(self, process_id: int, out: Path) -> None:
        self.process_id = process_id
        self._out = out

    @property
    def said(self) -> list[Any]:
        if not self._out.exists():
            return []
        return [json.loads(line) for line in self._out.read_text().splitlines()]

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.process_id, number)

    def wait(self, within_s: float = 15.0) -> list[Any]:
        """Wait for its end; return what it said."""
        eventually(lambda: not self._is_alive(), within_s)
        return self.said

    def _is_alive(self) -> bool:
        try:
            os.kill(self.process_id, 0)
        except ProcessLookupError:
            return False
        return True


Launch = Callable[..., Service]


@pytest.fixture(scope="session")
def _forker() -> Iterator[subprocess.Popen[str]]:
    program = Path(__file__).with_name("services.py")
    process = subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.communicate(timeout=10)


@pytest.fixture
def launch(_forker: subprocess.Popen[str], tmp_path: Path) -> Iterator[Launch]:
    """Starts services in processes of their own, in the folder of `new_client`."""
    numbers = itertools.count()
    services: list[Service] = []

    def start(do: str, url: str, *, options: dict[str, Any] | None = None, **more: Any) -> Service:
        out = tmp_path / f"said-{next(numbers)}"
        folder = str(tmp_path / "client")
        keys = {"client_key": CLIENT_KEY, "ingest_key": INGEST_KEY, "cache_dir": folder}
        task = {"do": do, "url": url, "out": str(out), "options": keys | (options or {})} | more
        assert _forker.stdin is not None
        assert _forker.stdout is not None
        _forker.stdin.write(json.dumps(task) + "\n")
        _forker.stdin.flush()
        services.append(Service(int(_forker.stdout.readline()), out))
        return services[-1]

    yield start
    for service in services:
        try:
            service.kill()
        except ProcessLookupError:
            continue


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """A platform on an empty workspace with a SQLite of its own."""
    platform = a_platform(tmp_path / "workspace")
    yield platform
    platform.sql_engine.dispose()


@pytest.fixture
def walk(platform: Platform) -> Walk:
    """Moves POCs of that platform along; one is in its test, with everybody."""
    walk = Walk(platform)
    walk.promote("hybrid_rrf", 100.0)
    return walk


@pytest.fixture
def address(platform: Platform, walk: Walk) -> Iterator[str]:
    """The address of a real server on that platform."""
    with serving(platform) as address:
        yield address
