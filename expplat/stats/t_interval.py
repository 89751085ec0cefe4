"""The interval that most statistics end in: an estimate, give or take Student's t of its error."""

from __future__ import annotations

from expplat.stats.distributions import critical_t, t_p
from expplat.stats.interval import Interval, finite_or_not_estimable


def t_interval(
    estimate: float, error: float, degrees: float, *, alpha: float, n: int, method: str
) -> Interval:
    """Return the estimate ± its critical t times its error, with the p-value of 0.

    Args:
        estimate: In any unit.
        error: Its standard error, above 0, in the same unit.
        degrees: Of freedom, above 0; they may be a fraction.
        alpha: One less the two-sided confidence level, between 0 and 1.
        n: Units that it rests on.
        method: What it is called.

    Returns:
        Not estimable where a number of it is not finite.

    Source:
        Student (1908), Biometrika 6:1-25. An estimate of 3 with an error of √0.5 and 4 degrees of
        freedom gives 1.0368 to 4.9632.
    """
    half = critical_t(alpha, degrees) * error
    return finite_or_not_estimable(
        Interval(
            estimate=estimate,
            low=estimate - half,
            high=estimate + half,
            p=t_p(estimate / error, degrees),
            n=n,
            method=method,
            standard_error=error,
            degrees=degrees,
        )
    )
