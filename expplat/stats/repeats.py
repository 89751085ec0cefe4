"""Is it the requests that differ, or does the same request get another answer each time?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expplat.stats.distributions import Floats

WEIGHED = (1, 2, 3, 5, 10)
"""Numbers of repeats that are weighed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatSplit:
    """The variance of paired differences in two parts, in the metric's unit squared."""

    between: float
    """Of the requests' true differences, at least 0: only more requests lessen what it costs."""

    within: float
    """Of the repeats of one request: repeats lessen it too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatWorth:
    """What so many repeats of each request are worth."""

    repeats: int
    standard_error: float
    """Of the mean difference, in the metric's unit."""

    share: float
    """Of the most that repeats could take off the error of one, 0 to 1; 0 where that is nothing."""


def variance_split(differences: NDArray[np.float64] | Sequence[Sequence[float]]) -> RepeatSplit:
    """Split the variance of paired differences into that of requests and that of repeats.

    One-way random effects by the analysis of variance. Where requests have unlike numbers of
    repeats, the mean square between them is divided by (N − Σ R² / N) / (requests − 1), which is R
    where all have R. A part between requests below 0 is an accident of sampling, and counts as 0.

    Args:
        differences: Treatment less control: shape (requests, repeats), or a list a request, of any
            length. NaN stands for a pair that is missing.

    Raises:
        ValueError: If fewer than two requests have a value, none has two, or one is infinite.

    Source:
        Searle, Casella and McCulloch (1992), Variance Components, ch. 3.6. By hand: 1 and 3, 4 and
        6, 8 and 8 have mean squares of 18 between and 4/3 within, so that between is (18 − 4/3) / 2
        = 25/3 and within 4/3.
    """
    values, requests = _flat(differences)
    counts = np.bincount(requests)
    counts = counts[counts > 0]
    n, groups = len(values), len(counts)
    if groups < 2 or n == groups:
        raise ValueError("a split needs two requests, and one of them twice")
    if not np.all(np.isfinite(values)):
        raise ValueError("a difference is not finite")
    _, number = np.unique(requests, return_inverse=True)
    means = np.bincount(number, weights=values) / counts
    within = float(np.sum((values - means[number]) ** 2)) / (n - groups)
    apart = float(counts @ (means - values.mean()) ** 2) / (groups - 1)
    size = (n - float(counts @ counts) / n) / (groups - 1)
    return RepeatSplit(between=max(0.0, (apart - within) / size), within=within)


def standard_error(split: RepeatSplit, *, requests: int, repeats: int) -> float:
    """Return the standard error of the mean difference, in the metric's unit.

    For the same number of calls, more requests are always worth as much as more repeats, and more
    where requests differ: repeats pay where there are no more requests to be had.

    Raises:
        ValueError: If there is not at least one of each.

    Source:
        Miller (2024), Adding error bars to evals, arXiv 2411.00640, sect. 3.1: the variance is
        (between + within / R) / n. By hand: between 25/3 and within 4/3 over 3 requests twice give
        √((25/3 + 2/3) / 3) = √3.
    """
    if requests < 1 or repeats < 1:
        raise ValueError("there must be at least one request and one repeat")
    return math.sqrt((split.between + split.within / repeats) / requests)


def repeats_that_pay(
    split: RepeatSplit, *, requests: int, weighed: Sequence[int] = WEIGHED
) -> tuple[RepeatWorth, ...]:
    """Return what each of some numbers of repeats is worth.

    The share of the best possible gain is (error of one − error of R) / (error of one − error of
    endlessly many). It depends on the ratio of within to between alone.

    Raises:
        ValueError: As `standard_error`.

    Source:
        As `standard_error`. By hand: between 0 and within 1 leave 1/√R of the error, so that four
        repeats have half of the gain.
    """
    once = standard_error(split, requests=requests, repeats=1)
    most = once - math.sqrt(split.between / requests)
    found = []
    for repeats in weighed:
        error = standard_error(split, requests=requests, repeats=repeats)
        share = (once - error) / most if most > 0 else 0.0
        found.append(RepeatWorth(repeats=repeats, standard_error=error, share=share))
    return tuple(found)


def _flat(
    differences: NDArray[np.float64] | Sequence[Sequence[float]],
) -> tuple[Floats, NDArray[np.intp]]:
    """Return all values that there are, and the number of the request that each belongs to."""
    if isinstance(differences, np.ndarray):
        values = differences.astype(np.float64).ravel()
        requests = np.arange(len(values)) // max(1, differences.shape[1])
    else:
        values = np.array([value for row in differences for value in row], dtype=np.float64)
        requests = np.repeat(np.arange(len(differences)), [len(row) for row in differences])
    is_there = ~np.isnan(values)
    return values[is_there], requests[is_there]
