"""The gate that judges the request log: does replayed control still do what production did?"""

from __future__ import annotations

from collections.abc import Iterable

from expplat.domain.gate import Effect, Gate, GateKind, Ruling, Verdict
from expplat.domain.metric import Metric
from expplat.domain.wording import interval, limit
from expplat.gates.metric_rules import LEAST_UNITS, Answer, gain_of


def trust_verdict(effect: Effect, gates: Iterable[Gate], metric: Metric) -> Verdict:
    """Judge whether replayed control is as good as what production answered.

    Equivalence: what matters in the treatment must not lie between control and production already.
    Pass: the whole interval lies within the margin; fail: it lies outside.

    Args:
        effect: Replayed control less production, on the primary metric.
        gates: The offline gates; the margin is the `min_effect` of the superiority gate on the
            metric over all requests, or the margin of another gate on it where there is none.
        metric: The primary metric.
    """
    margin = _margin(tuple(gates), metric.name)
    gate = Gate(kind=GateKind.REPLAY_TRUST, metric=metric.name, margin=margin)
    answer = _answer(effect, margin)
    return Verdict(gate=gate, ruling=answer.ruling, sentence=answer.sentence, effect=effect)


def _answer(effect: Effect, margin: float | None) -> Answer:
    gain = gain_of(effect)
    if margin is None:
        why = f"No gate says which difference in {effect.metric} would matter."
        return Answer(Ruling.UNKNOWN, f"Replayed control was not held against production. {why}")
    if gain is None:
        return _not_estimable(effect)
    apart = f"{interval(effect)} in {effect.metric}"
    allowed = f"±{limit(margin, effect.unit)}"
    if gain.high < -margin or gain.low > margin:
        why = "the log no longer reproduces production"
        return Answer(
            Ruling.FAIL, f"Replayed control is {apart} from what production answered: {why}."
        )
    if -margin < gain.low and gain.high < margin:
        return Answer(
            Ruling.PASS,
            f"Replayed control is within {allowed} of what production answered: {apart}.",
        )
    return Answer(
        Ruling.UNKNOWN,
        f"Replayed control is not shown to be within {allowed} of what production answered: "
        f"{apart}.",
    )


def _not_estimable(effect: Effect) -> Answer:
    found = min(effect.n_control, effect.n_treatment)
    if found < LEAST_UNITS:
        why = (
            f"The log holds what production answered for {found} requests, "
            f"{LEAST_UNITS} are the least."
        )
    else:
        why = " ".join(effect.warnings) or "No interval could be computed."
    return Answer(Ruling.UNKNOWN, f"Replayed control was not held against production. {why}")


def _margin(gates: tuple[Gate, ...], metric: str) -> float | None:
    own = [gate for gate in gates if gate.metric == metric and gate.segment is None]
    gains = [gate.min_effect for gate in own if gate.min_effect is not None]
    harms = [gate.margin for gate in own if gate.margin is not None]
    return min(gains or harms, default=None)
