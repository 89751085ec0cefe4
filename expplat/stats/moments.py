"""Sufficient statistics that merge: the same numbers whether the data came in one part or many."""

from __future__ import annotations

import math
from collections.abc import Iterable

from expplat.domain.moments import NO_MOMENTS, Moments


def moments_of(values: Iterable[float]) -> Moments:
    """Return count, mean and sum of squared distances from the mean.

    Two passes with exact sums, so that a mean of 1e9 does not eat a variance of 1. A value that is
    not finite makes mean and m2 NaN: what is computed from them is then not estimable, and the
    value is not lost in silence.

    Source:
        By hand: 2, 4, 4, 4, 5, 5, 7, 9 have mean 5 and m2 32.
    """
    numbers = [float(value) for value in values]
    if not numbers:
        return NO_MOMENTS
    if not all(math.isfinite(number) for number in numbers):
        return Moments(n=len(numbers), mean=math.nan, m2=math.nan)
    # The mean of the distances corrects the rounding of the mean itself.
    rough = math.fsum(number / len(numbers) for number in numbers)
    distances = [number - rough for number in numbers]
    shift = math.fsum(distances) / len(numbers)
    m2 = math.fsum((distance - shift) * (distance - shift) for distance in distances)
    return Moments(n=len(numbers), mean=rough + shift, m2=m2)


def merge(one: Moments, other: Moments) -> Moments:
    """Return the moments of both parts together.

    Source:
        Chan, Golub and LeVeque (1979), Stanford STAN-CS-79-773, eq. 2.1. By hand: (1, 2) and
        (3, 6), that is mean 1.5, m2 0.5 and mean 4.5, m2 4.5, give n 4, mean 3, m2 14.
    """
    n = one.n + other.n
    if one.n == 0 or other.n == 0:
        return one if other.n == 0 else other
    apart = other.mean - one.mean
    m2 = one.m2 + other.m2 + apart * apart * (one.n * other.n / n)
    return Moments(n=n, mean=one.mean + apart * (other.n / n), m2=m2)


def of_proportion(successes: int, n: int) -> Moments:
    """Return the moments of n yes-or-no values.

    Raises:
        ValueError: If not 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is not a count of successes")
    if n == 0:
        return NO_MOMENTS
    return Moments(n=n, mean=successes / n, m2=successes * (n - successes) / n)


def variance(moments: Moments) -> float | None:
    """Return the sample variance (n − 1); None below two values or where it is not finite."""
    if moments.n < 2 or not (math.isfinite(moments.mean) and math.isfinite(moments.m2)):
        return None
    return max(moments.m2, 0.0) / (moments.n - 1)
