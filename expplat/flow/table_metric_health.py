"""Is a metric of a table fit to be read? Values that are missing, moved or far out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from expplat.domain.analysis import Finding
from expplat.domain.gate import Ruling
from expplat.domain.moments import JointMoments
from expplat.domain.question import Question
from expplat.domain.tally import ArmTally, Tally
from expplat.domain.wording import amount
from expplat.flow.table_effects import is_heavy
from expplat.stats import srm, two_proportions
from expplat.stats.adjustment import balance
from expplat.stats.joint_moments import linear_map, linearised, marginal

MOST_MISSING = 0.05
"""Share of a variant's units that may lack a value."""

SURE = 0.001
"""Chance of a false alarm of each check that reads a p-value."""


def finding_of(
    check: str,
    ruling: Ruling,
    sentence: str,
    p: float | None = None,
    detail: Mapping[str, float | str] | None = None,
) -> Finding:
    """Return what a check has found."""
    return Finding(check=check, ruling=ruling, p=p, detail=detail or {}, sentence=sentence)


def metric_health(tally: Tally, question: Question, shares: Sequence[float]) -> Iterator[Finding]:
    """Check what was measured.

    Args:
        tally: The table, added up.
        question: What is asked of it.
        shares: Planned share of each arm.
    """
    yield from _missing(tally, question)
    yield from _balance(tally, question)
    yield from _denominators(tally, question, shares)
    yield from _tails(tally, question)


def _missing(tally: Tally, question: Question) -> Iterator[Finding]:
    control, *treatments = tally.arms
    for metric in question.metrics:
        shares = {arm.variant: _missing_share(arm, metric.name) for arm in tally.arms if arm.units}
        if not any(shares.values()):
            continue
        p = min(_missing_p(control, arm, metric.name) for arm in treatments)
        worst = max(shares, key=lambda variant: shares[variant])
        said = f"{amount(shares[worst], 'fraction')} of {worst} lack {metric.name}"
        ruling = Ruling.PASS
        if shares[worst] > MOST_MISSING:
            ruling, said = Ruling.FAIL, f"{said}; {amount(MOST_MISSING, 'fraction')} may"
        elif p <= SURE / len(treatments):
            ruling, said = Ruling.FAIL, f"{said}, and not by chance (p {p:.2g})"
        yield finding_of("missing_values", ruling, f"{said}.", p, {"metric": metric.name, **shares})


def _missing_share(arm: ArmTally, metric: str) -> float:
    tally = arm.metrics[metric]
    return tally.missing / max(tally.missing + tally.units, 1)


def _missing_p(control: ArmTally, treatment: ArmTally, metric: str) -> float:
    one, other = (arm.metrics[metric] for arm in (control, treatment))
    found = two_proportions.difference(
        two_proportions.Counts(one.missing, one.missing + one.units),
        two_proportions.Counts(other.missing, other.missing + other.units),
    )
    return 1.0 if found.p is None else found.p


def _balance(tally: Tally, question: Question) -> Iterator[Finding]:
    """Hold what was known before the exposure against chance."""
    is_clustered = tally.arms[0].clusters is not None
    usable = [one for one in question.metrics if not (is_clustered and one.denominator)]
    if not usable or not question.covariates:
        return
    metric = usable[0].name
    shown = tally.arms[0].metrics[metric]
    first = 2 if shown.has_denominator else 1
    for place, name in enumerate(shown.covariates[: len(question.covariates)], start=first):
        p = _balance_p(tally.arms, metric, place)
        if p is None:
            continue
        ruling = Ruling.FAIL if p <= SURE else Ruling.PASS
        said = "differs before the exposure" if ruling is Ruling.FAIL else "is balanced"
        sentence = f"{name} {said} (p {p:.2g})."
        yield finding_of("balance_before_exposure", ruling, sentence, p, {"covariate": name})


def _balance_p(arms: Sequence[ArmTally], metric: str, place: int) -> float | None:
    """Hold a covariate's means against each other; of clusters, their means over units."""
    joints = [arm.metrics[metric].moments for arm in arms]
    if arms[0].clusters is None:
        return balance([marginal(joint, place) for joint in joints])
    over_units = [linearised(_sum_over_units(joint, place)) for joint in joints]
    return balance([marginal(joint) for joint in over_units if joint is not None])


def _sum_over_units(joint: JointMoments, place: int) -> JointMoments:
    """Return a covariate's sum over a cluster, and the units in it."""
    width = len(joint.means)
    rows = [[float(column == kept) for column in range(width)] for kept in (place, 1)]
    return linear_map(joint, rows, [0.0, 0.0])


def _denominators(tally: Tally, question: Question, shares: Sequence[float]) -> Iterator[Finding]:
    """Check totals whose denominator is not the units: the treatment may have moved it."""
    if question.unit is not None or question.units_in_row is None:
        return
    for metric in question.metrics:
        if metric.denominator is None or metric.denominator == question.units_in_row:
            continue
        p = srm.chi_square_p([arm.metrics[metric.name].units for arm in tally.arms], shares)
        is_moved = p <= SURE
        said = (
            f"{metric.denominator} differ between the variants themselves (p {p:.2g}): "
            f"{metric.name} compares different people."
            if is_moved
            else f"{metric.denominator} are as many as planned (p {p:.2g})."
        )
        ruling = Ruling.UNKNOWN if is_moved else Ruling.PASS
        yield finding_of("denominators", ruling, said, p, {"metric": metric.name})


def _tails(tally: Tally, question: Question) -> Iterator[Finding]:
    for metric in question.metrics:
        heavy = [arm.variant for arm in tally.arms if is_heavy(arm.metrics[metric.name])]
        if heavy:
            sentence = (
                f"A few units make most of the variance of {metric.name} ({', '.join(heavy)}): "
                f"its interval is rough. --winsorise {metric.name}=0.99 shows what is left."
            )
            detail = {"metric": metric.name}
            yield finding_of("heavy_tails", Ruling.UNKNOWN, sentence, None, detail)
