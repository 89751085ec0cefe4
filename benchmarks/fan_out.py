"""How long after a change has the last of a thousand streams been told?

A thousand server-sent-events clients in a process of their own listen to `expplat serve`, and to a
bare application that only writes one message to every stream, in turns. For both: from the first
stream that was told to the last. For the service also the whole way: from before the commit to the
last stream, with the database asked for news in between.
Printed: the bare one's first to last over the service's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import httpx2
from services import HERE, HOST, Place, bare, in_words, machine, processors, service

LEAST = 0.5


class Listener(asyncio.Protocol):
    """One stream: notes when its newest message came."""

    def __init__(self, request: bytes, told: Callable[[], None]) -> None:
        self.messages = 0
        self._request = request
        self._told = told

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count the messages that begin here."""
        if b"data: " in data:
            self.messages += 1
            self._told()


async def listen(port: int, path: str, streams: int) -> None:
    """Open the streams; after each word from standard input, say when each stream was told."""
    at: list[float] = []
    request = f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    for _ in range(streams):
        await loop.create_connection(
            lambda: Listener(request, lambda: at.append(time.monotonic())), HOST, port
        )
    while True:
        while len(at) < streams:
            await asyncio.sleep(0.002)
        sys.stdout.write(json.dumps(sorted(at)) + "\n")
        sys.stdout.flush()
        at.clear()
        if not await asyncio.to_thread(sys.stdin.readline):
            return


class Listeners:
    """The process that listens."""

    def __init__(self, port: int, path: str, streams: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "fan_out.py"), "--listen", str(port), path, str(streams)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.sched_setaffinity(self._process.pid, processors()[0])
        self._said: IO[str] | None = self._process.stdout
        self.told()

    def told(self) -> list[float]:
        """Return when each stream was told, in order, once all were."""
        assert self._said is not None
        return [float(at) for at in json.loads(self._said.readline())]

    def go_on(self) -> None:
        """Let them listen for the next message."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        time.sleep(0.3)

    def end(self) -> None:
        """Hang up."""
        self._process.kill()
        self._process.wait()


class Turn(NamedTuple):
    """One change, in seconds."""

    whole: float
    p99: float
    spread: float
    """From the first stream that was told to the last."""


def turn(listeners: Listeners, change: Callable[[], None]) -> Turn:
    """Make a change and wait until everybody was told."""
    listeners.go_on()
    began = time.monotonic()
    change()
    at = listeners.told()
    return Turn(at[-1] - began, at[int(0.99 * len(at))] - began, at[-1] - at[0])


def main() -> None:
    """Take turns, and print medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--listen", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    if given.listen:
        asyncio.run(listen(int(given.listen[0]), given.listen[1], int(given.listen[2])))
        return
    os.sched_setaffinity(0, processors()[0])
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder) / "workspace")
        place.promote(1.0)
        path = f"/sub/{place.key('client')}"
        with service(place) as ours, bare("broadcasting", {}) as theirs:
            pairs = measured(place, ours, theirs, path, given)
    report(pairs, given)


def measured(
    place: Place, ours: int, theirs: int, path: str, given: argparse.Namespace
) -> list[tuple[Turn, Turn]]:
    """Return what each change took, in the service and in the bare application."""
    size = len(httpx2.get(f"http://{HOST}:{ours}{path.replace('/sub/', '/api/features/')}").content)
    message = b"id: 1\nevent: features\ndata: %b\n\n" % (b"x" * size)
    address = f"http://{HOST}:{theirs}/"
    httpx2.post(address, content=message)
    listening = [Listeners(port, path, given.streams) for port in (ours, theirs)]
    try:
        return [
            (
                turn(listening[0], partial(place.promote, 2.0 + number)),
                turn(listening[1], lambda: httpx2.post(address, content=message)),
            )
            for number in range(given.rounds)
        ]
    finally:
        for listeners in listening:
            listeners.end()


def report(pairs: list[tuple[Turn, Turn]], given: argparse.Namespace) -> None:
    """Print, and exit."""
    ratios = [theirs.spread / ours.spread for ours, theirs in pairs]
    ours = Turn(*(statistics.median(values) for values in zip(*(p[0] for p in pairs), strict=True)))
    theirs = statistics.median(pair[1].spread for pair in pairs)
    worst = max(pair[0].whole for pair in pairs)
    sys.stdout.write(
        f"first to last stream: {in_words(ratios, LEAST)}; "
        f"{ours.spread:.3f} s, bare {theirs:.3f} s\n"
        f"from before the commit to the last stream: {ours.whole:.3f} s (p99 of the streams "
        f"{ours.p99:.3f} s; worst round {worst:.3f} s)\n"
        f"{given.streams} streams, {given.rounds} changes; {machine()}\n"
    )
    sys.exit(statistics.median(ratios) < LEAST)


if __name__ == "__main__":
    main()
