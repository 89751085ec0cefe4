"""Metrics that a judge scores: few labels of people, many scores of a model, one honest interval.

The judge may be biased, and it may be useless: what people said of the same units corrects it, and
decides how far it is believed. The interval is about what people would say, never about the judge.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from expplat.stats.distributions import Floats, critical_z, normal_p
from expplat.stats.interval import (
    ROUNDING,
    Interval,
    not_estimable,
    without_spread,
)
from expplat.stats.t_interval import t_interval

METHOD = "prediction-powered (PPI++)"
CLASSIC = "t, labels alone"

LEAST_LABELS = 30
"""Labels of people below which the judge is not listened to: its weight could not be learned."""

NOT_A_SAMPLE = 0.001
"""p-value below which the labelled units are said to be no random sample of all."""


class Scored(NamedTuple):
    """One metric of one variant, as people and the judge saw it."""

    labels: ArrayLike
    """Shape (n,), what people said of the labelled units."""

    scores: ArrayLike
    """Shape (n,), what the judge said of the same units, in the same order."""

    unlabelled_scores: ArrayLike
    """Shape (m,), what the judge said of the units that nobody labelled."""


class Judged(NamedTuple):
    """An estimate from labels and scores together."""

    interval: Interval
    """Of the mean that people would give, in the labels' unit; n is the number of labels."""

    classic: Interval
    """The same from the labels alone."""

    trust: float
    """Weight of the judge: 0 where it is not listened to, 1 where its word counts as a label's."""

    worth: float | None
    """How many labels alone would be as exact, for each label that there is; None where the
    interval has no width."""


def judged_mean(scored: Scored, alpha: float = 0.05) -> Judged:
    """Return the mean that people would give all units, labelled or not.

    The labelled units must be a random sample of all, and units independent. Below
    `LEAST_LABELS`, or where the judge gives every unit the same score, it is the t interval of the
    labels alone. The judge's weight is the one that makes the interval narrowest; as it is learned
    from the labels, it costs one of their degrees of freedom. Labels that are very skewed or rare
    need more of them, with a judge as without: 30 labels of an exponential, with a judge that
    sees no value above 2, were measured to hold the mean in 91 % of 95 % intervals (92 % without
    the judge), 100 labels in 93 % (94 %).

    Args:
        scored: Labels and scores; a label may be any number, also 0 or 1.
        alpha: One less the two-sided confidence level, between 0 and 1.

    Raises:
        ValueError: If labels and scores differ in length, or alpha is out of range.

    Source:
        Angelopoulos, Duchi and Zrnic (2023), PPI++, arXiv 2311.01453, with a jackknife for the
        labels' variance and Welch's degrees of freedom in place of the normal limit, which is too
        narrow for some dozen labels. By hand: labels 1, 2, 3, 4 ten times over, a judge that says
        ten more, and 80 others of the same kind: its weight is (40/39) / (1.5 · 120/119) = 0.6781.
    """
    critical_z(alpha)
    labels, scores = _columns(scored.labels, scored.scores)
    others = np.asarray(scored.unlabelled_scores, dtype=np.float64)
    if others.ndim != 1:
        raise ValueError(f"scores of shape {others.shape} are no column")
    if not all(np.all(np.isfinite(column)) for column in (labels, scores, others)):
        reason = "A label or a score is missing or not finite."
        nothing = not_estimable(n=len(labels), method=METHOD, reason=reason)
        return Judged(nothing, nothing, 0.0, None)
    classic = _classic(labels, alpha)
    trust = _trust(labels, scores, others)
    if trust == 0 or classic.standard_error is None:
        return Judged(classic, classic, 0.0, None if classic.standard_error is None else 1.0)
    found = _powered(labels, scores, others, trust, alpha)
    worth = None
    if found.standard_error:
        worth = (classic.standard_error / found.standard_error) ** 2
    return Judged(found, classic, trust, worth)


def judged_difference(control: Scored, treatment: Scored, alpha: float = 0.05) -> Judged:
    """Return the mean paired difference that people would find, treatment less control.

    The units are requests that both variants answered, in the same order in all columns: people
    labelled both answers of the same requests, and the judge scored both answers of all. What the
    judge says of a difference is weighed, so that a bias which it has for both variants is gone.

    Args:
        control: Labels and scores of control's answers.
        treatment: Labels and scores of treatment's, for the same requests.
        alpha: One less the two-sided confidence level, between 0 and 1.

    Returns:
        As in `judged_mean`, of the differences.

    Raises:
        ValueError: If the columns do not fit, or alpha is out of range.
    """
    apart = [np.subtract(*_columns(two, one)) for one, two in zip(control, treatment, strict=True)]
    return judged_mean(Scored(*apart), alpha)


def _powered(
    labels: Floats, scores: Floats, others: Floats, trust: float, alpha: float
) -> Interval:
    """Return the interval of the labels' mean, corrected by the weighted scores."""
    n, m = len(labels), len(others)
    estimate = float(np.mean(labels - trust * scores) + trust * others.mean())
    from_labels = _jackknife(labels, scores, others)
    from_scores = trust**2 * float(others.var(ddof=1)) / m
    error = math.sqrt(from_labels + from_scores)
    if error <= ROUNDING * float(np.abs(labels).max()):
        return without_spread(estimate=estimate, n=n, method=METHOD)
    # Shares of the variance, for its square may be too small for a number of its own.
    share = from_labels / error**2
    degrees = 1 / (share**2 / (n - 2) + (1 - share) ** 2 / (m - 1))
    found = t_interval(estimate, error, degrees, alpha=alpha, n=n, method=METHOD)
    return replace(found, warnings=(*found.warnings, *_sample_warnings(scores, others)))


def _jackknife(labels: Floats, scores: Floats, others: Floats) -> float:
    """Return the variance that the labels bring, with the weight learned anew without each."""
    n = len(labels)
    trusts = _trusts_without_each(labels, scores, others)
    means = (labels.sum() - labels) / (n - 1), (scores.sum() - scores) / (n - 1)
    estimates = means[0] + trusts * (others.mean() - means[1])
    return float(np.sum((estimates - estimates.mean()) ** 2)) * (n - 1) / n


def _trust(labels: Floats, scores: Floats, others: Floats) -> float:
    """Return the weight of the judge under which the interval is narrowest; 0 to ignore it."""
    n, m = len(labels), len(others)
    if n < LEAST_LABELS or m < 2:
        return 0.0
    every = np.concatenate((scores, others))
    spread = float(every.var(ddof=1))
    if math.sqrt(spread) <= ROUNDING * float(np.abs(every).max()):
        return 0.0
    together = float((labels - labels.mean()) @ (scores - scores.mean())) / (n - 1)
    return together / ((1 + n / m) * spread)


def _trusts_without_each(labels: Floats, scores: Floats, others: Floats) -> Floats:
    """Return `_trust` of the labels but one, for each of them; 0 where no spread is left."""
    n, m = len(labels), len(others)
    every = np.concatenate((scores, others))
    about, total = scores - every.mean(), float(np.sum((every - every.mean()) ** 2))
    spreads = (total - about**2 * (n + m) / (n + m - 1)) / (n + m - 2)
    products = (labels - labels.mean()) * (scores - scores.mean())
    together = (products.sum() - products * n / (n - 1)) / (n - 2)
    weights = np.zeros(n)
    has_spread = spreads > 1e-12 * total / (n + m)
    np.divide(together, (1 + (n - 1) / m) * spreads, out=weights, where=has_spread)
    return weights


def _classic(labels: Floats, alpha: float) -> Interval:
    """Return the t interval of the labels alone."""
    n = len(labels)
    if n < 2:
        reason = "There are fewer than two labels."
        return not_estimable(n=n, method=CLASSIC, reason=reason)
    estimate, error = float(labels.mean()), float(labels.std(ddof=1)) / math.sqrt(n)
    if error <= ROUNDING * float(np.abs(labels).max()):
        return without_spread(estimate=estimate, n=n, method=CLASSIC)
    return t_interval(estimate, error, n - 1, alpha=alpha, n=n, method=CLASSIC)


def _sample_warnings(scores: Floats, others: Floats) -> tuple[str, ...]:
    """Warn where the judge saw other units among the labelled than among the rest."""
    error = math.sqrt(
        float(scores.var(ddof=1)) / len(scores) + float(others.var(ddof=1)) / len(others)
    )
    apart = float(scores.mean() - others.mean())
    if error == 0 or normal_p(apart / error) >= NOT_A_SAMPLE:
        return ()
    return (
        "The judge scores labelled units unlike the others: they are no random sample of all, and "
        "the interval may miss the truth.",
    )


def _columns(one: ArrayLike, other: ArrayLike) -> tuple[Floats, Floats]:
    first, second = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"columns of shape {first.shape} and {second.shape} do not fit")
    return first, second
