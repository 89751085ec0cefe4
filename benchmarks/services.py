"""Servers that benchmarks ask: the service as `expplat serve` runs it, and bare applications.

The server has one processor, who asks has another, where the machine has two.
"""

from __future__ import annotations

import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx2

from tests.serving import Walk, a_platform, free_port

HERE = Path(__file__).parent
HOST = "127.0.0.1"
SLUG = "bench"
UNLIMITED = {
    "EXPPLAT_MAX_EVENTS_PER_SECOND": "0",
    "EXPPLAT_MAX_FLAG_READS_PER_SECOND": "0",
    "EXPPLAT_MAX_READS_PER_MINUTE": "0",
}


def processors() -> tuple[set[int], set[int]]:
    """Return those of who asks, and those of the server."""
    ours = sorted(os.sched_getaffinity(0))
    return ({ours[0]}, {ours[1]}) if len(ours) > 1 else ({ours[0]}, {ours[0]})


def machine() -> str:
    """Return a line about where this was measured."""
    load = os.getloadavg()[0]
    return (
        f"Python {platform.python_version()}, {os.cpu_count()} processors, "
        f"load {load:.1f}, {datetime.now(UTC):%Y-%m-%d}"
    )


class Place:
    """A workspace with one running test, and keys for it."""

    def __init__(self, folder: Path, database_url: str = "") -> None:
        self.env = UNLIMITED | {"EXPPLAT_WORKSPACE": str(folder)}
        if database_url:
            self.env["EXPPLAT_DATABASE_URL"] = database_url
        self.platform = a_platform(folder, **self.env)
        self._walk = Walk(self.platform)

    def key(self, kind: str) -> str:
        """Make a key and return its secret."""
        return self._walk.key(kind)

    def promote(self, percent: float) -> None:
        """Begin the test, or give it another share of the units."""
        self._walk.promote(SLUG, percent)


@contextmanager
def service(place: Place) -> Iterator[int]:
    """Run the service; yield its port."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("expplat")), "serve", "--port", str(port)]
    with _running([*command, "--watch-every", "0"], place.env, port, "/health"):
        yield port


@contextmanager
def bare(app: str, env: Mapping[str, str]) -> Iterator[int]:
    """Run an application of `bare_apps`; yield its port."""
    port = free_port()
    command = [
        sys.executable, "-m", "uvicorn", "--factory", f"bare_apps:{app}", "--app-dir", str(HERE),
        "--host", HOST, "--port", str(port), "--log-level", "warning", "--no-server-header",
        "--timeout-keep-alive", "5", "--timeout-graceful-shutdown", "1", "--http", "httptools",
    ]  # fmt: skip
    with _running(command, env, port, None):
        yield port


@contextmanager
def _running(
    command: list[str], env: Mapping[str, str], port: int, healthy: str | None
) -> Iterator[None]:
    process = subprocess.Popen(
        command, env=os.environ | env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    os.sched_setaffinity(process.pid, processors()[1])
    try:
        _wait_for(process, port, healthy)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, healthy: str | None) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the server ended: {(process.stderr or sys.stdin).read()!r}")
        with suppress(OSError, httpx2.TransportError):
            socket.create_connection((HOST, port), timeout=1).close()
            if healthy is None or httpx2.get(f"http://{HOST}:{port}{healthy}").is_success:
                return
        time.sleep(0.05)
    raise SystemExit("the server did not start within 60 s")


def in_words(ratios: list[float], least: float) -> str:
    """Return the median of some ratios, and how far they lie apart."""
    ordered = sorted(ratios)
    return (
        f"{statistics.median(ratios):.2f} ({ordered[0]:.2f} to {ordered[-1]:.2f}; at least {least})"
    )
