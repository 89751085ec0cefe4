"""Parts of the requests: shown to people, and judged by the gates that name them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from expplat.domain.gate import Ruling
from expplat.flow.evidence_effects import effects_of
from expplat.flow.evidence_segments import judged_effects, segment_effects
from expplat.gates import judge
from expplat.stats import paired
from tests.builders import superiority
from tests.flow.replayed_rows import METRICS, RECALL, material, rows_of

TOPICS = ("syntax", "types", "imports")
EVERY = replace(superiority("recall_at_5", 0.02), segment="topic=*")
GATE = superiority("recall_at_5", 0.02)


def topical(n=120, **more):
    draw = np.random.default_rng(4)
    control, treatment = draw.random((2, n)).round(3)
    rows = [
        replace(row, segment={"topic": TOPICS[row.position % 3], **more})
        for row in rows_of(control.tolist(), treatment.tolist())
    ]
    return rows, control, treatment


def judged(rows, *gates, **changed):
    made = material(rows)
    return judged_effects(made, METRICS, gates, effects_of(made, METRICS, gates), **changed)


def test_each_value_of_a_segment_has_its_effect_under_its_name():
    rows, control, treatment = topical(lang="de")

    found = segment_effects(material(rows), RECALL)

    assert list(found) == ["lang=de", "topic=imports", "topic=syntax", "topic=types"]
    asked = paired.mean_difference(control[1::3], treatment[1::3])
    (types,) = found["topic=types"]
    assert (types.low, types.n_control, types.segment) == (asked.low, 40, "topic=types")


def test_requests_without_the_key_belong_to_no_value_of_it():
    rows, *_ = topical()
    rows = [replace(row, segment={}) if row.position < 60 else row for row in rows]

    found = segment_effects(material(rows), RECALL)

    assert [found[name][0].n_control for name in sorted(found)] == [20, 20, 20]


def test_a_gate_is_judged_on_all_requests_or_on_those_that_it_names():
    rows, control, treatment = topical()
    named = replace(GATE, segment="topic=types", alpha=0.01)

    (gate, whole), (own, part) = judged(rows, GATE, named)

    assert (gate, own) == (GATE, named)
    assert whole is not None
    assert (whole.segment, whole.n_control) == ("", 120)
    asked = paired.mean_difference(control[1::3], treatment[1::3], alpha=0.01)
    assert part is not None
    assert (part.segment, part.low) == ("topic=types", asked.low)


def test_a_star_asks_the_same_of_each_value_by_itself():
    rows, *_ = topical()

    found = judged(rows, EVERY)

    assert [gate for gate, _ in found] == [EVERY] * 3
    names = [effect.segment for _, effect in found if effect]
    assert names == ["topic=imports", "topic=syntax", "topic=types"]


def test_a_look_may_spend_less_in_a_segment_too():
    rows, control, treatment = topical()
    named = replace(GATE, segment="topic=types")

    ((_, part),) = judged(rows, named, alpha_of=lambda gate: gate.alpha / 5)

    asked = paired.mean_difference(control[1::3], treatment[1::3], alpha=0.01)
    assert part is not None
    assert part.low == asked.low


def test_a_segment_with_no_request_or_with_few_is_unknown_and_says_so():
    rows, *_ = topical(57)
    gates = (replace(GATE, segment="topic=typos"), replace(GATE, segment="nothing=*"), EVERY)

    verdicts = [judge(gate, effect) for gate, effect in judged(rows, *gates)]

    assert {verdict.ruling for verdict in verdicts} == {Ruling.UNKNOWN}
    assert verdicts[0].sentence == (
        "recall_at_5 in topic=typos could not be judged. 0 are too few, 20 are the least."
    )
    assert "in nothing=* could not be judged. 0 are too few" in verdicts[1].sentence
    assert "in topic=imports could not be judged. 19 are too few" in verdicts[2].sentence


def test_a_gate_on_a_metric_that_nobody_measured_has_no_effect():
    rows, *_ = topical()
    gates = (superiority("clicks", 1.0), replace(superiority("clicks", 1.0), segment="topic=types"))

    assert [effect for _, effect in judged(rows, *gates)] == [None, None]
