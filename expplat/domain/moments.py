"""Sufficient statistics: what remains of any number of values, and merges with what comes later."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Sufficient statistics of one metric in one variant; two merge into one (Chan 1979)."""

    n: int
    mean: float
    m2: float
    """Sum of squared distances from the mean; at least 0."""


NO_MOMENTS = Moments(n=0, mean=0.0, m2=0.0)
"""The moments of nothing; merging them changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JointMoments:
    """Sufficient statistics of several columns over the same units; two merge into one."""

    n: int
    means: tuple[float, ...]
    """By column."""

    products: tuple[tuple[float, ...], ...]
    """Sums of products of distances from the means, a symmetric square: the diagonal holds what
    `Moments.m2` does."""

    rests: tuple[float, ...] = ()
    """By column: what a mean left out to be one float; empty for nothing. A difference of two means
    of 1e9 has its digits here."""
