"""How many flag readings a second does the service answer, beside an application that does nothing?

`expplat serve` and a bare ASGI application take turns under the same uvicorn, each asked over the
same connections by a process of its own for whole payloads (200) and by clients that have them
already (304). The bare one answers with the very bytes and headers that the service answered with.
Printed: the service's answers a second over the bare one's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import httpx2
from services import HERE, HOST, Place, bare, in_words, machine, processors, service

LEAST = 0.8


def asked(port: int, path: str, headers: Sequence[str], given: argparse.Namespace) -> float:
    """Return the answers a second."""
    command = [
        sys.executable, str(HERE / "http_load.py"), HOST, str(port), "--path", path,
        "--connections", str(given.connections), "--seconds", str(given.seconds),
        *(word for header in headers for word in ("--header", header)),
    ]  # fmt: skip
    mine = processors()[0]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
        preexec_fn=lambda: os.sched_setaffinity(0, mine),
    )
    said = json.loads(done.stdout)
    assert said["status"] == (304 if headers else 200)
    return float(said["answers"] / said["seconds"])


def kept_answer(port: int, path: str, file: Path) -> str:
    """Keep what the service answers for the bare application; return its ETag."""
    answer = httpx2.get(f"http://{HOST}:{port}{path}")
    headers = [pair for pair in answer.headers.multi_items() if pair[0] != "date"]
    file.write_text(json.dumps({"headers": headers, "body": answer.text}))
    return str(answer.headers["etag"])


def main() -> None:
    """Take turns, and print medians; exit with 1 where the service is slower than allowed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.7)
    parser.add_argument("--connections", type=int, default=16)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder) / "workspace")
        place.promote(50.0)
        path = f"/api/features/{place.key('client')}"
        answer = Path(folder) / "answer.json"
        with service(place) as ours:
            etag = kept_answer(ours, path, answer)
            with bare("answering", {"BARE_ANSWER": str(answer)}) as theirs:
                rates = measured(ours, theirs, path, etag, given)
        size = len(json.loads(answer.read_text())["body"])
    report(rates, size)


Rates = dict[str, list[tuple[float, float]]]


def measured(ours: int, theirs: int, path: str, etag: str, given: argparse.Namespace) -> Rates:
    """Return the answers a second of both, by status and round."""
    rates: Rates = {"200": [], "304": []}
    for number in range(given.rounds):
        for status, headers in (("200", []), ("304", [f"if-none-match: {etag}"])):
            turns = [ours, theirs] if number % 2 else [theirs, ours]
            found = {port: asked(port, path, headers, given) for port in turns}
            rates[status].append((found[ours], found[theirs]))
    return rates


def report(rates: Rates, size: int) -> None:
    """Print, and exit."""
    is_slow = False
    for status, pairs in rates.items():
        ratios = [ours / theirs for ours, theirs in pairs]
        is_slow = is_slow or statistics.median(ratios) < LEAST
        ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        sys.stdout.write(
            f"{status}: {in_words(ratios, LEAST)}; {ours:,.0f} a second, bare {theirs:,.0f}\n"
        )
    sys.stdout.write(f"{len(pairs)} rounds; {size} bytes a payload; {machine()}\n")
    sys.exit(is_slow)


if __name__ == "__main__":
    main()
