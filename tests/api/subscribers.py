"""Raw subscribers of a stream, many in one process.

`python subscribers.py <host> <port> <path> <count>` prints one JSON line once every subscriber has
its first message, and one for each later message: its id, and when (by the monotonic clock of the
machine) the first and the last subscriber had the whole of it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

times: dict[bytes, list[float]] = {}


async def subscribe(host: str, port: int, path: str, count: int) -> None:
    reader, writer = await asyncio.open_connection(host, port, limit=2**20)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    while line := await reader.readline():
        if line.startswith(b"id: "):
            number = line.split()[1]
        elif line.startswith(b"data: "):
            arrived = times.setdefault(number, [])
            arrived.append(time.monotonic())
            if len(arrived) == count:
                facts = {"id": int(number), "first": arrived[0], "last": arrived[-1]}
                print(json.dumps(facts), flush=True)


async def main(host: str, port: str, path: str, count: str) -> None:
    subscribers = []
    for _ in range(int(count)):
        subscribers.append(asyncio.create_task(subscribe(host, int(port), path, int(count))))
        await asyncio.sleep(0.001)
    await asyncio.gather(*subscribers)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
