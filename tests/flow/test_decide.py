"""What the gates say now, and stored verdicts made again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from expplat.adapters.flag_brake import FlagBrake
from expplat.domain.decision import Decision, Outcome
from expplat.domain.gate import Ruling
from expplat.domain.moments import Moments
from expplat.domain.online import ArmStatistics
from expplat.domain.plain import canonical_json, from_plain, sha256_of, to_plain
from expplat.domain.poc import Stage
from expplat.domain.proposal import Health, Hold
from expplat.errors import InputError, NotFoundError, StageError
from expplat.flow.decide import decide_now, differences, replay_decision
from expplat.flow.desk import Desk, Step, write_step
from expplat.flow.look import evidence_of, take_look
from expplat.flow.ramp import ramp
from expplat.flow.rollback import rollback
from expplat.flow.watch import watch_once
from expplat.gates import judge
from tests.builders import SLUG, T0, a_poc, a_proposal, a_report, a_snapshot, an_effect, keep_poc

PROPOSAL = a_proposal()
PROPOSAL = replace(
    PROPOSAL,
    online=replace(
        PROPOSAL.online,
        max_units=10_000,
        hold=Hold(min_units=100, min_hours=0.0),
        health=Health(min_units=100, min_days=5.0),
    ),
)
REPORT_ID = "r_0123456789abcdef"


def snapshot(units=3000, days=8.0, success=(0.40, 0.50)):
    def arm(place):
        n = units // 2
        return ArmStatistics(
            units=n,
            metrics={
                "task_success": Moments(n=n, mean=success[place], m2=n * 0.24),
                "latency_ms": Moments(n=n, mean=120.1 + place / 3, m2=n * 400.0),
                "cost_usd": Moments(n=n, mean=0.002, m2=n * 1e-7),
            },
        )

    return a_snapshot(
        watermark=units, taken_at=T0 + timedelta(days=days),
        arms={"control": arm(0), "treatment": arm(1)},
    )  # fmt: skip


class Scripted:
    """A unit of work whose events add up to what the test says; the last one stays."""

    def __init__(self, uow, snapshots):
        self._uow, self.snapshots = uow, snapshots
        self.events = SimpleNamespace(
            snapshot=lambda **_: snapshots.pop(0) if len(snapshots) > 1 else snapshots[0],
            shown_since=lambda moment, **_: {"control": 1000, "treatment": 1000},
        )

    def __getattr__(self, name):
        return getattr(self._uow, name)

    def __enter__(self):
        self._uow.__enter__()
        return self

    def __exit__(self, *error):
        return self._uow.__exit__(*error)


@pytest.fixture
def desk(sqlite_uow_factory, tmp_path):
    """A desk with a promoted POC, and a way to say what its events add up to."""
    uow = sqlite_uow_factory()
    with uow:
        keep_poc(uow, a_poc(Stage.PROMOTED, evidence={"replay_id": REPORT_ID}))
        uow.commit()
    return Desk(
        uow=uow,
        reading=Scripted(sqlite_uow_factory(), [snapshot()]),
        reader=SimpleNamespace(thaw=lambda _: PROPOSAL),
        flags=FlagBrake(tmp_path / "closed"),
        now=lambda: T0 + timedelta(days=8),
        by="ada",
    )


def newest(desk):
    with desk.uow as uow:
        return uow.pocs.get(SLUG).newest


def edit(desk, table, column, old, new):
    """Change a stored row behind the back of the platform."""
    with desk.uow as uow:
        uow._connection.execute(text(f"DROP TRIGGER IF EXISTS {table}_refuse_update"))
        where = f"UPDATE {table} SET {column} = replace({column}, :old, :new)"
        changed = uow._connection.execute(text(where), {"old": old, "new": new})
        assert changed.rowcount
        uow.commit()


def test_deciding_says_what_the_gates_say_and_lets_nobody_in_or_out(desk):
    before = newest(desk)

    decided = decide_now(SLUG, desk=desk)

    assert decided.decision.outcome is Outcome.GRADUATE
    assert newest(desk) == before


def test_deciding_is_a_look_like_any_other_and_is_written(desk):
    desk.reading.snapshots[:] = [snapshot(success=(0.40, 0.42))]

    decided = decide_now(SLUG, desk=desk)

    with desk.uow as uow:
        assert uow.looks.of(SLUG, 1) == (decided.look,)
    assert decided.decision.outcome is Outcome.CONTINUE


def test_a_poc_without_a_running_test_has_nothing_to_decide(desk):
    rollback(SLUG, reason="Enough.", desk=desk)

    with pytest.raises(StageError):
        decide_now(SLUG, desk=desk)


@pytest.mark.parametrize("winning", ["all", "any"])
@pytest.mark.parametrize("mode", ["planned", "open_ended"])
@pytest.mark.parametrize("success", [(0.40, 0.50), (0.40, 0.10)])
def test_what_the_watcher_decided_is_identical_when_it_is_made_again(desk, mode, winning, success):
    plan = replace(PROPOSAL.online, mode=mode, winning=winning)
    proposal = replace(PROPOSAL, online=plan)
    desk = replace(desk, reader=SimpleNamespace(thaw=lambda _: proposal))
    desk.reading.snapshots[:] = [snapshot(2000, 6.0, (0.4, 0.41)), snapshot(3000, 8.0, success)]
    watch_once(desk)
    watch_once(desk)
    wanted = Stage.GRADUATED if success[1] > success[0] else Stage.ROLLED_BACK

    done = replay_decision(SLUG, desk=desk)

    assert newest(desk).stage is wanted
    assert done.stage == wanted
    assert done.is_identical
    assert done.differences == ()
    assert done.stored_sha256 == done.again_sha256
    decision = from_plain(Decision, newest(desk).evidence["decision"])
    assert decision.action == ("graduate" if success[1] > success[0] else "roll_back")


def test_a_ramp_step_keeps_its_decision_and_can_be_made_again_by_its_position(desk):
    desk.reading.snapshots[:] = [snapshot(success=(0.40, 0.42))]
    ramp(SLUG, desk=desk)
    ramped = newest(desk)
    desk.reading.snapshots[:] = [snapshot(4000, 9.0)]
    watch_once(desk)

    done = replay_decision(SLUG, ramped.position, desk=desk)

    assert (done.position, done.stage) == (ramped.position, "promoted")
    assert done.is_identical
    assert from_plain(Decision, ramped.evidence["decision"]).outcome is Outcome.CONTINUE


def test_a_row_of_before_decisions_were_kept_can_still_be_made_again(desk):
    with desk.uow as uow:
        poc = uow.pocs.get(SLUG)
    evidence = evidence_of(PROPOSAL.online, take_look(poc, PROPOSAL, desk))
    del evidence["decision"]
    for verdict in evidence["verdicts"]:
        verdict["gate"].pop("strict")
    write_step(poc, Step(stage=Stage.GRADUATED, reason="Then.", evidence=evidence), desk)

    assert replay_decision(SLUG, desk=desk).is_identical


def test_a_look_that_was_edited_is_found_with_the_places_that_differ(desk):
    watch_once(desk)
    edit(desk, "looks", "look", '"mean":0.5,', '"mean":0.49,')

    done = replay_decision(SLUG, desk=desk)

    assert not done.is_identical
    paths = {difference.path for difference in done.differences}
    assert "verdicts[5].effect.treatment" in paths
    assert "look.verdicts[5].effect.low" in paths
    by_path = {difference.path: difference for difference in done.differences}
    assert by_path["verdicts[5].effect.treatment"][1:] == (0.5, 0.49)


def test_a_decision_that_was_edited_is_found_and_so_is_the_row(desk):
    watch_once(desk)
    edit(desk, "transitions", "evidence", '"outcome":"graduate"', '"outcome":"continue"')

    done = replay_decision(SLUG, desk=desk)

    assert [tuple(difference) for difference in done.differences] == [
        ("decision.outcome", "continue", "graduate"),
        ("row", "edited", "as it was written"),
    ]


def test_a_look_that_is_gone_is_said_to_be_gone(desk):
    watch_once(desk)
    with desk.uow as uow:
        uow._connection.execute(text("DROP TRIGGER looks_refuse_delete"))
        uow._connection.execute(text("DELETE FROM looks"))
        uow.commit()

    with pytest.raises(NotFoundError, match="look 0"):
        replay_decision(SLUG, desk=desk)


def a_judged_report():
    effects = (
        an_effect(),
        an_effect("latency_ms", sign=-1, difference=3.0, low=1.0, high=5.0, timed=True),
        an_effect("cost_usd", sign=-1, difference=0.1, low=0.05, high=0.2),
    )  # fmt: skip
    report = a_report(effects=effects)
    verdicts = tuple(judge(gate, report.effect_on(gate.metric)) for gate in PROPOSAL.offline_gates)
    return replace(report, verdicts=verdicts)


@pytest.fixture
def replayed(sqlite_uow_factory, desk):
    """The same desk, whose POC stands on a replay that was kept."""
    report = a_judged_report()
    with desk.uow as uow:
        uow.replays.add(report)
        uow.commit()
    return desk


def test_offline_verdicts_are_made_again_from_the_effects_of_the_replay(replayed):
    done = replay_decision(SLUG, desk=replayed)

    assert (done.position, done.stage) == (2, "promoted")
    assert done.is_identical
    rulings = [verdict.ruling for verdict in a_judged_report().verdicts]
    assert rulings == [Ruling.PASS, Ruling.PASS, Ruling.FAIL]


def test_an_effect_that_was_edited_is_found(replayed):
    edit(replayed, "replays", "report", '"low":0.03', '"low":-0.03')

    done = replay_decision(SLUG, desk=replayed)

    assert "report[0].ruling" in {difference.path for difference in done.differences}


def test_a_replay_that_is_gone_is_said_to_be_gone(desk):
    with pytest.raises(NotFoundError, match=REPORT_ID):
        replay_decision(SLUG, desk=desk)


@pytest.mark.parametrize(
    ("position", "kind", "message"),
    [(0, InputError, "stands on no evidence"), (9, NotFoundError, "no step 9"),
     (-1, NotFoundError, "no step -1")],
)  # fmt: skip
def test_a_step_without_evidence_and_one_that_is_not_there_are_refused(
    desk, position, kind, message
):
    with pytest.raises(kind, match=message):
        replay_decision(SLUG, position, desk=desk)


def test_a_poc_of_which_nothing_was_judged_has_nothing_to_make_again(sqlite_uow_factory, desk):
    with desk.uow as uow:
        keep_poc(uow, a_poc(Stage.PROPOSED, slug="fresh"))
        uow.commit()

    with pytest.raises(InputError, match="evidence that was judged"):
        replay_decision("fresh", desk=desk)


def test_the_hash_is_of_what_was_stored(desk):
    watch_once(desk)
    with desk.uow as uow:
        (look,) = uow.looks.of(SLUG, 1)
    kept = newest(desk).evidence
    stored = {"look": look, "verdicts": kept["verdicts"], "decision": kept["decision"]}

    assert replay_decision(SLUG, desk=desk).stored_sha256 == sha256_of(stored)
    assert json.loads(canonical_json(stored))["decision"] == to_plain(kept["decision"])


def test_differences_name_every_place():
    stored = {"a": [1, {"b": 2.0}], "gone": None, "same": "x"}
    again = {"a": [1, {"b": 2.5}, 3], "new": True, "same": "x"}

    assert [tuple(one) for one in differences(stored, again)] == [
        ("a[1].b", 2.0, 2.5), ("a[2]", "nothing", 3), ("gone", None, "nothing"),
        ("new", "nothing", True),
    ]  # fmt: skip
