"""What each gate answers word for word, and what it answers where a limit is just met."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from expplat.domain.gate import Effect, Gate, GateKind, Ruling, Verdict
from expplat.domain.moments import Moments
from expplat.domain.online import ArmStatistics
from expplat.gates import judge
from expplat.gates.health import data_quality, max_multiple_exposures, min_days, min_units, srm
from expplat.gates.metric_rules import LEAST_UNITS, gain_of
from tests.builders import LATENCY, a_snapshot

PASS, FAIL, UNKNOWN = Ruling
SUPERIOR = Gate(kind=GateKind.SUPERIORITY, metric="m", min_effect=2.0)
STRICT = replace(SUPERIOR, strict=True)
NOT_WORSE = Gate(kind=GateKind.NON_INFERIORITY, metric="m", margin=2.0)
SAME = Gate(kind=GateKind.EQUIVALENCE, metric="m", margin=2.0)


def effect(estimate, low, high, **more) -> Effect:
    whole = Effect(
        metric="m", unit="ms", sign=1, control=9.0, treatment=9.0, difference=estimate, low=low,
        high=high, p=None, n_control=100, n_treatment=100, method="by hand",
    )  # fmt: skip
    return replace(whole, **more)


NOISE = {"noise_low": -4.0, "noise_high": 5.0}

ANSWERS = [
    # superiority, offline: significant, and large enough
    (SUPERIOR, effect(3, 1, 5), False, PASS,
     "+3 ms [+1, +5]: significant, and at least the 2 ms that matters."),
    (SUPERIOR, effect(2, 1, 3), False, PASS,
     "+2 ms [+1, +3]: significant, and at least the 2 ms that matters."),
    (SUPERIOR, effect(1.9, 1, 3), False, UNKNOWN,
     "+1.9 ms [+1, +3]: a gain, but not shown to be the 2 ms that matters."),
    (SUPERIOR, effect(3, 0, 6), False, UNKNOWN, "+3 ms [0, +6]: not told apart from no gain."),
    (SUPERIOR, effect(1, -1, 2), False, UNKNOWN, "+1 ms [−1, +2]: not told apart from no gain."),
    (SUPERIOR, effect(1, -1, 1.99), False, FAIL,
     "+1 ms [−1, +1.99]: proven smaller than the 2 ms that matters."),
    (SUPERIOR, effect(-1, -2, 0), False, FAIL,
     "−1 ms [−2, 0]: proven smaller than the 2 ms that matters."),
    (SUPERIOR, effect(-1, -2, -0.1), False, FAIL, "−1 ms [−2, −0.1]: surely worse than control."),
    # online: the test was sized for it
    (SUPERIOR, effect(1.9, 1, 3), True, PASS, "+1.9 ms [+1, +3]: significant."),
    # strict: the whole interval
    (STRICT, effect(3, 1.9, 5), False, UNKNOWN,
     "+3 ms [+1.9, +5]: a gain, but not surely the 2 ms that matters."),
    (STRICT, effect(3, 1.9, 5), True, UNKNOWN,
     "+3 ms [+1.9, +5]: a gain, but not surely the 2 ms that matters."),
    (STRICT, effect(3, 2, 5), False, PASS,
     "+3 ms [+2, +5]: significant, and at least the 2 ms that matters."),
    # the noise floor
    (SUPERIOR, effect(5, 3, 7, **NOISE), False, UNKNOWN,
     "+5 ms [+3, +7]: no larger than control against itself."),
    (SUPERIOR, effect(5.1, 3, 7, **NOISE), False, PASS,
     "+5.1 ms [+3, +7]: significant, and at least the 2 ms that matters."),
    (SUPERIOR, effect(-4.5, -7, -3, sign=-1, **NOISE), False, PASS,
     "−4.5 ms [−7, −3]: significant, and at least the 2 ms that matters."),
    (SUPERIOR, effect(-4, -7, -3, sign=-1, **NOISE), False, UNKNOWN,
     "−4 ms [−7, −3]: no larger than control against itself."),
    # non-inferiority
    (NOT_WORSE, effect(0, -1.9, 2), False, PASS,
     "±0 ms [−1.9, +2]: surely within the 2 ms allowed."),
    (NOT_WORSE, effect(0, -2, 2), False, UNKNOWN,
     "±0 ms [−2, +2]: harm beyond the 2 ms allowed is not ruled out."),
    (NOT_WORSE, effect(-3, -4, -2), False, UNKNOWN,
     "−3 ms [−4, −2]: harm beyond the 2 ms allowed is not ruled out."),
    (NOT_WORSE, effect(-3, -4, -2.1), False, FAIL,
     "−3 ms [−4, −2.1]: harm beyond the 2 ms allowed is proven."),
    # equivalence
    (SAME, effect(0, -1.9, 1.9), False, PASS, "±0 ms [−1.9, +1.9]: surely within ±2 ms."),
    (SAME, effect(0, -2, 1.9), False, UNKNOWN, "±0 ms [−2, +1.9]: not shown to be within ±2 ms."),
    (SAME, effect(0, -1.9, 2), False, UNKNOWN, "±0 ms [−1.9, +2]: not shown to be within ±2 ms."),
    (SAME, effect(3, 2, 4), False, UNKNOWN, "+3 ms [+2, +4]: not shown to be within ±2 ms."),
    (SAME, effect(-3, -4, -2), False, UNKNOWN, "−3 ms [−4, −2]: not shown to be within ±2 ms."),
    (SAME, effect(3, 2.1, 4), False, FAIL, "+3 ms [+2.1, +4]: surely outside ±2 ms."),
    (SAME, effect(-3, -4, -2.1), False, FAIL, "−3 ms [−4, −2.1]: surely outside ±2 ms."),
]  # fmt: skip


@pytest.mark.parametrize(("gate", "evidence", "sized", "ruling", "words"), ANSWERS)
def test_a_metric_gate_answers_with_its_ruling_its_sentence_and_its_evidence(
    gate, evidence, sized, ruling, words
):
    assert judge(gate, evidence, sized=sized) == Verdict(
        gate=gate, ruling=ruling, sentence=f"m changed by {words}", effect=evidence
    )


@pytest.mark.parametrize("gate", [SUPERIOR, NOT_WORSE, SAME])
@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        (effect(3, 3, 3, n_control=19), "19 are too few, 20 are the least."),
        (effect(3, 3, 3, n_treatment=7), "7 are too few, 20 are the least."),
        (effect(3, None, 3, n_treatment=20, warnings=("One.", "Two.")), "One. Two."),
        (effect(3, 3, None, n_control=20), "No interval could be computed."),
        (effect(math.nan, 3, 3), "No interval could be computed."),
    ],
)
def test_a_gate_that_cannot_judge_says_why(gate, evidence, why):
    assert judge(gate, evidence) == Verdict(
        gate=gate, ruling=UNKNOWN, sentence=f"m could not be judged. {why}", effect=evidence
    )


@pytest.mark.parametrize("gate", [SUPERIOR, NOT_WORSE, SAME])
@pytest.mark.parametrize("limit", [0.0, -1.0, math.inf, math.nan])
def test_a_limit_that_nothing_can_be_held_against_lets_nothing_pass_or_fail(gate, limit):
    without = replace(gate, min_effect=limit, margin=limit)

    assert judge(without, effect(0.1, 0.01, 0.2), sized=True).ruling is UNKNOWN


def test_no_evidence_is_said_to_be_none():
    assert judge(SUPERIOR, None) == Verdict(
        gate=SUPERIOR,
        ruling=UNKNOWN,
        sentence="There is no evidence on m; what is not known never ships.",
    )


@pytest.mark.parametrize("gate", [SUPERIOR, NOT_WORSE, SAME])
def test_a_limit_below_one_is_a_limit(gate):
    fine = replace(
        gate,
        min_effect=0.5 if gate.min_effect else None,
        margin=0.5 if gate.margin else None,
    )
    clear = effect(0.7, 0.6, 0.8) if gate is SUPERIOR else effect(0.0, -0.4, 0.4)

    assert judge(fine, clear).ruling is PASS


def test_twenty_units_in_each_variant_are_the_least():
    least = effect(3, 1, 5, n_control=LEAST_UNITS, n_treatment=LEAST_UNITS)

    assert gain_of(least) == (3, 1, 5)
    assert gain_of(replace(least, n_control=LEAST_UNITS - 1)) is None
    assert gain_of(replace(least, sign=-1)) == (-3, -5, -1)


def units(control: int, treatment: int, **more):
    arms = {
        "control": ArmStatistics(units=control, metrics={}),
        "treatment": ArmStatistics(units=treatment, metrics={}),
    }
    return a_snapshot(arms=arms, **more)


def measured(control: int, treatment: int):
    arms = {
        variant: ArmStatistics(units=100, metrics={"latency_ms": Moments(n=n, mean=1, m2=1)})
        for variant, n in (("control", control), ("treatment", treatment))
    }
    return a_snapshot(arms=arms)


NOBODY = "No unit has been exposed yet."

HEALTH = [
    (lambda: srm(0.01, units(5, 7), 0.5), "srm", 0.01, PASS,
     "5 control, 7 treatment: as planned (p 0.5)."),
    (lambda: srm(0.01, units(5, 7), 0.01), "srm", 0.01, FAIL,
     "5 control, 7 treatment: not the planned split (p 0.01)."),
    (lambda: srm(0.01, units(5, 7), None), "srm", 0.01, UNKNOWN,
     "5 control, 7 treatment: the split has no p-value."),
    (lambda: srm(0.01, units(5, 7), math.nan), "srm", 0.01, UNKNOWN,
     "5 control, 7 treatment: the split has no p-value."),
    (lambda: srm(0.01, units(5, 7), 1.5), "srm", 0.01, UNKNOWN,
     "5 control, 7 treatment: the split has no p-value."),
    (lambda: srm(0.01, units(5, 7), 0.0), "srm", 0.01, FAIL,
     "5 control, 7 treatment: not the planned split (p 0)."),
    (lambda: srm(0.01, units(1, 0), 1.0), "srm", 0.01, PASS,
     "1 control, 0 treatment: as planned (p 1)."),
    (lambda: srm(0.01, units(0, 0), 1.0), "srm", 0.01, UNKNOWN, NOBODY),
    (lambda: max_multiple_exposures(0.1, units(60, 40, multiple_exposures=10)),
     "max_multiple_exposures", 0.1, PASS, "10 of 100 units were shown both variants."),
    (lambda: max_multiple_exposures(0.1, units(60, 40, multiple_exposures=11)),
     "max_multiple_exposures", 0.1, FAIL,
     "11 of 100 units were shown both variants; 10 % are allowed."),
    (lambda: max_multiple_exposures(0.05, units(60, 40, multiple_exposures=9)),
     "max_multiple_exposures", 0.05, UNKNOWN,
     "9 of 100 units were shown both variants; 5 % are allowed."),
    (lambda: max_multiple_exposures(0.1, units(1, 0, multiple_exposures=0)),
     "max_multiple_exposures", 0.1, PASS, "0 of 1 units were shown both variants."),
    (lambda: max_multiple_exposures(0.1, units(0, 0)),
     "max_multiple_exposures", 0.1, UNKNOWN, NOBODY),
    (lambda: min_units(5, units(5, 6)), "min_units", 5, PASS,
     "5 units in the smaller variant, 5 needed."),
    (lambda: min_units(6, units(5, 6)), "min_units", 6, UNKNOWN,
     "5 units in the smaller variant, 6 needed."),
    (lambda: min_days(8.0, units(5, 6)), "min_days", 8.0, PASS, "8.0 days have passed, 8 needed."),
    (lambda: min_days(8.5, units(5, 6)), "min_days", 8.5, UNKNOWN,
     "8.0 days have passed, 8.5 needed."),
    (lambda: data_quality(0.05, measured(100, 95), [LATENCY]), "data_quality", 0.05, PASS,
     "At most 5 % missing."),
    (lambda: data_quality(0.05, measured(100, 94), [LATENCY]), "data_quality", 0.05, FAIL,
     "6 % of the units lack latency_ms under treatment; 5 % may be missing."),
    (lambda: data_quality(0.05, measured(93, 94), [LATENCY]), "data_quality", 0.05, FAIL,
     "7 % of the units lack latency_ms under control; 5 % may be missing."),
    (lambda: data_quality(0.05, measured(100, 100), [LATENCY]), "data_quality", 0.05, PASS,
     "At most 0 % missing."),
    (lambda: data_quality(0.05, measured(100, 100), []), "data_quality", 0.05, PASS,
     "At most 0 % missing."),
    (lambda: data_quality(0.05, measured(101, 100), [LATENCY]), "data_quality", 0.05, UNKNOWN,
     "A metric has more values than there are units."),
    (lambda: data_quality(0.05, units(1, 1), []), "data_quality", 0.05, PASS,
     "At most 0 % missing."),
    (lambda: data_quality(0.05, units(9, 0), [LATENCY]), "data_quality", 0.05, UNKNOWN,
     "A variant has not been shown to any unit yet."),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "kind", "threshold", "ruling", "sentence"), HEALTH)
def test_a_health_gate_answers_with_its_limit_its_ruling_and_its_sentence(
    answer, kind, threshold, ruling, sentence
):
    assert answer() == Verdict(
        gate=Gate(kind=GateKind(kind), threshold=threshold), ruling=ruling, sentence=sentence
    )
