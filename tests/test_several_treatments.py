"""Several treatments of one POC, from the file to everyone: each must earn it by itself."""

from __future__ import annotations

import itertools
import json
import random
import re
from datetime import UTC, datetime, timedelta

import pytest

from expplat.adapters.growthbook.payload import render
from expplat.adapters.scaffold import new_poc, new_workspace
from expplat.domain.online import Exposure, Outcome
from expplat.domain.poc import Stage
from expplat.errors import FaultsError
from expplat.flow.audit import verify
from expplat.flow.decide import replay_decision
from expplat.flow.event_judging import Incoming
from expplat.flow.flags import flag_states, proposals_needed
from expplat.flow.ingest import take
from expplat.flow.promote import promote
from expplat.flow.propose import propose
from expplat.flow.read import story
from expplat.flow.replay import replay
from expplat.flow.watch import watch_once
from expplat.settings import Settings
from expplat.wiring import Platform

SLUG = "two_rankers"
ARMS = ("control", "treatment", "treatment_b")
NUMBERS = itertools.count()

VARIANTS = """
from expplat import Output


class Ranker:
    def __init__(self, good):
        self.good = good

    def __call__(self, request, call):
        is_right = int(request.request_id[1:]) % 10 < self.good
        return Output(retrieved=("right",) if is_right else ("wrong",))
"""


class Days:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def variants(*good, name):
    """Rankers that find so many of ten requests, control first."""
    control, treatment, third = (
        {"use": f"pocs.{SLUG}.variants:Ranker", "params": {"good": number}} for number in good
    )
    return {"control": control, "treatment": treatment, "more": {name: third}}


def written(platform, variants, max_units=30_000):
    """Write the experiment file of three variants."""
    folder = platform.settings.workspace
    file = folder / "experiments" / f"{SLUG}.yaml"
    lines = re.sub(r"max_units: \d+", f"max_units: {max_units}", file.read_text()).splitlines()
    begin = lines.index("variants:")
    end = next(n for n in range(begin + 1, len(lines)) if lines[n][:1] not in (" ", "#", ""))
    text = "\n".join([*lines[:begin], f"variants: {json.dumps(variants)}", *lines[end:]])
    file.write_text(text + "\n")
    return file


@pytest.fixture
def platform(tmp_path):
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
    platform = Platform(
        settings=Settings.from_env({"EXPPLAT_WORKSPACE": str(folder)}, folder), now=Days()
    )
    yield platform
    platform.sql_engine.dispose()


def proposed(platform, *good, name="treatment_b", **plan):
    file = written(platform, variants(*good, name=name), **plan)
    return propose(
        file.read_bytes(), f"experiments/{SLUG}.yaml", workspace=platform.settings.workspace,
        code=platform.variant_code, desk=platform.desk(by="ada"),
    )  # fmt: skip


def replayed(platform):
    runner = platform.runner(platform.engine("local"), lambda done, total: None)
    return replay(SLUG, desk=platform.desk(by="ada"), bench=platform.bench(), runner=runner)


def promoted(platform):
    proposed(platform, 4, 8, 9)
    replayed(platform)
    return promote(SLUG, desk=platform.desk(by="ada"), bench=platform.bench())


def users(platform, count, *, success, slow_ms=(100.0, 100.0, 100.0)):
    """Let so many users of each variant meet the test; `success` and `slow_ms` by variant."""
    draw = random.Random(11)
    exposures, outcomes = [], []
    for place, variant in enumerate(ARMS):
        for _ in range(count):
            unit, at = f"u{next(NUMBERS)}", platform.now() + timedelta(minutes=1)
            times = {"at": at, "received_at": at, "unit": unit}
            exposures.append(
                Exposure(event_id=f"x{unit}", slug=SLUG, phase=1, variant=variant, **times)
            )
            values = {
                "found_page": float(draw.random() < success[place]),
                "answer_ms": slow_ms[place] * draw.uniform(0.9, 1.1),
                "answer_usd": 0.001 * draw.uniform(0.9, 1.1),
            }
            outcomes += [
                Outcome(event_id=f"o{unit}{metric}", metric=metric, value=value, **times)
                for metric, value in values.items()
            ]
    with platform.uow() as uow:
        uow.events.add_exposures(exposures, source="test")
        uow.events.add_outcomes(outcomes, source="test")
        uow.commit()


def look(platform):
    (watched,) = watch_once(platform.desk(by="watcher"))
    return watched.action


def told(platform):
    return story(SLUG, uow=platform.uow(), reader=platform.spec_reader)


def served(platform):
    """What SDKs are told of the flag."""
    with platform.uow() as uow:
        pocs = uow.pocs.all()
        needed = proposals_needed(pocs)
        proposals = {sha: platform.spec_reader.thaw(uow.proposals.text(sha)) for sha in needed}
    return json.loads(render(flag_states(pocs, proposals, {})).body)["features"][SLUG]


def test_each_treatment_is_replayed_against_the_same_control(platform):
    proposed(platform, 4, 8, 9)

    done = replayed(platform)

    gains = [report.effect_on("recall_at_3").difference for report in done.reports]
    assert [report.plan.arm for report in done.reports] == ["treatment", "treatment_b"]
    assert gains == pytest.approx([0.4, 0.5])
    assert done.blockers == ()
    assert not replayed(platform).is_new


def test_one_treatment_that_fails_keeps_all_offline(platform):
    proposed(platform, 4, 8, 3)

    done = replayed(platform)
    standing = promote(SLUG, desk=platform.desk(by="ada"), bench=platform.bench()).standing

    assert done.reports[0].blockers == ()
    assert done.reports[1].blockers == standing != ()


def test_the_flag_gives_each_arm_a_third(platform):
    promoted(platform)

    (rule,) = served(platform)["rules"]

    assert rule["variations"] == list(ARMS)
    assert rule["weights"] == [0.3333, 0.3334, 0.3333]
    assert [start for start, _ in rule["ranges"]] == [0, 0.3333, 0.6667]


def test_events_name_the_arms_that_the_test_has(platform):
    promoted(platform)
    named = [2, "treatment_b", "treatment_c", 3]
    events = [
        Incoming(kind="exposure", event={"experiment": SLUG, "variation": name, "unit": f"u{n}"})
        for n, name in enumerate(named)
    ]

    answer = take(events, source="test", uow=platform.uow(), now=platform.now)

    assert answer.accepted == 2
    assert [(one.index, one.code) for one in answer.errors] == [
        (2, "unknown_variation"), (3, "unknown_variation"),
    ]  # fmt: skip


def test_the_best_of_those_that_pass_graduates(platform):
    promoted(platform)
    actions = []
    while "graduate" not in actions and len(actions) < 10:
        users(platform, 800, success=(0.30, 0.42, 0.50))
        platform.now.now += timedelta(days=1.1)
        actions.append(look(platform))

    assert actions[:3] == ["ramp"] * 3
    assert actions[-1] == "graduate"
    assert told(platform).poc.newest.winner == "treatment_b"
    assert served(platform) == {"defaultValue": "treatment_b", "rules": []}
    assert verify(uow=platform.uow()).findings == ()


def test_harm_by_one_treatment_ends_the_test_for_all(platform):
    promoted(platform)
    users(platform, 300, success=(0.3, 0.5, 0.5), slow_ms=(100.0, 100.0, 400.0))
    platform.now.now += timedelta(days=0.1)

    assert look(platform) == "roll_back"
    assert told(platform).poc.stage is Stage.ROLLED_BACK
    assert told(platform).poc.newest.reason.startswith("treatment_b: ")


def test_a_test_needs_the_units_for_the_share_of_alpha_that_each_treatment_has(platform):
    proposed(platform, 4, 8, 9, max_units=20_000)
    replayed(platform)

    done = promote(SLUG, desk=platform.desk(by="ada"), bench=platform.bench())

    assert [verdict.gate.kind for verdict in done.standing] == ["min_units"]
    assert told(platform).poc.stage is Stage.REPLAYED


def test_every_verdict_of_every_treatment_can_be_made_again(platform):
    promoted(platform)
    users(platform, 500, success=(0.30, 0.42, 0.50))
    platform.now.now += timedelta(days=1.1)
    look(platform)

    found = [replay_decision(SLUG, place, desk=platform.desk(by="ada")) for place in (1, 3)]

    assert [one.differences for one in found] == [(), ()]


def test_the_page_shows_what_was_said_of_each(platform):
    promoted(platform)
    users(platform, 500, success=(0.30, 0.42, 0.50))
    platform.now.now += timedelta(days=1.1)
    look(platform)

    page = platform.pages.poc_page(told(platform))

    assert "treatment_b against control at look 1" in page
    assert "treatment_b against control, 120 requests" in page
    assert '<th scope="col" class="num">Treatment b</th>' in page


def test_success_is_asked_of_each_at_its_share_of_alpha(platform):
    promoted(platform)
    users(platform, 500, success=(0.30, 0.42, 0.50))
    platform.now.now += timedelta(days=1.1)
    look(platform)

    newest = told(platform).looks[-1]
    alphas = [
        verdict.gate.alpha
        for one in newest.by_treatment.values()
        for verdict in one.verdicts
        if verdict.gate.metric == "found_page"
    ]

    assert alphas == [0.025, 0.025]


@pytest.mark.parametrize("name", ["treatment_c", "candidate", "control"])
def test_further_treatments_have_names_that_flags_and_events_know(platform, name):
    with pytest.raises(FaultsError) as caught:
        proposed(platform, 4, 8, 9, name=name)

    assert [fault.field for fault in caught.value.faults] == ["variants.more"]


def test_a_treatment_that_is_another_one_over_again_is_a_fault(platform):
    with pytest.raises(FaultsError) as caught:
        proposed(platform, 4, 8, 8)

    (fault,) = caught.value.faults
    assert (fault.field, fault.message) == (
        "variants.more.treatment_b",
        "Treatment and treatment_b are the same.",
    )
