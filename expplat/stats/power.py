"""How many units a test needs, and what it can find with those it gets.

All formulas are the normal approximation with unpooled variances; the far tail of a two-sided test
is left out. Numbers come unrounded: round units up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from expplat.stats.distributions import critical_z, normal_quantile, normal_tail

INFLATION = {
    "fixed": 1.0,
    "obf": 1.077,
    "hsd(-4)": 1.055,
    "power(3)": 1.067,
    "pocock": 1.283,
    "open_ended": 1.68,
}
"""Units that a sequential plan needs, over those of a test read once, for the same power.

Found for 80 % power at a two-sided 0.05 and 100 looks, by simulation of 40,000 Brownian paths
(`pocock` by recursion); `open_ended` is the asymptotic confidence sequence, tuned to the plan.
Recursion gives 1.055, 1.050, 1.062, 1.283 and 1.676 in the order above. Fewer looks, or more power,
need less: 1.050, 1.045, 1.056, 1.239 and 1.530 for 95 %. So does an alpha of 0.01. The table is
thus on the safe side for powers from 80 % and alphas up to 0.05, and says nothing of others.
"""


class JointPower(NamedTuple):
    """The chance that several gates all pass."""

    independent: float
    """If the metrics were independent; metrics that move together do better."""

    at_least: float
    """Whatever their dependence: 1 less the sum of what each misses, and not below 0."""


def proportion_variance(share: float) -> float:
    """Return the variance of a yes-or-no value.

    Raises:
        ValueError: If the share is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share must lie between 0 and 1, not at {share}")
    return share * (1 - share)


def units_per_arm(
    effect: float,
    variances: tuple[float, float],
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    inflation: float = 1.0,
) -> float:
    """Return the units that each variant needs to find a difference of means.

    Args:
        effect: Smallest difference that must be found, or a margin; its sign does not matter.
        variances: Variance of one unit under control and under treatment, in the unit squared.
        alpha: Two-sided level, between 0 and 1.
        power: Chance to find the effect, between 0 and 1.
        inflation: 1 for a test read once, else a value of `INFLATION`.

    Raises:
        ValueError: If the effect is 0, or alpha or power is out of range.

    Source:
        Two proportions 0.1204 and 0.1304 need 17,212.6 units an arm.
    """
    if effect == 0:
        raise ValueError("no number of units finds an effect of 0")
    distance = critical_z(alpha) + _z_of_power(power)
    return inflation * sum(variances) * (distance / effect) ** 2


def units_per_arm_for_shares(
    base: float,
    effect: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    inflation: float = 1.0,
) -> float:
    """Return the units that each variant needs to move a proportion from `base` by `effect`.

    Raises:
        ValueError: If base or base + effect is not between 0 and 1, or as `units_per_arm` does.
    """
    variances = (proportion_variance(base), proportion_variance(base + effect))
    return units_per_arm(effect, variances, alpha=alpha, power=power, inflation=inflation)


def smallest_effect(
    units: float,
    variances: tuple[float, float],
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    inflation: float = 1.0,
) -> float:
    """Return the smallest difference that so many units in each variant find.

    Raises:
        ValueError: If there are no units, or alpha or power is out of range.
    """
    if units <= 0:
        raise ValueError("a test needs units")
    distance = critical_z(alpha) + _z_of_power(power)
    return distance * math.sqrt(inflation * sum(variances) / units)


def power_at(
    units: float,
    effect: float,
    variances: tuple[float, float],
    *,
    alpha: float = 0.05,
    inflation: float = 1.0,
) -> float:
    """Return the chance that so many units in each variant find the effect.

    Raises:
        ValueError: If there are no units, or alpha is out of range.
    """
    if units <= 0:
        raise ValueError("a test needs units")
    error = math.sqrt(inflation * sum(variances) / units)
    if error == 0:
        return 1.0 if effect else 0.0
    return normal_tail(critical_z(alpha) - abs(effect) / error)


def power_of_each(power: float, guardrails: int) -> float:
    """Return the power that success metric and guardrails each need to pass jointly with `power`.

    The missed share is divided among the success metric and the guardrails; alpha is not.

    Raises:
        ValueError: If power is out of range or guardrails are negative.

    Source:
        Schultzberg, Ankargren and Frånberg (2024), arXiv 2402.11609. By hand: 0.8 with three
        guardrails needs 0.95 each.
    """
    _z_of_power(power)
    if guardrails < 0:
        raise ValueError("guardrails are counted from 0")
    return (guardrails + power) / (guardrails + 1)


def joint_power(powers: Sequence[float]) -> JointPower:
    """Return the chance that all gates pass, from the chance of each.

    Raises:
        ValueError: If there is no power, or one is not between 0 and 1.

    Source:
        Bonferroni's inequality. By hand: 0.9 and 0.8 give 0.72, and at least 0.7.
    """
    if not powers or not all(0 <= power <= 1 for power in powers):
        raise ValueError("powers lie between 0 and 1, and there is at least one")
    return JointPower(math.prod(powers), max(0.0, 1 - math.fsum(1 - power for power in powers)))


def days_needed(units: float, units_per_day: float, traffic_percent: float = 100.0) -> float:
    """Return the days in which so many units come into the test.

    Args:
        units: Of all variants together, at least 0.
        units_per_day: New units a day in the system as a whole, above 0; one that comes back
            counts once.
        traffic_percent: Share of them that enters the test, above 0 and up to 100.

    Raises:
        ValueError: If an argument is out of range.
    """
    if not units >= 0 or not units_per_day > 0 or not 0 < traffic_percent <= 100:
        raise ValueError("days need units, units a day and a share of the traffic")
    return units / (units_per_day * traffic_percent / 100)


def smallest_effect_on_share(
    units: float, base: float, *, alpha: float = 0.05, power: float = 0.8, inflation: float = 1.0
) -> float | None:
    """Return the smallest gain over a proportion that so many units in each variant find.

    The inverse of `units_per_arm_for_shares`, with treatment's own variance. For a proportion
    that is to fall, ask for 1 − base.

    Returns:
        A share above 0; None where even a rise to 1 is not found.

    Raises:
        ValueError: If base is not between 0 and 1, or as `smallest_effect` does.

    Source:
        17,212.6 units in each variant find 0.01 over 0.1204.
    """
    if units <= 0:
        raise ValueError("a test needs units")
    still = proportion_variance(base)
    distance = critical_z(alpha) + _z_of_power(power)
    # effect² · weight = still + (base + effect) · (1 − base − effect), solved for the effect
    weight = units / inflation / distance**2
    slope = 1 - 2 * base
    effect = (slope + math.sqrt(slope**2 + 8 * still * (weight + 1))) / (2 * (weight + 1))
    return effect if effect <= 1 - base else None


def paired_requests(
    effect: float, sd: float, *, alpha: float = 0.05, power: float = 0.8, inflation: float = 1.0
) -> float:
    """Return the requests that a replay needs, where each goes through both variants.

    Args:
        effect: Smallest mean difference that must be found, or a margin; its sign does not matter.
        sd: Standard deviation of the paired differences, in the metric's unit, at least 0.
        alpha: Two-sided level, between 0 and 1.
        power: Chance to find the effect, between 0 and 1.
        inflation: 1 for a replay that is read once.

    Raises:
        ValueError: If sd is negative, or as `units_per_arm` does.

    Source:
        By hand: an sd of 0.3 and an effect of 0.02 need (2.80159 · 15)² = 1,766.0.
    """
    if sd < 0:
        raise ValueError("a standard deviation is not negative")
    return units_per_arm(effect, (sd * sd, 0.0), alpha=alpha, power=power, inflation=inflation)


def paired_power(requests: float, effect: float, sd: float, *, alpha: float = 0.05) -> float:
    """Return the chance that so many requests, each through both variants, find the effect.

    Raises:
        ValueError: If sd is negative, or as `power_at` does.
    """
    if sd < 0:
        raise ValueError("a standard deviation is not negative")
    return power_at(requests, effect, (sd * sd, 0.0), alpha=alpha)


def sd_of_discordant(only_control: float, only_treatment: float) -> float:
    """Return the standard deviation of the paired differences of two proportions.

    Args:
        only_control: Share of the requests that succeed under control alone, 0 to 1.
        only_treatment: Under treatment alone; the two together are at most 1.

    Raises:
        ValueError: If a share is out of range.

    Source:
        By hand: 0.05 and 0.08 give √(0.13 − 0.03²) = 0.35930.
    """
    if min(only_control, only_treatment) < 0 or only_control + only_treatment > 1:
        raise ValueError("discordant shares are at least 0, and together at most 1")
    return math.sqrt(only_control + only_treatment - (only_treatment - only_control) ** 2)


def _z_of_power(power: float) -> float:
    if not 0 < power < 1:
        raise ValueError(f"power must lie between 0 and 1, not at {power}")
    return normal_quantile(power)
