"""What a test takes, before it is started."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expplat.domain.gate import Gate, GateKind
from expplat.domain.metric import Direction, MetricKind
from expplat.domain.plain import to_plain
from expplat.domain.planning import Baseline, GuardrailToSize, PlanQuestion, Traffic
from expplat.domain.proposal import Hold
from expplat.domain.story import Story
from expplat.errors import InputError
from expplat.flow.arrivals import days_until, ramped, units_after
from expplat.flow.plan import power_of, sizings
from expplat.flow.planning import plan_of_online, plan_of_question
from expplat.flow.planning_faults import faults_of
from expplat.flow.replay_planning import sizes_of_replay
from expplat.stats.paired import mean_difference, proportion_difference
from expplat.stats.power import INFLATION
from tests.builders import (
    LATENCY,
    SLUG,
    SUCCESS,
    a_poc,
    a_proposal,
    a_report,
    an_effect,
    non_inferiority,
    superiority,
)

SHARE = PlanQuestion(
    baseline=Baseline(kind=MetricKind.PROPORTION, value=0.1204), min_effect=0.01, reading="fixed"
)
MEAN = PlanQuestion(
    baseline=Baseline(kind=MetricKind.MEAN, value=3.1, sd=5.2), min_effect=0.2, reading="fixed"
)
NOBODY_KNOWS = Traffic()

ONLINE = replace(
    a_proposal().online,
    metrics=(replace(SUCCESS, expected=0.45), replace(LATENCY, expected=120.0, expected_sd=400.0)),
    gates=(non_inferiority("latency_ms", 20.0), superiority("task_success", 0.05)),
)


def test_a_proportion_needs_the_known_number_of_units():
    found = plan_of_question(SHARE, NOBODY_KNOWS)

    assert found.units == 2 * 17_213
    assert found.joint_power == pytest.approx(0.8, abs=1e-4)
    assert found.gates[0].smallest_effect == pytest.approx(0.01, rel=1e-4)
    assert found.days is None
    assert found.is_feasible


def test_a_metric_that_is_to_fall_needs_the_units_of_its_mirror_image():
    falling = plan_of_question(replace(SHARE, min_effect=-0.01), NOBODY_KNOWS)
    mirrored = replace(SHARE, baseline=replace(SHARE.baseline, value=1 - 0.1204))

    assert falling.units == plan_of_question(mirrored, NOBODY_KNOWS).units
    assert falling.units < plan_of_question(SHARE, NOBODY_KNOWS).units


def test_a_mean_needs_units_by_its_spread():
    found = plan_of_question(MEAN, NOBODY_KNOWS)

    each = 2 * (5.2 * (1.959964 + 0.841621) / 0.2) ** 2
    assert found.units == 2 * math.ceil(each)


@pytest.mark.parametrize(
    ("reading", "more"), [("obf", 1.077), ("pocock", 1.283), ("open_ended", 1.68)]
)
def test_reading_it_many_times_costs_units(reading, more):
    once = plan_of_question(MEAN, NOBODY_KNOWS)

    found = plan_of_question(replace(MEAN, reading=reading), NOBODY_KNOWS)

    assert found.units == pytest.approx(more * once.units, abs=3)
    assert "80 % power" in found.notes[0]


def test_days_and_dollars_follow_from_the_traffic():
    traffic = Traffic(daily_units=3_000, traffic_percent=50.0, cost_per_unit_usd=0.02)

    found = plan_of_question(SHARE, traffic)

    assert found.days == pytest.approx(34_426 / 1_500)
    assert found.cost_usd == pytest.approx(688.52)
    assert "23.0 days" in found.sentence
    assert "688.52 USD" in found.sentence


def test_treatments_share_alpha_and_each_brings_an_arm():
    found = plan_of_question(replace(MEAN, treatments=3), NOBODY_KNOWS)
    alone = plan_of_question(replace(MEAN, alpha=0.05 / 3), NOBODY_KNOWS)

    assert found.variants == 4
    assert found.units == 2 * alone.units
    assert "0.0167" in found.notes[0]


def test_guardrails_make_every_gate_need_more_and_the_widest_one_rules():
    guarded = replace(MEAN, guardrails=(GuardrailToSize(name="latency_ms", margin=5.0, sd=400.0),))

    found = plan_of_question(guarded, NOBODY_KNOWS)

    success, latency = found.gates
    assert success.units_needed == plan_of_question(replace(MEAN, power=0.9), NOBODY_KNOWS).units
    assert found.units == latency.units_needed > success.units_needed
    assert latency.power == pytest.approx(0.9, abs=1e-4)
    assert success.power > 0.999
    assert found.joint_power_at_least <= found.joint_power
    assert found.joint_power == pytest.approx(success.power * latency.power)


def test_guardrails_of_which_nothing_is_known_count_in_the_joint_power():
    found = plan_of_question(replace(MEAN, unsized_guardrails=3), NOBODY_KNOWS)

    assert found.gates[0].power == pytest.approx(0.95, abs=1e-4)
    assert found.joint_power_at_least == pytest.approx(0.8, abs=1e-3)
    assert found.joint_power == pytest.approx(0.95**4, abs=1e-3)


def test_simulated_tests_of_that_size_pass_as_often_as_planned():
    found = plan_of_question(SHARE, NOBODY_KNOWS)
    generator, n = np.random.default_rng(8), found.units // 2
    control = generator.binomial(n, 0.1204, 20_000) / n
    treatment = generator.binomial(n, 0.1304, 20_000) / n

    error = np.sqrt((control * (1 - control) + treatment * (1 - treatment)) / n)
    passed = float(np.mean(treatment - control > 1.959964 * error))
    assert passed == pytest.approx(0.8, abs=0.012)


def test_what_is_found_by_when_shrinks_with_the_root_of_the_weeks():
    found = plan_of_question(replace(MEAN, min_effect=None), Traffic(daily_units=900))

    effects = [row.smallest_effects["success"] for row in found.weeks]
    assert [row.weeks for row in found.weeks] == [1, 2, 4, 8]
    assert effects[0] == pytest.approx(2 * effects[2])
    assert found.units is None
    assert found.joint_power is None
    assert "Choose the effect" in found.sentence


def test_units_of_a_week_find_what_the_table_says():
    row = plan_of_question(SHARE, Traffic(daily_units=1_000)).weeks[1]

    effect = row.smallest_effects["success"]
    again = plan_of_question(replace(SHARE, min_effect=effect), NOBODY_KNOWS)
    assert again.units == pytest.approx(row.units, abs=2)


def test_a_test_of_more_than_a_year_is_not_feasible_and_says_what_is():
    found = plan_of_question(SHARE, Traffic(daily_units=50))

    assert not found.is_feasible
    assert found.sentence.startswith("Not feasible: 34,426 units take 688.5 days")
    in_a_year = plan_of_question(replace(SHARE, min_effect=0.0140), Traffic(daily_units=50))
    assert in_a_year.is_feasible


def test_a_test_that_is_over_in_days_runs_for_a_week_all_the_same():
    assert "weekend" in plan_of_question(SHARE, Traffic(daily_units=30_000)).sentence


def test_an_experiment_has_the_sizes_that_promote_asks_for():
    found = plan_of_online(ONLINE, SLUG, NOBODY_KNOWS)

    expected = {sizing.metric: sizing.units_needed for sizing in sizings(ONLINE)}
    assert {gate.metric: gate.units_needed for gate in found.gates} == expected
    assert found.gates[0].metric == "task_success"
    assert found.units == ONLINE.max_units
    assert found.joint_power_at_least == pytest.approx(power_of(ONLINE))


@pytest.mark.parametrize("mode", ["planned", "open_ended"])
@pytest.mark.parametrize("winning", ["all", "any"])
def test_an_experiment_is_sized_by_promotes_rules_in_every_mode(mode, winning):
    plan = replace(
        ONLINE,
        mode=mode,
        winning=winning,
        metrics=(*ONLINE.metrics, replace(SUCCESS, name="solved", expected=0.3)),
        gates=(*ONLINE.gates, superiority("solved", 0.05)),
    )

    found = plan_of_online(plan, SLUG, NOBODY_KNOWS)

    expected = {sizing.metric: sizing.units_needed for sizing in sizings(plan)}
    assert {gate.metric: gate.units_needed for gate in found.gates} == expected
    assert found.joint_power_at_least == pytest.approx(power_of(plan))


def test_equivalence_and_a_success_that_is_to_fall_are_sized_as_promote_does():
    plan = replace(
        ONLINE,
        metrics=(
            replace(SUCCESS, name="tickets", expected=0.2, direction=Direction.LOWER),
            ONLINE.metrics[1],
        ),
        gates=(
            superiority("tickets", 0.03),
            Gate(kind=GateKind.EQUIVALENCE, metric="latency_ms", margin=20.0),
        ),
    )

    found = plan_of_online(plan, SLUG, NOBODY_KNOWS)

    expected = [sizing.units_needed for sizing in sizings(plan)]
    assert [gate.units_needed for gate in found.gates] == expected
    assert found.joint_power_at_least == pytest.approx(power_of(plan))


def test_an_experiment_with_too_few_units_says_which_gate_and_what_it_could_find():
    found = plan_of_online(replace(ONLINE, max_units=10_000), SLUG, NOBODY_KNOWS)

    assert not found.is_feasible
    assert "latency_ms needs 18,108 units" in found.sentence
    assert "10,000" in found.sentence


def test_a_metric_without_an_expectation_is_named_and_none_at_all_is_refused():
    half = replace(ONLINE, metrics=(ONLINE.metrics[0], replace(LATENCY, expected=None)))
    none = replace(half, metrics=(SUCCESS, half.metrics[1]))

    assert "latency_ms is not sized" in plan_of_online(half, SLUG, NOBODY_KNOWS).notes[0]
    with pytest.raises(InputError, match="says what to expect"):
        plan_of_online(none, SLUG, NOBODY_KNOWS)


def test_a_ramp_takes_its_days():
    plan = replace(
        ONLINE, ramp_percent=(10.0, 50.0, 100.0), hold=Hold(min_units=100, min_hours=24.0)
    )

    arrivals = ramped(plan, 1_000.0)

    # 10 % for two days until each variant has its 100 units, 50 % for one day, then everybody
    assert [span.days for span in arrivals] == [2.0, 1.0, math.inf]
    assert days_until(150, arrivals) == pytest.approx(1.5)
    assert days_until(1_700, arrivals) == pytest.approx(4.0)
    assert plan_of_online(plan, SLUG, Traffic(daily_units=1_000)).days == pytest.approx(22.3)


@pytest.mark.parametrize("days", [0.0, 0.5, 2.0, 2.7, 9.0])
def test_units_after_days_and_days_until_units_are_each_others_inverse(days):
    arrivals = ramped(ONLINE, 1_000.0)

    assert days_until(units_after(days, arrivals), arrivals) == pytest.approx(days)


def test_weeks_after_the_end_of_the_plan_find_no_more():
    rows = plan_of_online(ONLINE, SLUG, Traffic(daily_units=2_000)).weeks

    assert rows[-1].units == ONLINE.max_units
    assert rows[-1].smallest_effects == rows[-2].smallest_effects


def test_every_fault_of_a_question_is_told_at_once():
    question = PlanQuestion(
        baseline=Baseline(kind=MetricKind.PROPORTION, value=1.2, sd=0.1),
        min_effect=0.0,
        guardrails=(
            GuardrailToSize(name="a", margin=0.0, sd=1.0),
            GuardrailToSize(name="a", margin=1.0, sd=math.inf),
        ),
        unsized_guardrails=-1,
        alpha=0.7,
        power=1.0,
        treatments=0,
        reading="weekly",
    )
    traffic = Traffic(daily_units=0.0, traffic_percent=101.0, cost_per_unit_usd=-1.0)

    found = {fault.field for fault in faults_of(question, traffic)}

    assert found == {
        "baseline", "sd", "min_effect", "guardrail", "guardrails", "alpha", "power", "treatments",
        "plan", "daily_units", "traffic_percent", "cost_per_unit_usd",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("question", "field"),
    [
        (replace(MEAN, baseline=Baseline(kind=MetricKind.MEAN)), "sd"),
        (replace(MEAN, min_effect=None), "min_effect"),
        (replace(SHARE, min_effect=0.9), "min_effect"),
        (replace(SHARE, min_effect=math.nan), "min_effect"),
        (replace(SHARE, baseline=Baseline(kind=MetricKind.PROPORTION)), "baseline"),
    ],
)
def test_a_question_that_has_no_answer_is_a_fault(question, field):
    assert [fault.field for fault in faults_of(question, NOBODY_KNOWS)] == [field]


def test_a_sound_question_has_no_fault():
    assert faults_of(SHARE, NOBODY_KNOWS) == ()
    assert faults_of(MEAN, Traffic(daily_units=10, cost_per_unit_usd=0.0)) == ()


ANY = st.one_of(st.floats(), st.floats(0, 1), st.sampled_from([1e-300, 1e300, 0.0, 1.0, -1.0]))


@settings(max_examples=300)
@given(st.sampled_from([MetricKind.MEAN, MetricKind.PROPORTION]), st.lists(ANY, min_size=9,
       max_size=9), st.sets(st.integers(0, 8)), st.sampled_from(sorted(INFLATION)))  # fmt: skip
def test_any_numbers_are_either_faulty_or_planned_in_finite_ones(kind, drawn, left_out, reading):
    value, sd, effect, margin, margin_sd, daily, percent, cost, power = drawn
    optional = dict.fromkeys(left_out)
    question = PlanQuestion(
        baseline=Baseline(kind=kind, value=optional.get(0, value), sd=optional.get(1, sd)),
        min_effect=optional.get(2, effect),
        guardrails=() if 3 in left_out else (
            GuardrailToSize(name="other", margin=margin, sd=margin_sd),),
        power=0.8 if 8 in left_out else power,
        reading=reading,
    )  # fmt: skip
    traffic = Traffic(
        daily_units=optional.get(5, daily),
        traffic_percent=100.0 if 6 in left_out else percent,
        cost_per_unit_usd=optional.get(7, cost),
    )

    if faults_of(question, traffic):
        return
    found = plan_of_question(question, traffic)

    to_plain(found)
    assert found.sentence
    if found.joint_power is not None:
        assert found.joint_power_at_least <= found.joint_power + 1e-12


def a_story(*effects, gates=None):
    gates = gates or (superiority("recall_at_5", 0.02),)
    report = a_report(effects=effects)
    proposal = a_proposal(offline_gates=gates)
    return Story(poc=a_poc(), proposal=proposal, replay=report)


def test_a_replay_gives_the_spread_of_its_pairs_back():
    generator = np.random.default_rng(5)
    control = generator.normal(0.6, 0.3, 500)
    treatment = control + generator.normal(0.03, 0.2, 500)
    interval = mean_difference(control, treatment)
    effect = an_effect(
        low=interval.low, high=interval.high, difference=interval.estimate, method=interval.method
    )

    (size,) = sizes_of_replay(a_story(effect), 0.8).gates

    sd = float(np.std(treatment - control, ddof=1))
    assert size.sd == pytest.approx(sd)
    assert size.requests_needed == pytest.approx((2.801585 * sd / 0.02) ** 2, abs=1)


def test_discordant_pairs_are_roughly_read_off_their_interval():
    control = np.repeat([1.0, 0.0, 1.0, 0.0], [50, 80, 500, 370])
    treatment = np.repeat([0.0, 1.0, 1.0, 0.0], [50, 80, 500, 370])
    interval = proportion_difference(control, treatment)
    effect = an_effect(
        low=interval.low, high=interval.high, method=interval.method,
        n_control=1_000, n_treatment=1_000,
    )  # fmt: skip

    found = sizes_of_replay(a_story(effect), 0.8)

    assert found.gates[0].sd == pytest.approx(math.sqrt(0.13 - 0.03**2), rel=0.03)
    assert any("Roughly" in note for note in found.notes)


def test_all_offline_gates_share_the_missed_power_and_the_widest_rules():
    story = a_story(
        an_effect(),
        an_effect("latency_ms", unit="ms", low=-30.0, high=30.0, timed=True),
        gates=(superiority("recall_at_5", 0.02), non_inferiority("latency_ms", 20.0)),
    )

    found = sizes_of_replay(story, 0.8)

    assert found.requests_needed == max(size.requests_needed for size in found.gates) > 500
    assert found.gates[1].metric == "latency_ms"
    assert "for latency_ms" in found.sentence
    assert any("noise" in note for note in found.notes)
    assert found.cost_usd == pytest.approx(found.requests_needed * 2 * 0.0123456789 / 500)


def test_a_metric_that_applies_to_half_of_the_requests_needs_twice_the_log():
    half = an_effect(n_control=250, n_treatment=250, low=0.0, high=0.1)

    (size,) = sizes_of_replay(a_story(half), 0.8).gates

    pairs = (2.801585 * size.sd / 0.02) ** 2
    assert size.requests == 250
    assert size.requests_needed == pytest.approx(2 * pairs, abs=1)


def test_that_an_estimate_must_reach_what_matters_is_not_kept_quiet():
    assert any(
        "half of the time" in note for note in sizes_of_replay(a_story(an_effect()), 0.8).notes
    )


def test_a_replay_that_is_large_enough_says_so():
    found = sizes_of_replay(a_story(an_effect(low=0.049, high=0.051)), 0.8)

    assert "are enough" in found.sentence


@pytest.mark.parametrize(
    "effects", [(), (an_effect(low=None, high=None),), (an_effect(low=0.05, high=0.05),)]
)
def test_a_replay_that_holds_too_little_says_so(effects):
    with pytest.raises(InputError, match="holds too little to plan by"):
        sizes_of_replay(a_story(*effects), 0.8)


def test_a_poc_without_a_replay_is_told_to_make_one():
    with pytest.raises(InputError, match="no finished replay"):
        sizes_of_replay(Story(poc=a_poc(), proposal=a_proposal()), 0.8)
