"""What becomes of exposures while nobody takes them."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

import pytest

from expplat.adapters.growthbook.evaluation import Shown
from expplat.api.memory import exposure_log
from expplat.api.memory.exposure_log import ExposureLog
from expplat.errors import DatabaseError


def shown(unit):
    return Shown(flag="hybrid_rrf", tracking_key="hybrid_rrf.p1", variation="control", unit=unit)


class Keeper:
    """Keeps exposures, or raises what a test puts in."""

    def __init__(self):
        self.error = None
        self.batches = []

    async def __call__(self, connection, events):
        if self.error is not None:
            raise self.error
        self.batches.append((connection, [event.event["unit"] for event in events]))

    @property
    def units(self):
        return [unit for _, units in self.batches for unit in units]


@pytest.fixture
def keeper(monkeypatch):
    monkeypatch.setattr(exposure_log, "RETRY_S", 0.01)
    monkeypatch.setattr(exposure_log, "PATIENCE_S", 0.05)
    return Keeper()


def run(keeper, play):
    async def whole():
        log = ExposureLog(keeper, lambda: datetime.now(UTC))
        log.start()
        await play(log)
        await log.close(1.0)

    asyncio.run(whole())


def test_exposures_that_come_together_are_kept_together_by_connection(keeper):
    async def play(log):
        await asyncio.gather(*(log.put("a" if i < 3 else "b", [shown(f"u{i}")]) for i in range(5)))

    run(keeper, play)

    assert keeper.batches == [("a", ["u0", "u1", "u2"]), ("b", ["u3", "u4"])]


def test_a_unit_that_is_evaluated_again_and_again_waits_once(keeper):
    async def play(log):
        keeper.error = DatabaseError("away")
        for _ in range(3):
            await log.put("a", [shown("u1"), shown("u2")])
        keeper.error = None
        await log.put("a", [shown("u1")])

    run(keeper, play)

    assert keeper.units == ["u1", "u2"]


def test_what_waits_is_kept_before_the_end(keeper):
    async def play(log):
        keeper.error = DatabaseError("away")
        await log.put("a", [shown("u1")])
        keeper.error = None

    run(keeper, play)

    assert keeper.units == ["u1"]


def test_after_a_defect_the_next_exposures_are_kept(keeper, caplog):
    async def play(log):
        keeper.error = RuntimeError("a defect")
        await log.put("a", [shown("u1")])
        keeper.error = None
        await log.put("a", [shown("u2")])

    run(keeper, play)

    assert keeper.units == ["u2"]
    assert "a defect" in caplog.text


def test_more_than_can_wait_is_said_and_comes_with_the_next_evaluation(keeper, caplog, monkeypatch):
    monkeypatch.setattr(exposure_log, "MAX_WAITING", 2)
    caplog.set_level(logging.ERROR)

    async def play(log):
        keeper.error = DatabaseError("away")
        await log.put("a", [shown("u1"), shown("u2")])
        await log.put("a", [shown("u3")])
        keeper.error = None
        await log.put("a", [shown("u1")])
        await asyncio.sleep(0.1)
        await log.put("a", [shown("u3")])

    run(keeper, play)

    assert keeper.units == ["u1", "u2", "u3"]
    assert caplog.text.count("are not kept") == 1


def test_of_what_is_known_the_least_used_is_forgotten_first(keeper, monkeypatch):
    monkeypatch.setattr(exposure_log, "MAX_SEEN", 2)

    async def play(log):
        for unit in ("u1", "u2", "u1", "u3", "u1", "u2"):
            await log.put("a", [shown(unit)])

    run(keeper, play)

    assert keeper.units == ["u1", "u2", "u3", "u2"]
