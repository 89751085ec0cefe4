"""Senders of events that retry, race, and keep account of what was acknowledged."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

import httpx2
from sqlalchemy import literal, select, union_all

from expplat.adapters.sql.tables import exposures, outcomes
from expplat.wiring import Platform

SLUG = "hybrid_rrf"


@dataclass(frozen=True)
class Batch:
    """Half exposures, half outcomes, as one request of Segment's client."""

    number: int
    size: int = 50

    @property
    def exposure_ids(self) -> list[str]:
        return [f"{self.number:05d}-e{i:03d}" for i in range(self.size // 2)]

    @property
    def outcome_ids(self) -> list[str]:
        return [f"{self.number:05d}-o{i:03d}" for i in range(self.size // 2)]

    @property
    def ids(self) -> list[str]:
        return self.exposure_ids + self.outcome_ids

    def as_json(self) -> dict[str, Any]:
        shown = {"experiment_id": SLUG, "variation_id": "treatment"}
        events = [
            {"event": "Experiment Viewed", "messageId": event_id, "properties": shown}
            for event_id in self.exposure_ids
        ] + [
            {"event": "task_success", "messageId": event_id, "properties": {"value": 1}}
            for event_id in self.outcome_ids
        ]
        return {
            "batch": [
                event | {"type": "track", "userId": f"u{self.number}-{place}"}
                for place, event in enumerate(events)
            ]
        }


@dataclass
class Account:
    """What the senders were told."""

    acknowledged: set[int] = field(default_factory=set)
    statuses: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    faults: list[str] = field(default_factory=list)


class Senders:
    """Threads that send batches to any of the servers, again and again until each is taken.

    Every batch is handed out twice, so that two senders race with the same events.
    """

    def __init__(
        self, secret: str, addresses: list[str], *, count: int = 6, timeout_s: float = 8.0
    ) -> None:
        self.account = Account()
        self._addresses = addresses
        self._headers = {"Authorization": f"Bearer {secret}"}
        self._timeout_s = timeout_s
        self._work: queue.Queue[Batch | None] = queue.Queue()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send_all) for _ in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()

    def give(self, batches: list[Batch], times: int = 2) -> None:
        """Hand batches out, each so many times."""
        wanted = batches * times
        random.shuffle(wanted)
        for batch in wanted:
            self._work.put(batch)

    @property
    def waiting(self) -> int:
        return self._work.qsize()

    def _send_all(self) -> None:
        with httpx2.Client(headers=self._headers, timeout=self._timeout_s) as client:
            while (batch := self._work.get()) is not None:
                while not self._send(client, batch):
                    time.sleep(random.uniform(0.01, 0.05))

    def _send(self, client: httpx2.Client, batch: Batch) -> bool:
        """Send once; return whether it need not be sent again."""
        address = random.choice(self._addresses)
        try:
            answer = client.post(f"{address}/v1/batch", json=batch.as_json())
        except httpx2.TransportError as error:
            # Nobody was there, or the connection ended between the request and its answer.
            told = "refused" if isinstance(error, httpx2.ConnectError) else "cut off"
            with self._lock:
                self.account.statuses[told] += 1
            return False
        with self._lock:
            return self._note(batch, answer)

    def _note(self, batch: Batch, answer: httpx2.Response) -> bool:
        account = self.account
        account.statuses[str(answer.status_code)] += 1
        if answer.status_code == 200:
            account.acknowledged.add(batch.number)
            account.accepted += answer.json()["accepted"]
            if answer.json()["rejected"]:
                account.faults.append(answer.text[:300])
            return True
        if answer.status_code == 503 and "retry-after" in answer.headers:
            return False
        account.faults.append(f"{answer.status_code} {answer.text[:300]}")
        return True


@dataclass(frozen=True)
class Kept:
    """The ids that a database holds, each as often as it stands there."""

    exposures: list[str]
    outcomes: list[str]

    @classmethod
    def of(cls, platform: Platform) -> Kept:
        # One statement, so that both kinds are seen in one state of the database.
        both = union_all(
            select(literal("exposure"), exposures.c.event_id),
            select(literal("outcome"), outcomes.c.event_id),
        )
        with platform.sql_engine.connect() as connection:
            rows = sorted(connection.execute(both))
        ids = {kind: [row[1] for row in rows if row[0] == kind] for kind in ("exposure", "outcome")}
        return cls(exposures=ids["exposure"], outcomes=ids["outcome"])

    def half_states(self, batches: list[Batch]) -> list[int]:
        """Numbers of the batches of which a part is there."""
        shown, happened = set(self.exposures), set(self.outcomes)
        return [
            batch.number
            for batch in batches
            if len({*batch.exposure_ids} & shown) + len({*batch.outcome_ids} & happened)
            not in (0, batch.size)
        ]


def must_hold_all(kept: Kept, batches: list[Batch], account: Account) -> None:
    """Make sure that nothing was lost, doubled or made up, and no answer was wrong."""
    assert account.faults == []
    assert account.acknowledged == {batch.number for batch in batches}
    assert kept.exposures == sorted(i for batch in batches for i in batch.exposure_ids)
    assert kept.outcomes == sorted(i for batch in batches for i in batch.outcome_ids)
    # A new event is told of once at most; those whose answer was cut off, not at all.
    assert account.accepted <= sum(batch.size for batch in batches)
