"""Which stage made it slower: planted differences are found where they were planted."""

from __future__ import annotations

import numpy as np
import pytest

from expplat.domain.breakdown import REST
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.domain.request import ErrorKind
from expplat.flow.evidence_effects import effects_of
from expplat.flow.evidence_stages import stage_deltas
from tests.flow.replayed_rows import LATENCY, a_call, a_row, material


def staged(draw, n=80, planted_ms=20.0, own_ms=1.0, repeats=1):
    """Rows of which the treatment spends longer in `rerank`, beside requests that differ."""
    rows = []
    for position in range(n):
        size = draw.lognormal(3.0, 0.5)
        for repeat in range(repeats):
            calls = {}
            for arm, more in ((CONTROL, 0.0), (TREATMENT, planted_ms)):
                stages = {
                    "retrieve": size * draw.lognormal(0, 0.2),
                    "rerank": 0.5 * size * draw.lognormal(0, 0.2) + more,
                    "waiting": 400.0,
                }
                own = own_ms * draw.lognormal(0, 0.2)
                latency_ms = stages["retrieve"] + stages["rerank"] + own
                calls[arm] = a_call(latency_ms=latency_ms, stages_ms=stages)
            rows.append(a_row(position, calls, repeat=repeat))
    return rows


def found_in(rows, **changed):
    return {delta.stage: delta for delta in stage_deltas(material(rows, **changed))}


def test_a_planted_delay_is_found_in_its_stage_alone():
    found = found_in(staged(np.random.default_rng(3)))

    assert list(found) == ["rerank", "retrieve", REST]
    slower = found["rerank"].mean
    assert slower.difference == pytest.approx(20, abs=2)
    assert slower.low > 15
    assert found["rerank"].p50.low > 5
    for other in ("retrieve", REST):
        assert found[other].mean.difference == pytest.approx(0, abs=3)


def test_the_mean_differences_add_up_to_that_of_the_latency():
    rows = staged(np.random.default_rng(5))

    found = stage_deltas(material(rows))

    latency = effects_of(material(rows), [LATENCY], ())[0]
    assert sum(delta.mean.difference for delta in found) == pytest.approx(latency.difference)
    assert sum(delta.control.mean_ms for delta in found) == pytest.approx(latency.control)
    assert sum(delta.treatment.mean_ms for delta in found) == pytest.approx(latency.treatment)


def test_a_call_that_never_entered_a_stage_spent_nothing_there():
    rows = [
        a_row(
            position,
            {
                CONTROL: a_call(latency_ms=10.0, stages_ms={"retrieve": 8.0}),
                TREATMENT: a_call(
                    latency_ms=14.0, stages_ms={"retrieve": 8.0, "rerank": 3.0 + position}
                )
                if position % 2
                else a_call(latency_ms=10.0, stages_ms={"retrieve": 8.0}),
            },
        )
        for position in range(40)
    ]

    found = found_in(rows)

    rerank = found["rerank"]
    assert rerank.control.mean_ms == rerank.control.p99_ms == 0.0
    assert rerank.treatment.mean_ms == pytest.approx(sum(3.0 + p for p in range(1, 40, 2)) / 40)
    assert rerank.treatment.p50_ms == pytest.approx(2.0)
    assert rerank.mean.n_control == 40


def test_only_pairs_that_were_timed_on_both_sides_count():
    rows = staged(np.random.default_rng(7))
    untimed = a_call(latency_ms=900.0, stages_ms={"rerank": 900.0}, is_timed=False)
    torn = [a_row(900, {CONTROL: untimed, TREATMENT: rows[0].calls[TREATMENT]})]
    both = [a_row(901, {CONTROL: untimed, TREATMENT: untimed})]

    assert stage_deltas(material([*rows, *torn, *both])) == stage_deltas(material(rows))


def test_failed_calls_count_unless_their_pairs_are_dropped():
    rows = staged(np.random.default_rng(7))
    failed = a_call(latency_ms=900.0, error=ErrorKind.TIMEOUT, metrics={})
    more = [*rows, a_row(900, {CONTROL: rows[0].calls[CONTROL], TREATMENT: failed})]

    kept, dropped = found_in(more), found_in(more, measured={"errors": "drop_pair"})

    assert kept[REST].treatment.mean_ms > 10
    assert list(dropped.values()) == list(stage_deltas(material(rows)))


def test_repeats_of_a_request_are_one_value_each_and_their_means_still_add_up():
    rows = staged(np.random.default_rng(9), n=40, repeats=3)

    found = stage_deltas(material(rows, measured={"repeats": 3}))

    latency = effects_of(material(rows, measured={"repeats": 3}), [LATENCY], ())[0]
    assert {delta.mean.n_control for delta in found} == {40}
    assert sum(delta.mean.difference for delta in found) == pytest.approx(latency.difference)


def test_there_is_nothing_to_tell_without_stages_or_with_two_clocks():
    rows = staged(np.random.default_rng(7), n=30)
    bare = [a_row(0, {CONTROL: a_call(), TREATMENT: a_call()})]

    assert stage_deltas(material(bare)) == ()
    assert stage_deltas(material(rows, is_treatment_logged=True)) == ()
    assert stage_deltas(material([a_row(0, {CONTROL: rows[0].calls[CONTROL]})])) == ()


@pytest.mark.long
def test_a_planted_20_ms_is_covered_in_its_stage_in_at_least_93_of_100():
    draw = np.random.default_rng(11)
    covered = dict.fromkeys(("mean", "p50", "p95"), 0)
    trials = 400
    for _ in range(trials):
        found = found_in(staged(draw, n=100))["rerank"]
        for name in covered:
            effect = getattr(found, name)
            covered[name] += effect.low <= 20 <= effect.high

    assert {name: count for name, count in covered.items() if count < 0.93 * trials} == {}
