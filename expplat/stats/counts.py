"""Events per unit of exposure, such as errors per hour, where the variants were exposed unequally.

These intervals take events for independent of one another. Where a few units cause most of them,
they are too narrow: `dispersion` tells, and then the mean count of units is what to compare.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from expplat.domain.moments import Moments
from expplat.stats.distributions import critical_z
from expplat.stats.interval import Interval, not_estimable
from expplat.stats.moments import variance

DIFFERENCE = "Poisson rates (square-and-add of score intervals)"
RATIO = "Poisson rates, ratio (score)"

DISPERSED = 1.2
"""Variance over mean above which counts are not taken for Poisson: errors are a tenth too small."""


class Events(NamedTuple):
    """Events of one variant, and how long or how often they could have happened."""

    number: int
    exposure: float
    """In any unit that both variants share, such as hours; above 0."""


def rate_difference(
    control: Events, treatment: Events, alpha: float = 0.05, dispersion: float | None = None
) -> Interval:
    """Return the difference of two rates of events, for a test that is read once.

    The interval squares and adds the score intervals of both rates, and has width at 0 events too;
    p is that of the score test, 1 without any event.

    Args:
        control: Events of control.
        treatment: Events of treatment.
        alpha: One less the two-sided confidence level, between 0 and 1.
        dispersion: The larger `dispersion` of the two variants, where it is known: the interval
            then warns above 1.2.

    Returns:
        The difference per unit of exposure, `n` the number of events. Not estimable where an arm
        has no exposure.

    Raises:
        ValueError: If a count or an exposure is negative or not finite, or alpha is out of range.

    Source:
        Zou and Donner (2008), Statistics in Medicine 27:1693-1702, for square-and-add; Ng, Gu and
        Tang (2007), Computational Statistics and Data Analysis 51:3085-3099, for the test. By hand:
        0 events in 10 hours each give ± 1.959964² / 10 = ± 0.3841.
    """
    from statsmodels.stats.rates import confint_poisson_2indep

    if not _is_exposed(control, treatment, alpha):
        return _unexposed(control, treatment, DIFFERENCE)
    ends = confint_poisson_2indep(
        *treatment, *control, method="mover", compare="diff", alpha=alpha, method_mover="score"
    )
    return Interval(
        estimate=treatment.number / treatment.exposure - control.number / control.exposure,
        low=float(ends[0]),
        high=float(ends[1]),
        p=_score_p(control, treatment),
        n=control.number + treatment.number,
        method=DIFFERENCE,
        warnings=_warnings(dispersion),
    )


def rate_ratio(
    control: Events, treatment: Events, alpha: float = 0.05, dispersion: float | None = None
) -> Interval:
    """Return treatment's rate of events over control's: 1 where they are the same.

    Given their total, treatment's events are binomial; the interval is Wilson's of that share,
    which inverts the score test whose p it stands with.

    Args:
        control: Events of control.
        treatment: Events of treatment.
        alpha: One less the two-sided confidence level, between 0 and 1.
        dispersion: As in `rate_difference`.

    Returns:
        The ratio, 0 or above; `n` is the number of events. Not estimable where an arm has no
        exposure, or control no events: then no ratio is too large, and the difference is to be
        asked for.

    Raises:
        ValueError: As in `rate_difference`.

    Source:
        Gu, Ng, Tang and Schucany (2008), Biometrical Journal 50:283-298. By hand: 4 events against
        4 with equal exposure give 0.2742 to 3.6465, Wilson’s 0.2152 to 0.7848 as odds.
    """
    from statsmodels.stats.proportion import proportion_confint

    if not _is_exposed(control, treatment, alpha):
        return _unexposed(control, treatment, RATIO)
    n = control.number + treatment.number
    if control.number == 0:
        reason = "Control has no events: a ratio has no upper end, ask for the difference."
        return not_estimable(n=n, method=RATIO, reason=reason)
    ends = proportion_confint(treatment.number, n, alpha=alpha, method="wilson")
    low, high = (float(end) / (1 - float(end)) for end in ends)
    longer = control.exposure / treatment.exposure
    return Interval(
        estimate=treatment.number / control.number * longer,
        low=max(0.0, low) * longer,
        high=high * longer,
        p=_score_p(control, treatment),
        n=n,
        method=RATIO,
        warnings=_warnings(dispersion),
    )


def dispersion(moments: Moments) -> float | None:
    """Return the variance of counts over their mean: 1 where they are Poisson.

    Above 1.2, compare the mean counts of units by `two_sample.difference` instead.

    Args:
        moments: Of the number of events of each unit, all exposed equally.

    Returns:
        None below two units, or without events.

    Source:
        Fisher (1950), Biometrics 6:17-24. By hand: 2, 4, 4, 4, 5, 5, 7, 9 give 32 / 7 / 5 = 0.9143.
    """
    spread = variance(moments)
    return spread / moments.mean if spread is not None and moments.mean > 0 else None


def _is_exposed(control: Events, treatment: Events, alpha: float) -> bool:
    critical_z(alpha)
    for arm in (control, treatment):
        if not (0 <= arm.number < math.inf and 0 <= arm.exposure < math.inf):
            raise ValueError(f"{arm.number} events in {arm.exposure} are no count and exposure")
    return control.exposure > 0 and treatment.exposure > 0


def _unexposed(control: Events, treatment: Events, method: str) -> Interval:
    n = control.number + treatment.number
    return not_estimable(n=n, method=method, reason="An arm has no exposure.")


def _score_p(control: Events, treatment: Events) -> float:
    from statsmodels.stats.rates import test_poisson_2indep

    if control.number + treatment.number == 0:
        return 1.0
    # The score test of a difference of 0 and of a ratio of 1 is one and the same. Along the way
    # statsmodels forms a ratio that nobody asked for, and warns where control has no events.
    with np.errstate(divide="ignore"):
        found = test_poisson_2indep(*treatment, *control, value=0, method="score", compare="diff")
    return float(found.pvalue)


def _warnings(dispersion: float | None) -> tuple[str, ...]:
    if dispersion is None or dispersion <= DISPERSED:
        return ()
    found = f"The counts vary {dispersion:.3g} times as much as Poisson counts do"
    return (f"{found}: compare the mean counts of units instead.",)
