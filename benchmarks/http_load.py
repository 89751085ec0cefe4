"""Asks one address again and again over several connections: a load generator without a product.

    python benchmarks/http_load.py HOST PORT --path /x [--header 'A: b'] [--connections 16]

Each connection has one request under way. Every answer must have the same status and length as the
first. Prints JSON: answers, seconds and the status.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Asker(asyncio.Protocol):
    """One connection."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.answers = 0
        self.is_over = False
        self.fault = ""
        self._came = 0
        self._head = b""
        self._length = 0
        self.status = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self) -> None:
        """Send the request."""
        assert self._transport is not None
        self._transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Count an answer once it is whole, and ask again."""
        if not self._came and self.status and not data.startswith(self.status):
            self.fault = f"another answer: {data[:60]!r}"
        self._came += len(data)
        if not self._length:
            self._measure(data)
        if self._length and self._came >= self._length:
            self._came -= self._length
            self.answers += 1
            if not self.is_over:
                self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the server hung up."""
        if not self.is_over:
            self.fault = self.fault or "the connection was closed"

    def _measure(self, data: bytes) -> None:
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return
        found = LENGTH.search(self._head, 0, end + 2)
        self._length = end + 4 + (int(found[1]) if found else 0)
        self.status = self._head[:12]


async def load(given: argparse.Namespace) -> dict[str, object]:
    """Ask for so many seconds."""
    lines = [f"GET {given.path} HTTP/1.1", f"Host: {given.host}:{given.port}", *given.header]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    loop = asyncio.get_running_loop()
    askers = []
    for _ in range(given.connections):
        _, asker = await loop.create_connection(lambda: Asker(request), given.host, given.port)
        askers.append(asker)
    for asker in askers:
        asker.ask()
    await asyncio.sleep(given.warmup)
    before, began = sum(asker.answers for asker in askers), time.perf_counter()
    await asyncio.sleep(given.seconds)
    answers, seconds = sum(asker.answers for asker in askers) - before, time.perf_counter() - began
    for asker in askers:
        asker.is_over = True
    faults = [asker.fault for asker in askers if asker.fault]
    if faults:
        raise SystemExit(faults[0])
    return {"answers": answers, "seconds": seconds, "status": int(askers[0].status[-3:])}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--path", default="/")
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--warmup", type=float, default=0.3)
    sys.stdout.write(json.dumps(asyncio.run(load(parser.parse_args()))))


if __name__ == "__main__":
    main()
