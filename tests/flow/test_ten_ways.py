"""The same events in ten ways (orders, batches, delays, clocks, repetitions) are the same test."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from expplat.adapters.sql.opening import open_engine
from expplat.adapters.sql.unit_of_work import SqlUnitOfWork
from expplat.domain.metric import Direction, Metric, MetricKind
from expplat.domain.plain import canonical_json
from expplat.domain.poc import Stage
from expplat.flow.event_judging import Incoming
from expplat.flow.ingest import take
from tests.builders import SLUG, a_poc, a_transition, keep_poc

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
UNITS = 230
STEP = timedelta(seconds=20)
"""Between two events of a unit; a network is never that slow here."""

METRICS = tuple(
    Metric(name=name, unit="", direction=Direction.HIGHER, kind=kind)
    for name, kind in (
        ("task_success", MetricKind.PROPORTION),
        ("latency_ms", MetricKind.MEAN),
        ("clicks", MetricKind.COUNT),
    )
)


@dataclass(frozen=True)
class Happening:
    """An event with the moment when it truly happened."""

    kind: str
    event: dict
    unit: int
    at: datetime


@dataclass(frozen=True)
class Way:
    """How a sender works."""

    seed: int
    batch: int
    delay: timedelta = timedelta()
    """The longest time that a batch is held back."""

    skews: tuple[timedelta, ...] = (timedelta(),)
    """How far the clocks of its devices are ahead; each unit is on one of them."""

    repeated: float = 0.0
    """Share of the batches that are sent once more, later."""

    in_order: bool = False


HOUR = timedelta(hours=1)
WAYS = (
    Way(seed=0, batch=5000, in_order=True),
    Way(seed=1, batch=1000),
    Way(seed=2, batch=100, repeated=0.5),
    Way(seed=3, batch=37, delay=6 * HOUR),
    Way(seed=4, batch=500, skews=(3 * HOUR,)),
    Way(seed=5, batch=500, skews=(-5 * HOUR,), repeated=0.3),
    Way(seed=6, batch=200, skews=(timedelta(), 2 * HOUR, -9 * HOUR), delay=HOUR),
    Way(seed=7, batch=64, skews=(timedelta(seconds=45), timedelta(seconds=-50)), repeated=0.2),
    Way(seed=8, batch=333, skews=(timedelta(days=40), timedelta(days=-400)), delay=48 * HOUR),
    Way(seed=9, batch=150, skews=(20 * HOUR, timedelta(minutes=2)), delay=72 * HOUR, repeated=1.0),
)


def happenings() -> list[Happening]:
    """About two thousand events: some before the exposure, some units shown both variants."""
    chance = random.Random(7)
    found = []
    for unit in range(UNITS):
        start = BEGIN + timedelta(seconds=chance.randrange(80_000))
        arm = chance.choice(("control", "treatment"))
        arms = {2: arm, 5: arm} | ({6: "control"} if unit % 20 == 0 else {})
        for step in range(9):
            at = start + step * STEP
            if step in arms:
                event = {"experiment": f"{SLUG}.p1", "variation": arms[step]}
                if unit % 2:
                    event["id"] = f"x-{unit}-{step}"
                kind = "exposure"
            else:
                metric = chance.choice(METRICS).name
                value = chance.random() * 1e3 if metric != "task_success" else unit % 2
                event = {"id": f"o-{unit}-{step}", "metric": metric, "value": value}
                kind = "outcome"
            found.append(Happening(kind, event | {"unit": f"u{unit}"}, unit, at))
    return found


def send(way: Way, events: list[Happening], make_uow) -> None:
    """Send the events as the way says, on a network that takes up to two seconds."""
    chance = random.Random(way.seed)
    sendings = []
    for number, skew in enumerate(way.skews):
        mine = [one for one in events if one.unit % len(way.skews) == number]
        if not way.in_order:
            chance.shuffle(mine)
        for start in range(0, len(mine), way.batch):
            batch = mine[start : start + way.batch]
            ready = max(one.at for one in batch)
            for _ in range(2 if chance.random() < way.repeated else 1):
                sent = ready + timedelta(seconds=1) + chance.random() * way.delay
                sendings.append((sent, skew, batch))
    if not way.in_order:
        chance.shuffle(sendings)
    for sent, skew, batch in sendings:
        received = sent + timedelta(seconds=2 * chance.random())
        incoming = [
            Incoming(kind=one.kind, event=one.event | {"timestamp": (one.at + skew).isoformat()})
            for one in batch
        ]
        receipt = take(
            incoming, source="k", uow=make_uow(), now=lambda at=received: at, sent_at=sent + skew
        )
        assert (receipt.rejected, receipt.conflicts) == (0, 0)


def counted(make_uow) -> bytes:
    """What the events add up to, in the form that is hashed."""
    with make_uow() as uow:
        snapshot = uow.events.snapshot(
            slug=SLUG, phase=1, metrics=METRICS, started_at=BEGIN, now=BEGIN
        )
    return canonical_json([snapshot.arms, snapshot.multiple_exposures, snapshot.watermark])


@pytest.fixture
def fresh(postgres, _postgresql_template, _sqlite_template, tmp_path):
    """Makes databases without events; returns what makes units of work on them."""
    engines, dropped = [], []

    def make(kind):
        if kind == "sqlite":
            file = tmp_path / f"{len(engines)}.db"
            shutil.copyfile(_sqlite_template, file)
            url = f"sqlite:///{file}"
        else:
            dropped.append(postgres.new_database(_postgresql_template))
            url = postgres.url(dropped[-1])
        engine = open_engine(url, create=False)
        engines.append(engine)
        poc = a_poc(Stage.REPLAYED).advance(a_transition(Stage.PROMOTED, phase=1))
        with SqlUnitOfWork(engine) as uow:
            keep_poc(uow, poc)
            uow.commit()
        return lambda: SqlUnitOfWork(engine)

    yield make
    for engine in engines:
        engine.dispose()
    for name in dropped:
        postgres.drop(name)


def test_ten_ways_of_sending_are_one_test_to_the_byte(fresh):
    events = happenings()
    results = []

    for kind in ("sqlite", "postgresql"):
        for way in WAYS:
            make_uow = fresh(kind)
            send(way, events, make_uow)
            results.append(counted(make_uow))

    assert len(events) > 2000
    assert set(results) == {results[0]}
    _, multiple, watermark = json.loads(results[0])
    assert multiple == (UNITS + 19) // 20 - sum(
        one.event["variation"] == "control" for one in events[5::180] if one.kind == "exposure"
    )
    assert watermark == len(events)
