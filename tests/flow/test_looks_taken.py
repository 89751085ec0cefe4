"""Which readings of a running test become looks, and which of them decide."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from expplat.adapters.flag_brake import FlagBrake
from expplat.domain.gate import Ruling
from expplat.domain.moments import Moments
from expplat.domain.online import ArmStatistics, Snapshot
from expplat.domain.poc import Stage
from expplat.domain.proposal import Health, Hold
from expplat.flow.desk import Desk
from expplat.flow.look import is_news, is_spent, read, take_look
from expplat.gates.decision import Action, decide, step_blockers
from expplat.settings import Settings
from expplat.stats import two_sample
from expplat.wiring import Platform
from tests.builders import SLUG, T0, a_poc, a_proposal, an_exposure, keep_poc

PLAN = replace(
    a_proposal().online,
    max_units=10_000,
    max_days=28.0,
    hold=Hold(min_units=100, min_hours=0.0),
    health=Health(min_units=200, min_days=7.0),
)


def snapshot(units, days, *, success=(0.40, 0.43), latency_ms=(120.0, 120.0), events=None):
    def arm(place):
        n = units // 2
        return ArmStatistics(
            units=n,
            metrics={
                "task_success": Moments(
                    n=n, mean=success[place], m2=n * success[place] * (1 - success[place])
                ),
                "latency_ms": Moments(n=n, mean=latency_ms[place], m2=n * 400.0),
                "cost_usd": Moments(n=n, mean=0.002, m2=n * 1e-7),
            },
        )

    return Snapshot(
        slug=SLUG,
        phase=1,
        watermark=4 * units if events is None else events,
        started_at=T0,
        taken_at=T0 + timedelta(days=days),
        arms={"control": arm(0), "treatment": arm(1)},
        multiple_exposures=0,
    )


def readings(*snapshots):
    """The looks that are written where a test is read on each of these."""
    past = ()
    for one in snapshots:
        look = read(PLAN, one, past)
        if is_news(look, past, PLAN):
            past = (*past, look)
    return past


def action(look):
    return decide(look.verdicts, final=is_spent(PLAN, look)).action


def success_of(look):
    return look.verdicts[5]


def test_a_crumb_of_new_units_is_no_look_and_the_newest_stands():
    looks = readings(snapshot(4000, 8), snapshot(4048, 8.01), snapshot(4050, 8.02))

    assert [look.snapshot.units for look in looks] == [4000, 4050]
    assert [look.information_fraction for look in looks] == [0.4, 0.405]


def test_harm_between_two_decisive_looks_is_written_at_once():
    looks = readings(snapshot(4000, 8), snapshot(4002, 8.01, latency_ms=(120.0, 400.0)))

    assert [look.information_fraction for look in looks] == [0.4, 0.0]
    assert action(looks[-1]) is Action.ROLL_BACK


def test_harm_is_found_after_the_plan_is_spent_and_nothing_else_is_read_again():
    looks = readings(
        snapshot(10_000, 8), snapshot(12_000, 9), snapshot(12_000, 9, latency_ms=(120.0, 400.0))
    )

    assert [look.information_fraction for look in looks] == [1.0, 0.0]
    assert action(looks[-1]) is Action.ROLL_BACK


def test_early_readings_are_written_where_many_events_or_a_day_came():
    looks = readings(
        snapshot(1000, 1.0), snapshot(1090, 1.1), snapshot(1110, 1.2), snapshot(1110, 2.1),
        snapshot(1110, 2.3), snapshot(1110, 2.4, events=6000),
    )  # fmt: skip

    assert [look.snapshot.days for look in looks] == [1.0, 1.2, 2.3, 2.4]


def test_days_that_end_before_the_units_spend_what_is_left_on_what_there_is():
    first = read(PLAN, snapshot(5800, 20), ())
    last = read(PLAN, snapshot(6000, 28), (first,))
    as_planned = read(PLAN, snapshot(6000, 27), (first,))

    widths = [success_of(look).effect for look in (last, as_planned)]
    assert last.information_fraction == 1.0
    assert widths[0].high - widths[0].low < widths[1].high - widths[1].low
    # as if read once, on the units that there are; a plan thought to be full would ask for 1.978
    arms = last.snapshot.arms.values()
    error = two_sample.standard_error(*(arm.metrics["task_success"] for arm in arms), True, True)
    assert (widths[0].high - widths[0].low) / 2 == pytest.approx(1.960 * error, rel=0.001)


def test_the_last_day_decides_also_where_nobody_came_since_the_look_before():
    same = {"success": (0.400, 0.415)}
    looks = readings(snapshot(6000, 20, **same), snapshot(6000, 28, **same))

    assert [look.information_fraction for look in looks] == [0.6, 1.0]
    assert success_of(looks[-1]).effect.low is not None
    assert action(looks[-1]) is Action.ROLL_BACK
    assert decide(looks[-1].verdicts, final=True).reason.startswith("Inconclusive")


def test_a_spent_plan_without_power_on_a_guardrail_is_inconclusive():
    look = read(PLAN, snapshot(10_000, 20, success=(0.40, 0.45), latency_ms=(120.0, 169.9)), ())

    rulings = [verdict.ruling for verdict in look.verdicts[5:]]
    assert rulings == [Ruling.PASS, Ruling.UNKNOWN, Ruling.PASS]
    assert action(look) is Action.ROLL_BACK


def test_a_goal_that_surely_lost_ends_the_test_on_its_first_day_and_widens_nothing():
    look = read(PLAN, snapshot(600, 0.5, success=(0.40, 0.10)), ())

    assert action(look) is Action.ROLL_BACK
    assert success_of(look) in step_blockers(look.verdicts)


def test_a_goal_that_is_only_too_small_waits_for_its_days():
    look = read(PLAN, snapshot(10_000, 2, success=(0.40, 0.40)), ())

    assert action(look) is Action.KEEP_RUNNING
    assert step_blockers(look.verdicts) == ()


def test_what_a_reading_decided_stands_until_the_next_that_may_decide(sqlite_uow_factory, tmp_path):
    uow, poc = sqlite_uow_factory(), a_poc(Stage.PROMOTED)
    with uow:
        keep_poc(uow, poc)
        uow.commit()
    proposal = replace(a_proposal(), online=PLAN)
    snapshots = [snapshot(6000, 8, success=(0.4, 0.5)), snapshot(6010, 8.01)]
    desk = Desk(
        uow=uow,
        reading=Scripted(sqlite_uow_factory(), lambda **_: snapshots.pop(0)),
        reader=SimpleNamespace(thaw=lambda text: proposal),
        flags=FlagBrake(tmp_path / "closed"),
        now=lambda: T0,
        by="ada",
    )

    first, second = take_look(poc, proposal, desk), take_look(poc, proposal, desk)

    assert action(first) is Action.GRADUATE
    assert second == first


def test_events_are_taken_in_while_a_look_adds_them_up(database_url, tmp_path):
    env = {"EXPPLAT_WORKSPACE": str(tmp_path), "EXPPLAT_DATABASE_URL": database_url}
    platform = Platform(settings=Settings.from_env(env, tmp_path), now=lambda: T0)
    poc, proposal = a_poc(Stage.PROMOTED), replace(a_proposal(), online=PLAN)
    with platform.uow() as uow:
        keep_poc(uow, poc)
        uow.commit()
    desk = platform.desk(by="ada")

    def added_up(**_):
        with platform.uow() as uow:
            uow.events.add_exposures([an_exposure("u1", "control")], source="test")
            uow.commit()
        return snapshot(6000, 8)

    take_look(poc, proposal, replace(desk, reading=Scripted(desk.reading, added_up)))

    with platform.uow() as uow:
        assert len(uow.looks.of(poc.slug, 1)) == 1
        assert uow.events.shown_since(T0 - timedelta(days=1), slug=poc.slug, phase=1) == {
            "control": 1
        }
    platform.sql_engine.dispose()


class Scripted:
    """A unit of work whose events add up to what the test says."""

    def __init__(self, uow, snapshot):
        self._uow = uow
        self.events = SimpleNamespace(snapshot=snapshot)

    def __getattr__(self, name):
        return getattr(self._uow, name)

    def __enter__(self):
        self._uow.__enter__()
        return self

    def __exit__(self, *error):
        return self._uow.__exit__(*error)
