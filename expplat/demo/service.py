"""The service of the demo: `expplat serve` in a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from expplat.demo.place import environment
from expplat.errors import DependencyError

START_S = 60.0


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run the service on a free port of the loopback; give its address.

    Raises:
        DependencyError: If it does not answer in time.
    """
    port = _free_port()
    arguments = ["serve", "--port", str(port), "--watch-every", "0"]
    process = subprocess.Popen(  # noqa: S603  (our own interpreter, our own arguments)
        [sys.executable, "-m", "expplat", *arguments],
        env=environment(folder),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches the demo first, which then ends the service
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(address, process)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            said = process.stderr.read().decode(errors="replace") if process.stderr else ""
            raise DependencyError("The demo's service did not start.", hint=said[-500:].strip())
        try:
            if httpx2.get(f"{address}/health", timeout=2).status_code == 200:
                return
        except httpx2.HTTPError:
            time.sleep(0.2)
    raise DependencyError(f"The demo's service did not answer within {START_S:g} s.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
