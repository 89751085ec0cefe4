"""From measured effects to rulings: what `analyze` and `compare` judge by, the same for both."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from expplat.domain.analysis import Comparison, Finding, Overall, Role
from expplat.domain.gate import Effect, Gate, GateKind, Ruling
from expplat.domain.question import AskedMetric, Correction, Standard
from expplat.domain.wording import interval
from expplat.gates import judge
from expplat.stats import multiplicity

Adjusted = tuple[float | None, ...]

CORRECTIONS: dict[Correction, Callable[[Sequence[float | None]], Adjusted]] = {
    Correction.HOLM: multiplicity.holm,
    Correction.HOMMEL: multiplicity.hommel,
    Correction.BONFERRONI: multiplicity.bonferroni,
    Correction.BENJAMINI_HOCHBERG: multiplicity.benjamini_hochberg,
    Correction.NONE: tuple,
}
"""Corrections that need p-values alone."""


ROLES = tuple(Role)
"""In the order in which they are spoken of."""


ANY_GAIN = sys.float_info.min
"""The least gain that matters where nobody said one."""


class Measured(NamedTuple):
    """One metric under one treatment, before anything is ruled."""

    metric: AskedMetric
    variant: str
    effect: Effect
    standard_error: float | None = None
    doubt: str | None = None
    """Why a gain must not pass, such as that a single unit makes it."""

    view: Role | None = None
    """`watched` or `shown`; None for what was asked for itself."""

    @property
    def role(self) -> Role:
        """What it has to say in the verdict."""
        return self.view or (Role.GUARDRAIL if self.metric.is_guardrail else Role.SUCCESS)


def corrected(measured: Sequence[Measured], correction: Correction) -> Adjusted:
    """Return each effect's p-value, corrected over the success metrics; others keep theirs."""
    family = [place for place, one in enumerate(measured) if one.role is Role.SUCCESS]
    adjusted = CORRECTIONS[correction]([measured[place].effect.p for place in family])
    found = dict(zip(family, adjusted, strict=True))
    return tuple(found.get(place, one.effect.p) for place, one in enumerate(measured))


def comparisons_of(
    measured: Sequence[Measured], adjusted: Adjusted, standard: Standard, refusal: Finding | None
) -> tuple[Comparison, ...]:
    """Rule on every effect.

    Args:
        measured: The effects.
        adjusted: Their corrected p-values, in the same order.
        standard: Level and correction.
        refusal: A health check whose failure makes every ruling `unknown`, if there is one.
    """
    return tuple(
        _comparison(one, p, standard, refusal) for one, p in zip(measured, adjusted, strict=True)
    )


def ruled(one: Measured, standard: Standard) -> tuple[Ruling, str]:
    """Rule on one effect by itself: a guardrail where it has a margin, else a success metric."""
    metric = one.metric
    kind = GateKind.NON_INFERIORITY if metric.is_guardrail else GateKind.SUPERIORITY
    gate = Gate(
        kind=kind,
        metric=metric.name,
        min_effect=None if metric.is_guardrail else metric.min_effect or ANY_GAIN,
        margin=metric.margin,
        alpha=standard.alpha,
    )
    # Where nobody said what matters, significance decides.
    verdict = judge(gate, one.effect, sized=not metric.min_effect)
    if _is_without_width(one.effect):
        shown = f"{metric.name} changed by {interval(one.effect)}"
        return Ruling.UNKNOWN, f"{shown}: nothing varies, which is no evidence."
    if verdict.ruling is Ruling.PASS and one.doubt:
        return Ruling.UNKNOWN, f"{verdict.sentence} But {one.doubt}"
    return verdict.ruling, verdict.sentence


def overall(comparisons: Sequence[Comparison], refusal: Finding | None) -> Overall:
    """Rule on the whole.

    Pass: under some treatment a success metric passes, none fails, and every guardrail passes.
    Fail: under every treatment something fails. Everything else is `unknown`.
    """
    if refusal is not None:
        return Overall(
            ruling=Ruling.UNKNOWN, sentence=f"No verdict: {refusal.check}. {refusal.sentence}"
        )
    rulings = {
        variant: _ruling_of([one for one in comparisons if one.variant == variant])
        for variant in dict.fromkeys(one.variant for one in comparisons)
    }
    winners = [variant for variant, ruling in rulings.items() if ruling is Ruling.PASS]
    if winners:
        return Overall(ruling=Ruling.PASS, sentence=_won(winners, comparisons))
    if rulings and set(rulings.values()) == {Ruling.FAIL}:
        return Overall(ruling=Ruling.FAIL, sentence=_lost(comparisons))
    return Overall(ruling=Ruling.UNKNOWN, sentence=_open(comparisons))


def refusal_in(findings: Iterable[Finding]) -> Finding | None:
    """Return the first finding that makes a verdict meaningless."""
    return next((finding for finding in findings if finding.ruling is Ruling.FAIL), None)


def _is_without_width(effect: Effect) -> bool:
    return effect.low is not None and effect.low == effect.high


def _comparison(
    one: Measured, p_adjusted: float | None, standard: Standard, refusal: Finding | None
) -> Comparison:
    ruling, sentence = ruled(one, standard)
    if ruling is Ruling.PASS and one.role is Role.SUCCESS:
        ruling, sentence = _among_all(sentence, p_adjusted, standard)
    if refusal is not None:
        ruling, sentence = Ruling.UNKNOWN, f"Not judged ({refusal.check}). {sentence}"
    effect, metric = one.effect, one.metric
    return Comparison(
        metric=effect.metric,
        variant=one.variant,
        method=effect.method,
        n_control=effect.n_control,
        n_treatment=effect.n_treatment,
        control=effect.control,
        treatment=effect.treatment,
        effect=effect.difference,
        standard_error=one.standard_error,
        ci_low=effect.low,
        ci_high=effect.high,
        p=effect.p,
        p_adjusted=p_adjusted,
        relative=effect.relative,
        relative_ci_low=effect.relative_low,
        relative_ci_high=effect.relative_high,
        ruling=ruling,
        sentence=sentence,
        unit=effect.unit,
        role=one.role,
        direction=metric.direction,
        margin=metric.margin,
        min_effect=metric.min_effect,
        warnings=effect.warnings,
    )


def _among_all(sentence: str, p_adjusted: float | None, standard: Standard) -> tuple[Ruling, str]:
    """Let a gain pass only if it holds among all that was asked."""
    if p_adjusted is not None and p_adjusted <= standard.alpha:
        return Ruling.PASS, sentence
    shown = "no p-value" if p_adjusted is None else f"p {p_adjusted:.2g}"
    held = f"But not among all that was asked ({standard.correction}: {shown})."
    return Ruling.UNKNOWN, f"{sentence} {held}"


def _ruling_of(comparisons: Sequence[Comparison]) -> Ruling:
    """Rule on one treatment."""
    said = {role: [one.ruling for one in comparisons if one.role is role] for role in Role}
    if any(Ruling.FAIL in said[role] for role in Role if role is not Role.SHOWN):
        return Ruling.FAIL
    goals, guardrails = said[Role.SUCCESS], said[Role.GUARDRAIL]
    is_safe = set(guardrails) <= {Ruling.PASS}
    has_won = Ruling.PASS in goals if goals else bool(guardrails)
    return Ruling.PASS if is_safe and has_won else Ruling.UNKNOWN


def _won(winners: Sequence[str], comparisons: Sequence[Comparison]) -> str:
    passed = [one for one in comparisons if one.variant == winners[0] and one.ruling is Ruling.PASS]
    first = min(passed, key=lambda one: ROLES.index(one.role))
    others = f" So do {', '.join(winners[1:])}." if len(winners) > 1 else ""
    return f"{first.variant} wins: {first.sentence}{others}"


def _lost(comparisons: Sequence[Comparison]) -> str:
    deciding = (one for one in comparisons if one.role is not Role.SHOWN)
    first = next(one for one in deciding if one.ruling is Ruling.FAIL)
    return f"{first.variant} loses: {first.sentence}"


def _open(comparisons: Sequence[Comparison]) -> str:
    """Say what stands in the way: a failure first, then a guardrail, then a goal."""
    standing = [
        one for one in comparisons if one.role is not Role.SHOWN and one.ruling is not Ruling.PASS
    ]
    if not standing:
        return "Nothing was compared."
    first = min(standing, key=lambda one: (one.ruling is not Ruling.FAIL, one.margin is None))
    return f"Not decided. {first.variant}: {first.sentence}"
