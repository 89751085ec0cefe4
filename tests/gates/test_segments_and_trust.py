"""Segments that are harmed while the mean wins, and logs that no longer reproduce production."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expplat.domain.gate import Gate, GateKind, Ruling
from expplat.gates import judge
from expplat.gates.replay_trust import trust_verdict
from expplat.gates.segments import harmed_segments
from tests.builders import RECALL, an_effect, non_inferiority, superiority

GATES = (superiority("recall_at_5", 0.03), non_inferiority("latency_ms", 20.0))


def effect(difference, low, high, p=0.001, n=100, **changed):
    return an_effect(
        difference=difference, low=low, high=high, p=p, n_control=n, n_treatment=n, **changed
    )


def apart(low, high, **changed):
    return effect((low + high) / 2, low, high, **changed)


def test_a_sentence_names_the_segment_that_it_is_about():
    part = effect(0.05, 0.03, 0.07, segment="topic=syntax")

    assert judge(GATES[0], part).sentence.startswith("recall_at_5 in topic=syntax changed by +5 pp")
    few = judge(GATES[0], replace(part, n_control=7))
    assert few.ruling is Ruling.UNKNOWN
    assert few.sentence == (
        "recall_at_5 in topic=syntax could not be judged. 7 are too few, 20 are the least."
    )


def test_a_segment_is_harmed_where_the_whole_interval_is_a_loss():
    found = harmed_segments(
        {
            "topic=a": [effect(-0.05, -0.07, -0.03)],
            "topic=b": [effect(0.05, 0.03, 0.07)],
            "topic=c": [effect(-0.05, -0.11, 0.01, p=0.1)],
            "lang=de": [effect(-0.01, -0.015, -0.005)],
        }
    )

    assert found == ("lang=de", "topic=a")


def test_where_lower_is_better_a_rise_is_the_harm():
    found = harmed_segments(
        {"topic=a": [effect(5, 3, 7, sign=-1)], "topic=b": [effect(-5, -7, -3)]}
    )

    assert found == ("topic=a", "topic=b")


def test_of_many_segments_one_small_p_is_not_yet_harm():
    harmed = effect(-0.05, -0.09, -0.01, p=0.02)
    others = {f"topic={i}": [effect(0.0, -0.02, 0.02, p=0.9)] for i in range(2)}

    assert harmed_segments({"topic=x": [harmed]}) == ("topic=x",)
    assert harmed_segments({"topic=x": [harmed], "topic=0": others["topic=0"]}) == ("topic=x",)
    assert harmed_segments({"topic=x": [harmed]} | others) == ()
    elsewhere = {f"lang={i}": [effect(0.0, -0.02, 0.02, p=0.9)] for i in range(9)}
    assert harmed_segments({"topic=x": [harmed]} | elsewhere) == ("topic=x",)


def test_a_segment_of_nineteen_requests_is_neither_judged_nor_counted():
    harmed = effect(-0.05, -0.09, -0.01, p=0.02)
    few = {f"topic={i}": [effect(-0.5, -0.6, -0.4, p=1e-9, n=19)] for i in range(5)}

    assert harmed_segments({"topic=x": [harmed]} | few) == ("topic=x",)


@pytest.mark.parametrize(
    ("edge", "is_harmed"),
    [
        (effect(-0.05, -0.1, -0.001, p=0.05), True),
        (effect(-0.05, -0.1, -0.001, p=0.051), False),
        (effect(-0.05, -0.1, 0.0, p=0.05), False),
        (effect(-0.05, -0.1, -0.001, p=0.001, n=20), True),
    ],
)
def test_harm_begins_where_the_interval_and_the_level_say(edge, is_harmed):
    assert bool(harmed_segments({"topic=x": [edge]})) is is_harmed


def test_a_segment_that_lost_the_same_everywhere_has_no_p_and_is_harmed():
    assert harmed_segments({"topic=x": [effect(-1.0, -1.0, -1.0, p=None)]}) == ("topic=x",)


@pytest.mark.parametrize(
    ("trust", "ruling"),
    [
        (apart(-0.02, 0.02), Ruling.PASS),
        (apart(-0.0299, 0.0299), Ruling.PASS),
        (apart(-0.03, 0.02), Ruling.UNKNOWN),
        (apart(-0.02, 0.03), Ruling.UNKNOWN),
        (apart(-0.05, 0.05), Ruling.UNKNOWN),
        (apart(0.02, 0.05), Ruling.UNKNOWN),
        (apart(0.03, 0.05), Ruling.UNKNOWN),
        (apart(0.031, 0.05), Ruling.FAIL),
        (apart(-0.02, 0.02, n=20), Ruling.PASS),
        (apart(-0.05, -0.031), Ruling.FAIL),
        (apart(-0.05, -0.03), Ruling.UNKNOWN),
        (apart(-0.02, 0.02, n=19), Ruling.UNKNOWN),
        (effect(None, None, None, warnings=("Why not.",)), Ruling.UNKNOWN),
    ],
)
def test_a_log_is_trusted_where_control_surely_does_what_production_did(trust, ruling):
    assert trust_verdict(trust, GATES, RECALL).ruling is ruling


def test_a_trust_verdict_says_what_it_rests_on():
    passed = trust_verdict(apart(-0.02, 0.01), GATES, RECALL)
    failed = trust_verdict(apart(-0.08, -0.04), GATES, RECALL)
    unsure = trust_verdict(apart(-0.08, 0.04), GATES, RECALL)
    few = trust_verdict(apart(-0.02, 0.01, n=7), GATES, RECALL)
    odd = trust_verdict(effect(None, None, None, warnings=("Why not.",)), GATES, RECALL)

    assert passed.gate == Gate(kind=GateKind.REPLAY_TRUST, metric="recall_at_5", margin=0.03)
    assert passed.effect == apart(-0.02, 0.01)
    assert passed.sentence == (
        "Replayed control is within ±3 pp of what production answered: "
        "−0.5 pp [−2, +1] in recall_at_5."
    )
    assert failed.sentence == (
        "Replayed control is −6 pp [−8, −4] in recall_at_5 from what production answered: the log "
        "no longer reproduces production."
    )
    assert unsure.sentence == (
        "Replayed control is not shown to be within ±3 pp of what production answered: "
        "−2 pp [−8, +4] in recall_at_5."
    )
    assert few.sentence.endswith("production answered for 7 requests, 20 are the least.")
    bare = trust_verdict(effect(None, None, None, n=20), GATES, RECALL)
    assert bare.sentence.endswith("against production. No interval could be computed.")
    assert odd.sentence == "Replayed control was not held against production. Why not."


@pytest.mark.parametrize(
    ("gates", "margin"),
    [
        ((non_inferiority("recall_at_5", 0.01), superiority("recall_at_5", 0.03)), 0.03),
        ((superiority("recall_at_5", 0.05), superiority("recall_at_5", 0.03)), 0.03),
        ((replace(superiority("recall_at_5", 0.01), segment="a=b"), GATES[0]), 0.03),
        ((non_inferiority("recall_at_5", 0.01),), 0.01),
        ((non_inferiority("latency_ms", 20.0),), None),
    ],
)
def test_the_margin_is_what_matters_in_the_primary_metric(gates, margin):
    found = trust_verdict(apart(-0.001, 0.001), gates, RECALL)

    assert found.gate.margin == margin
    assert found.ruling is (Ruling.UNKNOWN if margin is None else Ruling.PASS)
