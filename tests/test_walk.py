"""The whole walk of a POC, on both databases: propose, replay, promote, users, and what follows."""

from __future__ import annotations

import itertools
import json
import random
from datetime import UTC, datetime, timedelta

import pytest

from expplat.adapters.scaffold import new_poc, new_workspace
from expplat.domain.online import Exposure, Outcome
from expplat.domain.poc import Stage
from expplat.errors import ConflictError, StageError
from expplat.flow.audit import verify
from expplat.flow.desk import Step, write_step
from expplat.flow.graduate import graduate
from expplat.flow.promote import promote
from expplat.flow.propose import propose
from expplat.flow.push import served_flags
from expplat.flow.ramp import ramp
from expplat.flow.read import story
from expplat.flow.replay import replay
from expplat.flow.watch import watch_once
from expplat.settings import Settings
from expplat.wiring import Platform
from tests.builders import PROPOSAL_TEXT, a_poc, keep_poc

SLUG = "sharper_search"

VARIANTS = """
from expplat import Output


class Control:
    def __init__(self, **params):
        pass

    def __call__(self, request, call):
        number = int(request.request_id[1:])
        return Output(retrieved=("right",) if number % 2 else ("wrong",))


class Treatment(Control):
    def __call__(self, request, call):
        number = int(request.request_id[1:])
        return Output(retrieved=("wrong",) if number % 10 == 0 else ("right",))
"""


class Days:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_days(self, days: float) -> None:
        self.now += timedelta(days=days)


@pytest.fixture
def platform(tmp_path, database_url):
    folder = tmp_path / "workspace"
    folder.mkdir()
    new_workspace(folder)
    new_poc(folder, SLUG)
    (folder / "pocs" / SLUG / "variants.py").write_text(VARIANTS)
    rows = (
        {"request_id": f"q{n}", "input": {}, "expected": {"relevant_ids": ["right"]}}
        for n in range(120)
    )
    log = folder / "experiments" / "logs" / "requests.jsonl"
    log.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    env = {"EXPPLAT_WORKSPACE": str(folder), "EXPPLAT_DATABASE_URL": database_url}
    return Platform(settings=Settings.from_env(env, folder), now=Days())


def proposed(platform):
    folder = platform.settings.workspace
    file = folder / "experiments" / f"{SLUG}.yaml"
    return propose(
        file.read_bytes(), f"experiments/{SLUG}.yaml", workspace=folder,
        code=platform.variant_code, desk=platform.desk(by="ada"),
    )  # fmt: skip


def replayed(platform):
    runner = platform.runner(platform.engine("local"), lambda done, total: None)
    return replay(SLUG, desk=platform.desk(by="ada"), bench=platform.bench(), runner=runner)


def promoted(platform):
    proposed(platform)
    assert replayed(platform).blockers == ()
    return promote(SLUG, desk=platform.desk(by="ada"), bench=platform.bench())


NUMBERS = itertools.count()


def users(platform, count, *, success, slow_ms=(100.0, 100.0)):
    """Let so many users of each variant meet the test; `success` and `slow_ms` by variant."""
    draw = random.Random(7)
    exposures, outcomes = [], []
    for place, variant in enumerate(("control", "treatment")):
        for _ in range(count):
            unit, at = f"u{next(NUMBERS)}", platform.now()
            exposures.append(
                Exposure(event_id=f"x{unit}", slug=SLUG, phase=1, variant=variant, unit=unit,
                         at=at, received_at=at)
            )  # fmt: skip
            values = {
                "found_page": float(draw.random() < success[place]),
                "answer_ms": slow_ms[place] * draw.uniform(0.9, 1.1),
                "answer_usd": 0.001 * draw.uniform(0.9, 1.1),
            }
            outcomes += [
                Outcome(event_id=f"o{unit}{metric}", unit=unit, metric=metric, value=value,
                        at=at, received_at=at)
                for metric, value in values.items()
            ]  # fmt: skip
    with platform.uow() as uow:
        uow.events.add_exposures(exposures, source="test")
        uow.events.add_outcomes(outcomes, source="test")
        uow.commit()


def look(platform):
    (watched,) = watch_once(platform.desk(by="watcher"))
    return watched.action


def told(platform):
    return story(SLUG, uow=platform.uow(), reader=platform.spec_reader)


def test_a_technique_that_wins_walks_from_the_file_to_everyone(platform):
    assert proposed(platform).is_new
    assert replayed(platform).reports[0].verdicts
    assert promote(SLUG, desk=platform.desk(by="ada"), bench=platform.bench()).is_new
    actions = []
    for _ in range(10):
        platform.now.pass_days(0.01)
        users(platform, 800, success=(0.30, 0.45))
        platform.now.pass_days(1.1)
        actions.append(look(platform))
        if actions[-1] == "graduate":
            break

    assert actions[:3] == ["ramp", "ramp", "ramp"]
    assert actions[-1] == "graduate"
    assert told(platform).treatment_percent == 100
    assert verify(uow=platform.uow()).findings == ()


def test_a_technique_that_makes_users_wait_is_rolled_back_on_the_first_day(platform):
    promoted(platform)
    users(platform, 300, success=(0.3, 0.5), slow_ms=(100.0, 400.0))
    platform.now.pass_days(0.1)

    assert look(platform) == "roll_back"
    assert told(platform).poc.stage is Stage.ROLLED_BACK
    assert set(platform.flags.closed()) == {SLUG}


def test_a_test_without_data_neither_widens_nor_graduates(platform):
    promoted(platform)
    platform.now.pass_days(10)
    desk = platform.desk(by="ada")

    assert ramp(SLUG, desk=desk).standing
    assert graduate(SLUG, desk=desk).standing
    assert told(platform).poc.stage is Stage.PROMOTED


def test_a_step_that_nobody_was_shown_anything_at_is_not_widened(platform):
    promoted(platform)
    platform.now.pass_days(0.01)
    users(platform, 300, success=(0.3, 0.45))
    actions = []
    for _ in range(3):
        platform.now.pass_days(1.1)
        actions.append(look(platform))

    assert actions == ["ramp", "keep_running", "keep_running"]
    (standing,) = ramp(SLUG, desk=platform.desk(by="ada")).standing
    assert standing.sentence == (
        "0 units in the smallest variant since the step was opened, 100 needed."
    )


def test_a_test_that_cannot_be_read_costs_no_other_test_its_look(platform):
    promoted(platform)
    users(platform, 300, success=(0.3, 0.5), slow_ms=(100.0, 400.0))
    with platform.uow() as uow:
        keep_poc(uow, a_poc(Stage.PROMOTED, slug="aaa"))
        uow.commit()
    platform.now.pass_days(0.1)

    watched = {one.slug: one for one in watch_once(platform.desk(by="watcher"))}

    assert watched["aaa"].action == "hold"
    assert "cannot be read" in watched["aaa"].sentence
    assert watched[SLUG].action == "roll_back"


def test_a_fault_of_the_code_costs_no_other_test_its_look_and_is_told(platform, monkeypatch):
    promoted(platform)
    users(platform, 300, success=(0.3, 0.5), slow_ms=(100.0, 400.0))
    with platform.uow() as uow:
        keep_poc(uow, a_poc(Stage.PROMOTED, slug="aaa"))
        uow.commit()
    thaw = platform.spec_reader.thaw
    broken = lambda text: 1 / 0 if text == PROPOSAL_TEXT else thaw(text)  # noqa: E731
    monkeypatch.setattr(platform.spec_reader, "thaw", broken)

    with pytest.raises(ZeroDivisionError):
        watch_once(platform.desk(by="watcher"))

    assert told(platform).poc.stage is Stage.ROLLED_BACK


def test_the_watch_holds_what_the_brake_holds(platform):
    promoted(platform)
    users(platform, 800, success=(0.30, 0.45))
    platform.now.pass_days(10)
    platform.flags.close(SLUG, platform.now())

    assert look(platform) == "hold"
    assert told(platform).poc.newest.traffic_percent == 5
    assert told(platform).looks == ()


def test_the_watch_finishes_a_rollback_that_was_interrupted(platform):
    promoted(platform)
    platform.now.pass_days(1)
    platform.flags.close(SLUG, platform.now(), phase=1)

    assert look(platform) == "roll_back"
    assert told(platform).poc.newest.reason == (
        "A rollback that was begun at 2026-05-02 00:00 UTC had not been committed."
    )


def test_a_rollback_on_another_machine_does_not_hold_the_next_test_there(platform, tmp_path):
    env = {
        "EXPPLAT_WORKSPACE": str(platform.settings.workspace),
        "EXPPLAT_DATABASE_URL": platform.settings.database_url,
        "EXPPLAT_STATE_DIR": str(tmp_path / "server"),
    }
    server = Platform(settings=Settings.from_env(env, tmp_path), now=platform.now)
    promoted(platform)
    users(platform, 300, success=(0.3, 0.5), slow_ms=(100.0, 400.0))
    assert look(server) == "roll_back"
    file = platform.settings.workspace / "experiments" / f"{SLUG}.yaml"
    file.write_text(f"# faster now\n{file.read_text()}")
    promoted(platform)

    (flag,) = served_flags(uow=server.uow(), reader=server.spec_reader, flags=server.flags)
    assert (flag.phase, flag.is_test) == (2, True)


def test_a_look_on_the_same_events_is_not_taken_twice(platform):
    promoted(platform)
    users(platform, 500, success=(0.3, 0.3))
    platform.now.pass_days(8)
    desk = platform.desk(by="ada")
    graduate(SLUG, desk=desk)
    graduate(SLUG, desk=desk)

    assert len(told(platform).looks) == 1


def test_every_verb_repeated_changes_nothing(platform):
    promoted(platform)

    again = [
        proposed(platform).is_new,
        promote(SLUG, desk=platform.desk(by="ada"), bench=platform.bench()).is_new,
    ]
    assert again == [False, False]
    assert len(told(platform).poc.history) == 3
    with pytest.raises(StageError):
        replayed(platform)


def test_changed_code_makes_the_verdict_stale_and_keeps_the_flag_closed(platform):
    proposed(platform)
    replayed(platform)
    code = platform.settings.workspace / "pocs" / SLUG / "variants.py"
    code.write_text(VARIANTS.replace("% 10", "% 11"))

    done = promote(SLUG, desk=platform.desk(by="ada"), bench=platform.bench())

    assert [verdict.sentence for verdict in done.standing] == [
        "The verdict is stale: the code of control changed since the replay; replay again.",
        "The verdict is stale: the code of treatment changed since the replay; replay again.",
    ]
    assert told(platform).poc.stage is Stage.REPLAYED


def test_evidence_of_an_older_revision_keeps_the_flag_closed(platform):
    proposed(platform)
    evidence = replayed(platform).poc.newest.evidence
    file = platform.settings.workspace / "experiments" / f"{SLUG}.yaml"
    file.write_text(f"# stricter now\n{file.read_text()}")
    step = Step(stage=Stage.REPLAYED, reason="as an older version may have", evidence=evidence)
    write_step(proposed(platform).poc, step, platform.desk(by="ada"))

    done = promote(SLUG, desk=platform.desk(by="ada"), bench=platform.bench())

    assert [verdict.sentence for verdict in done.standing] == [
        "The verdict is stale: the experiment file changed since the replay; replay again."
    ]


def test_a_changed_file_is_refused_while_users_are_in_the_test(platform):
    promoted(platform)
    file = platform.settings.workspace / "experiments" / f"{SLUG}.yaml"
    file.write_text(f"# later\n{file.read_text()}")

    with pytest.raises(StageError):
        proposed(platform)
    assert len(told(platform).poc.history) == 3


def test_a_test_that_its_plan_has_too_few_units_for_is_not_opened(platform):
    file = platform.settings.workspace / "experiments" / f"{SLUG}.yaml"
    file.write_text(file.read_text().replace("max_units: 20000", "max_units: 2000"))
    proposed(platform)
    replayed(platform)

    done = promote(SLUG, desk=platform.desk(by="ada"), bench=platform.bench())

    (standing,) = done.standing
    assert "found_page needs" in standing.sentence
    assert told(platform).poc.stage is Stage.REPLAYED


def test_a_second_test_is_randomised_anew(platform):
    promoted(platform)
    users(platform, 300, success=(0.3, 0.5), slow_ms=(100.0, 400.0))
    look(platform)
    file = platform.settings.workspace / "experiments" / f"{SLUG}.yaml"
    file.write_text(f"# faster now\n{file.read_text()}")

    promoted(platform)

    assert told(platform).poc.newest.phase == 2
    assert not platform.flags.closed()[SLUG].holds(2)
    assert told(platform).looks == ()


def test_two_people_at_once_take_each_step_once(platform):
    promoted(platform)
    desk = platform.desk(by="ada")
    read_by_both = told(platform).poc
    step = Step(stage=Stage.PROMOTED, reason="wider", traffic_percent=20.0)
    write_step(read_by_both, step, desk)

    with pytest.raises(ConflictError, match="has moved on"):
        write_step(read_by_both, step, desk)

    assert len(told(platform).poc.history) == 4


def test_a_revision_that_comes_in_during_a_replay_is_not_judged_by_it(platform):
    proposed(platform)
    file = platform.settings.workspace / "experiments" / f"{SLUG}.yaml"

    def revise(done, total):
        file.write_text(f"# stricter now\n{file.read_text()}")
        proposed(platform)

    runner = platform.runner(platform.engine("local"), revise)
    with pytest.raises(ConflictError, match="has moved on"):
        replay(SLUG, desk=platform.desk(by="ada"), bench=platform.bench(), runner=runner)

    assert {step.stage for step in told(platform).poc.history} == {Stage.PROPOSED}
    assert replayed(platform).is_new
