"""The distributions that intervals rest on; the one module with scipy, imported on first use."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


def normal_quantile(probability: float) -> float:
    """Return the standard normal quantile; minus and plus infinity at 0 and 1."""
    from scipy.special import ndtri

    return float(ndtri(probability))


def normal_tail(z: float) -> float:
    """Return the chance that a standard normal lies above z, exact far out (1e-300)."""
    from scipy.special import ndtr

    return float(ndtr(-z))


def normal_tails(z: Floats) -> Floats:
    """Return the upper tail of each z."""
    from scipy.special import ndtr

    tails: Floats = ndtr(-z)
    return tails


def critical_z(alpha: float) -> float:
    """Return the two-sided critical value, such as 1.959964 for an alpha of 0.05.

    Raises:
        ValueError: If alpha is not between 0 and 1.
    """
    return -normal_quantile(_level(alpha) / 2)


def critical_t(alpha: float, degrees: float) -> float:
    """Return the two-sided critical value of Student's t; degrees of freedom may be fractions.

    Raises:
        ValueError: If alpha is not between 0 and 1.
    """
    from scipy.special import stdtrit

    return -float(stdtrit(degrees, _level(alpha) / 2))


def normal_p(z: float) -> float:
    """Return the two-sided p-value of a z."""
    return 2 * normal_tail(abs(z))


def t_p(statistic: float, degrees: float) -> float:
    """Return the two-sided p-value of a t statistic."""
    from scipy.special import stdtr

    return 2 * float(stdtr(degrees, -abs(statistic)))


def chi_square_p(statistic: float, degrees: int) -> float:
    """Return the chance that a χ² with so many degrees of freedom lies above the statistic.

    Source:
        By hand: with 2 degrees of freedom it is exp(−statistic / 2), 0.0497871 at 6.
    """
    from scipy.special import chdtrc

    return float(chdtrc(degrees, statistic))


def t_tail(statistic: float, degrees: float) -> float:
    """Return the chance that Student's t lies above the statistic."""
    from scipy.special import stdtr

    return float(stdtr(degrees, -statistic))


def mcnemar_p(one: int, other: int) -> float:
    """Return the two-sided mid-p value of McNemar's test from the two discordant counts.

    1 where nothing is discordant.

    Source:
        Fagerland, Lydersen and Laake (2013), BMC Medical Research Methodology 13:91. By hand:
        1 against 7 gives 2 · 9/256 − 8/256 = 0.0390625.
    """
    from scipy.special import bdtr

    fewer, both = min(one, other), one + other
    if both == 0:
        return 1.0
    at_most = float(bdtr(fewer, both, 0.5))
    below = float(bdtr(fewer - 1, both, 0.5)) if fewer else 0.0
    return min(1.0, at_most + below)


def mcnemar_exact_p(one: int, other: int) -> float:
    """Return the two-sided exact p-value of McNemar's test: that of a fair coin, doubled.

    1 where nothing is discordant. Never below the mid-p, and right far out (1e-300).

    Source:
        McNemar (1947), Psychometrika 12:153-157. By hand: 1 against 7 gives 2 · 9/256 = 0.0703125.
    """
    from scipy.special import bdtr

    fewer, both = min(one, other), one + other
    return min(1.0, 2 * float(bdtr(fewer, both, 0.5))) if both else 1.0


def log_gamma(value: float) -> float:
    """Return the logarithm of the gamma function of a positive number."""
    from scipy.special import gammaln

    return float(gammaln(value))


def _level(alpha: float) -> float:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not at {alpha}")
    return alpha
