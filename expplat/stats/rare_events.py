"""A guardrail for rare events, such as crashes: exact from no event on, and at every look.

Nothing here rests on the normal distribution. Where events are plenty the asymptotic sequence is
the tighter one; where they are few it is not valid. Half-widths of `anytime_difference` over those
of `anytime.anytime_interval`, tuned to just the number of units, with added counts, at alpha
0.05 and equal rates in equal arms:

    events per unit   500 units an arm   5,000   50,000   500,000
    0                             1.02    1.37     1.87      2.41
    1 in 1,000                       -    1.37     1.44      1.57
    1 in 100                      1.51    1.54     1.65      1.79
    1 in 10                       1.70    1.81     1.94      2.06

In tests of 20,000 units with nine tenths treated and rates of 0.05 % and 0.5 % in both arms, looked
at a hundred times, the asymptotic sequence calls harm by chance in 19 % and 26 % of them where no
floor is put under its error; this one in 0 % and 0.05 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from expplat.stats.distributions import critical_z
from expplat.stats.interval import Interval, not_estimable
from expplat.stats.two_proportions import Counts, restricted_rates

ANYTIME = "two proportions (beta-binomial confidence sequence)"
EXACT = "two proportions (exact, tails combined by Fisher)"

PRIORS = ((0.5, 0.5, 0.2), (0.5, 50.0, 0.3), (0.5, 1_000.0, 0.5))
"""Two parameters and the weight of each beta distribution of the mixture: for rates around a half,
about a percent, and below a per mille. They say where it is tight, never whether it is valid."""

Ends = Callable[[float], float]
"""By the difference: above 0 inside an interval, below 0 beyond one of its ends."""


def rare_event_harm(
    control_events: int,
    treatment_events: int,
    control_n: int,
    treatment_n: int,
    margin: float,
    alpha: float = 0.05,
) -> Interval:
    """Return the evidence that treatment's rate of a bad event is above control's by a margin.

    Valid at every look, however often and whenever one looks, and for any split of the traffic that
    does not follow the results. Harm is proven where the lower end is above the margin; there p is
    below alpha.

    Args:
        control_events: Units of control with the event.
        treatment_events: Units of treatment with the event.
        control_n: Units of control.
        treatment_n: Units of treatment.
        margin: How much higher a rate is still accepted, a fraction, at least 0 and below 1.
        alpha: One less the confidence level over all looks, between 0 and 1.

    Returns:
        The interval of `anytime_difference`, with a p against a difference of at most the margin.

    Raises:
        ValueError: If the counts are none, or the margin or alpha is out of range.

    Source:
        As `anytime_difference`. 0 of 5000 in both arms has p 1 and an interval with width; 1 of
        5000 against 100 of 5000 is harm beyond a margin of 0.005.
    """
    control, treatment = Counts(control_events, control_n), Counts(treatment_events, treatment_n)
    _check_margin(margin)
    found = anytime_difference(control, treatment, alpha)
    if found.estimate is None:
        return found
    return replace(found, p=_p_at_any_time(control, treatment, margin))


def exact_harm(
    control_events: int,
    treatment_events: int,
    control_n: int,
    treatment_n: int,
    margin: float,
    alpha: float = 0.05,
) -> Interval:
    """Return what `rare_event_harm` does for a test that is read once; exact too.

    Tighter, but for arms of some hundred units that saw no event at all: there it is up to half as
    wide again.

    Args:
        control_events: Units of control with the event.
        treatment_events: Units of treatment with the event.
        control_n: Units of control.
        treatment_n: Units of treatment.
        margin: As in `rare_event_harm`.
        alpha: One less the two-sided confidence level, between 0 and 1.

    Returns:
        The interval of `exact_difference`, with twice the one-sided p against a difference of at
        most the margin: it is below alpha where the lower end is above the margin.

    Raises:
        ValueError: As in `rare_event_harm`.

    Source:
        As `exact_difference`. Of 5000 each and at a margin of 0, 7 events against none are harm and
        6 are not; Fisher's exact test sees 6, and knows no margin.
    """
    control, treatment = Counts(control_events, control_n), Counts(treatment_events, treatment_n)
    _check_margin(margin)
    found = exact_difference(control, treatment, alpha)
    if found.estimate is None:
        return found
    return replace(found, p=min(1.0, 2 * _p_once(control, treatment, margin)))


def anytime_difference(control: Counts, treatment: Counts, alpha: float = 0.05) -> Interval:
    """Return an interval of the difference of two rates that holds at all looks together.

    A mixture of beta distributions over each arm's likelihood is a martingale under that arm's
    true rate, and so is the product of both arms'. The interval holds every difference for which
    some pair of rates that far apart keeps the product below 1 / alpha: all times together leave
    the truth out with probability alpha at most, at any number of units. One region for both
    arms is tighter than an interval for each at half of alpha.

    Args:
        control: Units of control and those with the event.
        treatment: Likewise of treatment.
        alpha: One less the confidence level over all looks, between 0 and 1.

    Returns:
        The difference of two fractions, with a p against equal rates that is valid at any time. An
        arm without units is compatible with any rate, and there is no estimate.

    Raises:
        ValueError: If the counts are none, or alpha is out of range.

    Source:
        Robbins (1970), Annals of Mathematical Statistics 41:1397-1409, for mixtures; Wasserman,
        Ramdas and Balakrishnan (2020), PNAS 117:16880-16890, for the likeliest of the null below
        the ratio. By hand: with the one prior (1/2, 1/2), 1 of 1 against 0 of 1 has a mixture of
        1/4 over a likelihood of 1/4 at equal rates, which is evidence of 1.
    """
    evidence = -math.log(_checked(control, treatment, alpha))
    if 0 in (control.n, treatment.n):
        return _without_units(control, treatment, ANYTIME)

    def inside(apart: float) -> float:
        return evidence - log_evidence(control, treatment, apart)

    low, high = _ends(inside, inside, _apart(control, treatment))
    return Interval(
        estimate=_apart(control, treatment),
        low=low,
        high=high,
        p=math.exp(-max(0.0, log_evidence(control, treatment, 0.0))),
        n=control.n + treatment.n,
        method=ANYTIME,
    )


def exact_difference(control: Counts, treatment: Counts, alpha: float = 0.05) -> Interval:
    """Return an interval of the difference of two rates for a test that is read once, exact.

    A difference is held against the tail of each arm, control's events at most as many and
    treatment's at least, combined by Fisher's product, at the pair of rates where they fit best;
    and the other way round for the upper end.

    Args:
        control: Units of control and those with the event.
        treatment: Likewise of treatment.
        alpha: One less the two-sided confidence level, between 0 and 1.

    Returns:
        The difference of two fractions, with a two-sided p against equal rates. An arm without
        units is compatible with any rate, and there is no estimate.

    Raises:
        ValueError: If the counts are none, or alpha is out of range.

    Source:
        Fisher (1932), Statistical Methods for Research Workers, 4th ed., section 21.1. By hand: the
        product w of two tails has p of w · (1 − ln w), so that 1 of 1 against 0 of 1, whose tails
        at equal rates multiply to at most 1/4, has a one-sided p of 0.5966.
    """
    _checked(control, treatment, alpha)
    if 0 in (control.n, treatment.n):
        return _without_units(control, treatment, EXACT)

    def above_low(apart: float) -> float:
        return _p_once(control, treatment, apart) - alpha / 2

    def below_high(apart: float) -> float:
        return _p_once(treatment, control, -apart) - alpha / 2

    low, high = _ends(above_low, below_high, _apart(control, treatment))
    smaller = min(_p_once(control, treatment, 0.0), _p_once(treatment, control, 0.0))
    return Interval(
        estimate=_apart(control, treatment),
        low=low,
        high=high,
        p=min(1.0, 2 * smaller),
        n=control.n + treatment.n,
        method=EXACT,
    )


def log_evidence(control: Counts, treatment: Counts, apart: float) -> float:
    """Return the logarithm of the evidence against rates that lie a given difference apart.

    Its exponential is an e-value at each look: the product of both arms' mixtures over the
    likelihood of the likeliest rates that far apart.

    Args:
        control: Units of control, at least 1, and those with the event.
        treatment: Likewise of treatment.
        apart: Treatment's rate less control's, between -1 and 1.

    Source:
        As `anytime_difference`.
    """
    rates = restricted_rates(control, treatment, apart)
    arms = tuple(zip((control, treatment), rates, strict=True))
    return math.fsum(_log_mixture(arm) - _log_likelihood(arm, rate) for arm, rate in arms)


def _p_at_any_time(control: Counts, treatment: Counts, margin: float) -> float:
    """Return the p against a difference of at most the margin."""
    if _apart(control, treatment) <= margin:
        return 1.0
    return math.exp(-max(0.0, log_evidence(control, treatment, margin)))


def _log_mixture(arm: Counts) -> float:
    """Return the log of the mixture of likelihoods of one arm."""
    from scipy.special import betaln

    failures = arm.n - arm.successes
    logs = [
        math.log(weight) + float(betaln(a + arm.successes, b + failures) - betaln(a, b))
        for a, b, weight in PRIORS
    ]
    top = max(logs)
    return top + math.log(math.fsum(math.exp(value - top) for value in logs))


def _log_likelihood(arm: Counts, rate: float) -> float:
    """Return the log likelihood of an arm; far below all others where the rate is impossible."""
    failures = arm.n - arm.successes
    if (arm.successes and rate <= 0) or (failures and rate >= 1):
        return -1e12
    seen = arm.successes * math.log(rate) if arm.successes else 0.0
    return seen + (failures * math.log1p(-rate) if failures else 0.0)


def _p_once(control: Counts, treatment: Counts, apart: float) -> float:
    """Return the one-sided p against a difference of at most so much, treatment's rate higher."""
    from scipy.optimize import minimize_scalar

    lowest, highest = max(0.0, -apart), min(1.0, 1.0 - apart)

    def unlikely(rate: float) -> float:
        return -_log_at_most(control, rate) - _log_at_least(treatment, rate + apart)

    # Both logarithms are concave in the rate, so that their sum has one top.
    near = restricted_rates(control, treatment, apart)[0]
    reach = 8 * math.sqrt((near + 8 / control.n) / min(control.n, treatment.n))
    bounds = max(lowest, near - reach), min(highest, near + reach)
    found = minimize_scalar(
        unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-7 * reach}
    )
    log_product = min(0.0, -float(found.fun))
    return min(1.0, math.exp(log_product) * (1 - log_product))


def _log_at_most(arm: Counts, rate: float) -> float:
    from scipy.special import bdtr

    return _log_tail(float(bdtr(arm.successes, arm.n, min(1.0, max(0.0, rate)))), arm, rate)


def _log_at_least(arm: Counts, rate: float) -> float:
    from scipy.special import bdtrc

    if arm.successes == 0:
        return 0.0
    return _log_tail(float(bdtrc(arm.successes - 1, arm.n, min(1.0, max(0.0, rate)))), arm, rate)


def _log_tail(tail: float, arm: Counts, rate: float) -> float:
    """Return the log of a tail; of its first part, near enough, where the tail is lost to sight."""
    if tail > 1e-290:
        return math.log(tail)
    ways = math.lgamma(arm.n + 1) - math.lgamma(arm.successes + 1)
    return min(-600.0, ways - math.lgamma(arm.n - arm.successes + 1) + _log_likelihood(arm, rate))


def _ends(above_low: Ends, below_high: Ends, estimate: float) -> tuple[float, float]:
    """Return where each changes its sign, on either side of the estimate."""
    from scipy.optimize import brentq

    low, high = -1.0, 1.0
    if above_low(low) < 0:
        low = float(brentq(above_low, low, estimate, xtol=1e-15, rtol=1e-12, maxiter=500))
    if below_high(high) < 0:
        high = float(brentq(below_high, estimate, high, xtol=1e-15, rtol=1e-12, maxiter=500))
    return low, high


def _checked(control: Counts, treatment: Counts, alpha: float) -> float:
    critical_z(alpha)
    for arm in (control, treatment):
        if not 0 <= arm.successes <= arm.n:
            raise ValueError(f"{arm.successes} of {arm.n} is not a count of events")
    return alpha


def _check_margin(margin: float) -> None:
    if not 0 <= margin < 1:
        raise ValueError(f"a margin lies from 0 to below 1, not at {margin}")


def _without_units(control: Counts, treatment: Counts, method: str) -> Interval:
    reason = "An arm has no units."
    return not_estimable(n=control.n + treatment.n, method=method, reason=reason)


def _apart(control: Counts, treatment: Counts) -> float:
    return treatment.successes / treatment.n - control.successes / control.n
