"""What a policy would have earned, from a log that another policy wrote.

Every logged decision is weighted by how much likelier the target policy would have taken it. A
weight is all that stands between the two policies, so where the log saw too little of what the
target does, there is no answer: see `Overlap`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from expplat.stats.distributions import Floats, critical_z, normal_p
from expplat.stats.interval import ROUNDING, Interval, not_estimable, without_spread

LEAST_EFFECTIVE_SHARE = 0.01
"""Effective sample size over logged decisions, below which nothing is estimated."""

LEAST_EFFECTIVE = 100.0
"""Effective decisions below which no normal interval is believed, whatever the share."""

IPS = "inverse propensity"
SNIPS = "self-normalised inverse propensity"
DOUBLY_ROBUST = "doubly robust"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """A log, seen from the target policy; made by `decisions`."""

    rewards: Floats
    """What each logged decision earned, in the reward's unit."""

    target: Floats
    """Probability of each logged action under the target policy."""

    logging: Floats
    """Probability with which it was taken: the propensity."""

    unsupported: float
    """Probability that the target puts on actions which the logging policy never takes."""

    least_effective_share: float
    """Effective sample size over decisions, below which nothing is estimated."""


def decisions(
    rewards: ArrayLike,
    target: ArrayLike,
    logging: ArrayLike,
    *,
    unsupported: float = 0.0,
    least_effective_share: float = LEAST_EFFECTIVE_SHARE,
) -> Decisions:
    """Return a log whose columns fit.

    Decisions are taken to be independent; where a user made many, the intervals are too narrow.

    Args:
        rewards: Shape (n,), what each logged decision earned.
        target: Shape (n,), probability of each logged action under the target policy, 0 to 1.
        logging: Shape (n,), probability with which it was taken. One that is missing or not above
            0 is no reason to raise: nothing is then estimated.
        unsupported: What `unsupported_mass` says, 0 to 1; anything above 0 is refused.
        least_effective_share: Share of effective decisions below which nothing is estimated, 0
            to 1.

    Raises:
        ValueError: If the columns do not fit, or a share or a target probability is out of range.
    """
    new, old = _columns(target, logging)
    earned, _ = _columns(rewards, new)
    if not np.all((new >= 0) & (new <= 1)):
        raise ValueError("the target policy's probabilities lie between 0 and 1")
    if not 0 <= unsupported <= 1 or not 0 <= least_effective_share <= 1:
        raise ValueError("shares lie between 0 and 1")
    return Decisions(
        rewards=earned,
        target=new,
        logging=old,
        unsupported=unsupported,
        least_effective_share=least_effective_share,
    )


class Overlap(NamedTuple):
    """How much of the log speaks for the target policy."""

    n: int
    """Logged decisions."""

    effective: float
    """Effective sample size, (Σw)² / Σw²: so many decisions of the target's own say as much."""

    largest_weight: float
    mean_weight: float
    """Near 1 where propensities are right and the log has seen all that the target does."""

    refusal: str | None
    """Why nothing may be estimated; None where it may."""


def overlap(log: Decisions) -> Overlap:
    """Return how well the log covers the target policy, and whether that is enough.

    Source:
        Kish (1965), Survey Sampling, for the effective size. By hand: weights 1, 1, 2 are worth
        16 / 6 = 2.667 decisions.
    """
    n = len(log.target)
    if not np.all((log.logging > 0) & (log.logging <= 1)):
        reason = "A logged propensity is missing, or not above 0 and up to 1."
        return Overlap(n, 0.0, 0.0, 0.0, reason)
    weights = log.target / log.logging
    if not np.any(weights > 0):
        reason = "No overlap: the target policy never takes an action that was logged."
        return Overlap(n, 0.0, 0.0, 0.0, reason)
    effective = float(weights.sum()) ** 2 / float(weights @ weights)
    return Overlap(
        n=n,
        effective=effective,
        largest_weight=float(weights.max()),
        mean_weight=float(weights.mean()),
        refusal=_refusal(log, effective),
    )


def unsupported_mass(target: ArrayLike, logging: ArrayLike) -> float:
    """Return the probability that the target puts where the logging policy has none.

    Args:
        target: Shape (n, actions), probabilities of all actions at each decision.
        logging: Shape (n, actions), the same of the logging policy.

    Returns:
        The mean over decisions, 0 to 1.

    Raises:
        ValueError: If the shapes do not fit.
    """
    new, old = np.asarray(target, dtype=np.float64), np.asarray(logging, dtype=np.float64)
    if new.shape != old.shape or new.ndim != 2 or not len(new):
        raise ValueError(f"policies of shape {new.shape} and {old.shape} cannot be compared")
    return float(np.where(old > 0, 0.0, new).sum(axis=1).mean())


def inverse_propensity(log: Decisions, alpha: float = 0.05) -> Interval:
    """Return the target's mean reward, unbiased where the propensities are right.

    Args:
        log: From `decisions`.
        alpha: One less the two-sided confidence level, between 0 and 1.

    Returns:
        The mean with a normal interval; the p-value is of a mean of 0. Not estimable without
        overlap. It knows nothing of the reward's range.

    Raises:
        ValueError: If alpha is out of range.

    Source:
        Horvitz and Thompson (1952), JASA 47:663-685. By hand: rewards 1, 0, 1 with weights
        0.5, 1, 2 give 2.5 / 3.
    """
    critical_z(alpha)
    reason = _unfit(log.rewards, log)
    if reason:
        return not_estimable(n=len(log.rewards), method=IPS, reason=reason)
    return _interval_of_mean(log.target / log.logging * log.rewards, IPS, alpha)


def self_normalised(log: Decisions, alpha: float = 0.05) -> Interval:
    """Return the target's mean reward as a weighted mean of what was earned.

    Biased by about 1 over the effective size, but never outside the rewards' range, and what is
    added to every reward is added to the answer. The interval is normal, its error by the delta
    method. Args, Returns and Raises are as in `inverse_propensity`.

    Source:
        Swaminathan and Joachims (2015), NeurIPS 28. By hand: rewards 1, 0, 1 with weights 0.5, 1, 2
        give 2.5 / 3.5.
    """
    critical_z(alpha)
    reason = _unfit(log.rewards, log)
    if reason:
        return not_estimable(n=len(log.rewards), method=SNIPS, reason=reason)
    weights = log.target / log.logging
    estimate = float(weights @ log.rewards / weights.sum())
    influence = weights * (log.rewards - estimate) / weights.mean()
    return _interval_of_mean(estimate + influence, SNIPS, alpha)


def doubly_robust(
    log: Decisions, modelled: ArrayLike, modelled_target: ArrayLike, alpha: float = 0.05
) -> Interval:
    """Return the target's mean reward by a model, corrected by the log where the model errs.

    Right where either the propensities or the model are right, and narrower than
    `inverse_propensity` where the model is good. The model must not have been fitted on the very
    decisions that it is held against: cross-fit it.

    Args:
        log: From `decisions`.
        modelled: Shape (n,), reward that the model expects of the logged action.
        modelled_target: Shape (n,), reward that it expects of the target policy at that decision:
            the mean over its actions.
        alpha: One less the two-sided confidence level, between 0 and 1.

    Returns:
        As in `inverse_propensity`.

    Raises:
        ValueError: If the columns do not fit, or alpha is out of range.

    Source:
        Dudík, Langford and Li (2011), ICML, arXiv 1103.4601. By hand: with a model that is exact
        it is the mean of `modelled_target`, and with one that says 0 it is inverse propensity.
    """
    critical_z(alpha)
    expected, chosen = _columns(modelled, modelled_target)
    if len(expected) != len(log.rewards):
        raise ValueError(f"{len(expected)} modelled rewards for {len(log.rewards)} decisions")
    reason = _unfit(np.concatenate((log.rewards, expected, chosen)), log)
    if reason:
        return not_estimable(n=len(expected), method=DOUBLY_ROBUST, reason=reason)
    corrections = log.target / log.logging * (log.rewards - expected)
    return _interval_of_mean(chosen + corrections, DOUBLY_ROBUST, alpha)


def _interval_of_mean(parts: Floats, method: str, alpha: float) -> Interval:
    """Return the mean of independent parts with a normal interval."""
    n, estimate = len(parts), float(parts.mean())
    error = float(parts.std(ddof=1)) / math.sqrt(n)
    if error <= ROUNDING * float(np.abs(parts).max()):
        return without_spread(estimate=estimate, n=n, method=method)
    half = critical_z(alpha) * error
    return Interval(
        estimate=estimate,
        low=estimate - half,
        high=estimate + half,
        p=normal_p(estimate / error),
        n=n,
        method=method,
        standard_error=error,
    )


def _refusal(log: Decisions, effective: float) -> str | None:
    if log.unsupported > 0:
        return (
            f"No overlap: {log.unsupported:.2%} of what the target policy does is never done by "
            "the logging policy."
        )
    n = len(log.target)
    least = max(log.least_effective_share * n, LEAST_EFFECTIVE)
    if effective < least:
        return (
            f"Too little overlap: {n} logged decisions are worth {effective:.0f} of the target "
            f"policy's own; {least:.0f} are asked for."
        )
    return None


def _unfit(numbers: Floats, log: Decisions) -> str | None:
    if not np.all(np.isfinite(numbers)):
        return "A value is missing or not finite."
    return overlap(log).refusal


def _columns(one: ArrayLike, other: ArrayLike) -> tuple[Floats, Floats]:
    first, second = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise ValueError(f"columns of shape {first.shape} and {second.shape} do not fit")
    return first, second
