"""A replay from plan to report: rounds, budgets, and where it stops."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

import pytest

from expplat.adapters.replay.order import Interleaving
from expplat.domain.gate import Ruling
from expplat.domain.proposal import Measurement
from expplat.domain.replay import CONTROL, TREATMENT, CallRecord, ReplayRow
from expplat.flow.measure import Runner, measure
from expplat.metrics.columns import columns_of
from tests.builders import RECALL, T0, a_plan, a_proposal, superiority

REQUESTS = 300
SD = 0.25
MIN_EFFECT = 0.04
"""With 300 requests and this spread, found 4 times in 5."""


class Bench:
    """A journal in memory, and an engine that fills it from a world with a known effect."""

    name, notice = "ray", ""

    def __init__(self, *, gain, seed, budget_rows=None):
        draw = random.Random(seed)
        self.world = [draw.gauss(gain, SD) for _ in range(REQUESTS)]
        self.done = {}
        self.rounds = []
        self.budget_rows = budget_rows
        self.journal = self

    def run(self, plan, progress, limits, is_enough):
        order = Interleaving(plan.measurement, plan.requests)
        for number in range(1, plan.rounds + 1):
            self.rounds.append(number)
            for position, gain in enumerate(self.world):
                if order.round_of(position, f"q{position}") == number:
                    if self.budget_rows is not None and len(self.done) >= self.budget_rows:
                        return "The budget of 1 USD is spent."
                    self.done[position] = a_row(position, gain)
            if number < plan.rounds and is_enough(number):
                break
        return ""

    def rows(self, plan):
        return iter(self.done[position] for position in sorted(self.done))

    def columns(self, plan):
        return columns_of(self.rows(plan), plan.metrics)

    def samples(self, plan, positions):
        return ()

    def setups_ms(self, plan):
        return {}


def a_row(position, gain):
    calls = {
        arm: CallRecord(
            latency_ms=10.0, cpu_ms=1.0, cost_usd=Decimal("0.001"), metrics={RECALL.name: value}
        )
        for arm, value in ((CONTROL, 0.5), (TREATMENT, 0.5 + gain))
    }
    return ReplayRow(
        position=position,
        request_id=f"q{position}",
        cluster=f"q{position}",
        segment={},
        calls=calls,
    )


def measured(bench, *, early_stop=True, seed=7):
    proposal = a_proposal(
        metrics=("recall_at_5",), offline_gates=(superiority(RECALL.name, MIN_EFFECT),)
    )
    plan = replace(
        a_plan(),
        requests=REQUESTS,
        metrics=(RECALL,),
        measurement=Measurement(early_stop=early_stop, seed=seed, aa_requests=0),
    )
    runner = Runner(engine=bench, progress=lambda done, total: None, now=lambda: T0)
    return measure(plan, proposal, bench, runner)


def test_a_clear_gain_ends_the_replay_early_and_says_so() -> None:
    bench = Bench(gain=4 * MIN_EFFECT, seed=1)

    report = measured(bench)

    assert report.ruling is Ruling.PASS
    assert report.measured < REQUESTS / 2
    assert "clear after" in report.stopped
    assert not report.is_cut


def test_that_nothing_has_moved_yet_ends_nothing() -> None:
    bench = Bench(gain=0.0, seed=1)
    bench.world = [0.0] * REQUESTS

    report = measured(bench)

    assert bench.rounds == [1, 2, 3, 4, 5]
    assert report.ruling is Ruling.FAIL


def test_an_unclear_one_takes_every_request() -> None:
    bench = Bench(gain=0.7 * MIN_EFFECT, seed=2)

    report = measured(bench)

    assert bench.rounds == [1, 2, 3, 4, 5]
    assert (report.measured, report.stopped) == (REQUESTS, "")


def test_without_early_stop_nobody_looks_before_the_end() -> None:
    bench = Bench(gain=4 * MIN_EFFECT, seed=1)

    report = measured(bench, early_stop=False)

    assert bench.rounds == [1]
    assert report.measured == REQUESTS


def test_a_budget_that_is_spent_rules_nothing_and_keeps_the_effects() -> None:
    bench = Bench(gain=4 * MIN_EFFECT, seed=1, budget_rows=150)

    report = measured(bench, early_stop=False)

    assert report.is_cut
    assert [verdict.ruling for verdict in report.verdicts] == [Ruling.UNKNOWN]
    assert report.verdicts[0].sentence.startswith("The budget of 1 USD is spent.")
    assert report.verdicts[0].effect.n_control == 150


def test_a_runner_s_budget_stands_in_place_of_the_proposal_s() -> None:
    plan = replace(a_plan(), measurement=Measurement(budget_usd=5.0, budget_minutes=30.0))
    runner = Runner(engine=None, progress=None, now=None, budget_usd=2.0)

    limits = runner.limits(plan)

    assert (limits.budget_usd, limits.budget_minutes) == (2.0, 30.0)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_stopping_early_passes_no_more_often_under_the_null_and_saves_half_of_a_clear_case() -> (
    None
):
    """1,000 replays each; a pass under the null has a chance of 0.025, ± 0.005 (one s.e.)."""
    null = [measured(Bench(gain=0.0, seed=s), seed=s) for s in range(1_000)]
    clear = [measured(Bench(gain=2 * MIN_EFFECT, seed=s), seed=s) for s in range(300)]

    passed = sum(report.ruling is Ruling.PASS for report in null) / len(null)
    used = sum(report.measured for report in clear) / len(clear) / REQUESTS
    found = sum(report.ruling is Ruling.PASS for report in clear) / len(clear)

    assert passed <= 0.025 + 3 * 0.005
    assert used <= 0.5
    assert found >= 0.95
