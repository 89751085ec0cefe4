"""An answer that was paid for is used again, and never where that would bend the measurement."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from expplat.adapters.replay.call_cache import CallCache
from expplat.domain.price import ModelPrice
from expplat.domain.proposal import Variant
from expplat.domain.replay import CONTROL, CONTROL_AGAIN, TREATMENT
from tests.adapters.replay.working import worked

AT_ONCE = {"concurrency": 3, "latency_requests": 2, "shard_requests": 30, "aa_requests": 4}


@pytest.fixture
def cache(tmp_path):
    with CallCache(tmp_path / "calls.db") as found:
        yield found


@pytest.fixture
def note(tmp_path):
    return tmp_path / "note"


def plan_of(make_plan, note, **changes):
    given = {"note": str(note), "requests": 12, **changes}
    return make_plan(measurement={**AT_ONCE, **given.pop("measurement", {})}, **given)


def paid(note):
    return len(note.read_text().split()) if note.exists() else 0


def test_the_same_question_to_the_same_code_is_paid_for_once(make_plan, cache, note):
    first = worked(plan_of(make_plan, note), cache=cache)
    before = paid(note)

    again = worked(plan_of(make_plan, note), cache=cache)

    timed = [row.calls[TREATMENT].is_timed for row in first]
    assert paid(note) - before == sum(timed) == 2
    kept = [row.calls[TREATMENT] for row in again]
    assert [call.is_kept for call in kept] == [not is_timed for is_timed in timed]
    assert [call.is_timed for call in kept] == timed
    for old, new in zip(first, again, strict=True):
        if new.calls[TREATMENT].is_kept:
            assert new.calls[TREATMENT].cost_usd == old.calls[TREATMENT].cost_usd
            assert new.calls[TREATMENT].usages == old.calls[TREATMENT].usages
            assert new.calls[TREATMENT].metrics == old.calls[TREATMENT].metrics


def test_a_kept_answer_is_not_spent_again(make_plan, cache, note):
    class Purse:
        def __init__(self):
            self.spent = []

        def over(self):
            return ""

        def spend(self, usd):
            self.spent.append(usd)

    purses = Purse(), Purse()
    for purse in purses:
        worked(plan_of(make_plan, note), cache=cache, budget=purse)

    assert sum(usd > 0 for usd in purses[0].spent) == 12
    assert sum(usd > 0 for usd in purses[1].spent) == 2


def test_a_kept_answer_is_scored_anew(make_plan, cache, note):
    worked(plan_of(make_plan, note), cache=cache)
    metrics = plan_of(make_plan, note).metrics[:1]

    rows = worked(plan_of(make_plan, note, metrics=metrics), cache=cache)

    assert {tuple(row.calls[TREATMENT].metrics) for row in rows} == {("recall_at_5",)}
    assert any(row.calls[TREATMENT].is_kept for row in rows)


PRICES = {"small": ModelPrice(input_usd=Decimal(2), output_usd=Decimal(8))}


@pytest.mark.parametrize(
    "changed",
    [
        lambda plan: replace(plan, treatment_sha256="3" * 64),
        lambda plan: replace(plan, prices=replace(plan.prices, models=PRICES)),
        lambda plan: replace(plan, attempt=2),
        lambda plan: replace(plan, measurement=replace(plan.measurement, keep_answers=False)),
    ],
)
def test_another_question_is_asked_again(make_plan, cache, note, changed):
    worked(plan_of(make_plan, note), cache=cache)
    before = paid(note)

    rows = worked(changed(plan_of(make_plan, note)), cache=cache)

    assert paid(note) - before == 12
    assert not any(row.calls[TREATMENT].is_kept for row in rows)


def test_each_repeat_has_an_answer_of_its_own(make_plan, cache, note):
    rows = worked(plan_of(make_plan, note, measurement={"repeats": 3}), cache=cache)

    assert paid(note) == 36
    assert not any(call.is_kept for row in rows for call in row.calls.values())


def test_the_noise_floor_is_never_an_answer_that_was_kept_for_control(make_plan, cache, note):
    rows = worked(plan_of(make_plan, note), cache=cache)

    again = [row.calls[CONTROL_AGAIN] for row in rows if CONTROL_AGAIN in row.calls]
    assert len(again) == 4
    assert not any(call.is_kept for call in again)


def test_two_equal_variants_do_not_share_their_answers(make_plan, cache, note):
    same = Variant(use="pocs.trouble.variants:sound", params={"note": str(note)})
    plan = plan_of(make_plan, note, control=same, treatment=same, treatment_sha256="1" * 64)

    rows = worked(plan, cache=cache)

    assert not any(call.is_kept for row in rows for call in row.calls.values())


def test_a_technique_that_became_control_brings_its_answers_along(make_plan, cache, note):
    worked(plan_of(make_plan, note), cache=cache)
    sound = Variant(use="pocs.trouble.variants:sound", params={"note": str(note)})
    promoted = plan_of(
        make_plan, note, control=sound, control_sha256="2" * 64, treatment_sha256="3" * 64
    )

    rows = worked(promoted, cache=cache)

    kept = [row.calls[CONTROL].is_kept for row in rows]
    assert kept == [not row.calls[CONTROL].is_timed for row in rows]


def test_a_failure_and_an_answer_that_cost_nothing_are_not_kept(make_plan, cache, note):
    trouble = {f"r{n}": "raises" if n % 2 else "gives_text" for n in range(12)}
    plans = [plan_of(make_plan, note, trouble=trouble) for _ in range(2)]

    rows = [worked(plan, cache=cache) for plan in plans]

    assert not any(row.calls[TREATMENT].is_kept for row in rows[1])


def test_where_every_call_is_timed_nothing_is_kept(make_plan, cache, note):
    for _ in range(2):
        rows = worked(plan_of(make_plan, note, measurement={"concurrency": 1}), cache=cache)

    assert paid(note) == 24
    assert all(call.is_timed for row in rows for call in row.calls.values())
