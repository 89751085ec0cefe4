"""The bootstrap of a quantile where only what lies near the quantile is drawn one by one."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from expplat.stats.distributions import Floats

Integers = NDArray[np.intp]
Counts = NDArray[np.int32]

REACH = 8.0
"""Standard deviations of the resampled rank that a window reaches to each side."""

MARGIN = 30
"""Ranks more on each side, for quantiles with few values beyond them."""

FEW_ALIKE = 8
"""Clusters of which fewer than this are alike are drawn one by one: that is quicker."""

CELLS = 500_000
"""Of each table that is held at a time; a constant, for the draws depend on it."""


class _Window(NamedTuple):
    """The values of one column among which its resampled quantiles lie."""

    values: Floats
    """In order."""

    clusters: Integers
    """Of these values."""

    below: Counts
    """By cluster: how many of its values lie below the window."""


class _Pool(NamedTuple):
    """What clusters are drawn from: some one by one, the others as so many of a kind."""

    alone: Integers
    """Numbers of the clusters that are drawn one by one."""

    kinds: Counts
    """Of each cluster, from 0; those that are drawn one by one have −1."""

    many: Integers
    """How many clusters are of each kind."""

    one_of: Integers
    """A cluster of each kind: it stands for all of them."""


class _Draws(NamedTuple):
    """Resamples, one a row."""

    alone: Integers
    """How often each cluster was drawn of those that are drawn one by one."""

    kinds: Integers
    """How many clusters of each kind were drawn."""

    def sums(self, pool: _Pool, of_clusters: Counts) -> Integers:
        """Return the sum over all drawn clusters of a number that each has."""
        alone, kinds = of_clusters[pool.alone], of_clusters[pool.one_of]
        # In floats, for those multiply fast; whole numbers up to 2^53 stay exact in them.
        total = self.alone.astype(np.float64) @ alone + self.kinds.astype(np.float64) @ kinds
        return total.astype(np.intp)


def from_windows(
    pairs: tuple[Floats, Floats],
    clusters: Integers,
    q: float,
    seed: int,
    resamples: int,
    reach: float = REACH,
) -> tuple[Floats, Floats]:
    """Return the q-quantile of either column in each resample of clusters, drawn with both columns.

    Where a resampled quantile lies depends on the values near it, and on how many values lie below
    those. Clusters without a value in either column's window are alike if they have the same size
    and as many values below each window: how many of each kind are drawn is multinomial. The others
    are drawn one by one. A resample whose quantile lies outside its window is completed: the drawn
    clusters of each kind are shared out among all that are of it. So the resamples are those of the
    plain method in distribution, whatever the reach.

    Args:
        pairs: Control and treatment, each of shape (n,), finite.
        clusters: Number of the cluster of each pair, from 0 without gaps.
        q: Between 0 and 1; quantiles are interpolated linearly, as numpy's default.
        seed: The same seed gives the same numbers.
        resamples: How many.
        reach: Of the windows, in standard deviations of the resampled rank.

    Returns:
        Control's and treatment's, each of shape (resamples,).

    Source:
        A multinomial whose categories are joined is multinomial, and given a joint count its parts
        are too: Johnson, Kotz and Balakrishnan (1997), Discrete Multivariate Distributions, ch. 35.
        The resampled rank less q times the resampled size is a sum over clusters: of n single pairs
        it has the variance n · q · (1 − q), 4,750 for the 95th percentile of 100,000.
    """
    generator = np.random.default_rng(seed)
    sizes = _counts(clusters, int(clusters.max()) + 1)
    windows = [_window(column, clusters, sizes, q, reach) for column in pairs]
    pool = _pool(windows, sizes)
    places = np.zeros(len(sizes), np.intp)
    places[pool.alone] = np.arange(len(pool.alone))
    widest = max(len(pool.alone), len(pool.many), *(len(window.values) for window in windows))
    block = max(1, CELLS // widest)
    found = np.empty((2, resamples))
    for start in range(0, resamples, block):
        part = found[:, start : start + block]
        draws = _drawn(pool, len(sizes), part.shape[1], generator)
        total = draws.sums(pool, sizes)
        has_left = np.zeros(part.shape[1], np.bool_)
        for quantiles, window in zip(part, windows, strict=True):
            base = draws.sums(pool, window.below)
            times = np.take(draws.alone, places[window.clusters], axis=1)
            quantiles[:], is_outside = _quantiles(window.values, times, base, (total, q))
            has_left |= is_outside
        if has_left.any():
            rows = _Draws(draws.alone[has_left], draws.kinds[has_left])
            part[:, has_left] = _completed(rows, pool, pairs, clusters, q, generator)
    return found[0], found[1]


def quantiles_of(values: Floats, times: NDArray[np.int32], q: float) -> Floats:
    """Return the quantile of each row, in which the sorted values occur so many times."""
    reached = np.cumsum(times, axis=1, dtype=np.int32)
    position = (reached[:, -1] - 1) * q
    lower = np.floor(position).astype(np.int32)
    upper = np.minimum(lower + 1, reached[:, -1] - 1)
    below = values[np.count_nonzero(reached <= lower[:, None], axis=1)]
    above = values[np.count_nonzero(reached <= upper[:, None], axis=1)]
    quantiles: Floats = below + (above - below) * (position - lower)
    return quantiles


def _counts(clusters: Integers, among: int) -> Counts:
    """Return how often each of so many clusters occurs."""
    return np.bincount(clusters, minlength=among).astype(np.int32)


def _window(column: Floats, clusters: Integers, sizes: Counts, q: float, reach: float) -> _Window:
    # Stable, so that equal values fall on the same side of an edge on every machine.
    order = np.argsort(column, kind="stable")
    middle = (len(column) - 1) * q
    counted = _counts(clusters[order[: math.ceil(middle)]], len(sizes))
    error = math.sqrt(float(np.sum((counted - q * sizes) ** 2)))
    first = max(0, math.floor(middle - reach * error) - MARGIN)
    last = min(len(column), math.ceil(middle + reach * error) + MARGIN)
    inside = order[first:last]
    below = _counts(clusters[order[:first]], len(sizes))
    return _Window(column[inside], clusters[inside], below)


def _pool(windows: list[_Window], sizes: Counts) -> _Pool:
    kinds = np.zeros(len(sizes), np.int32)
    for window in windows:
        kinds[window.clusters] = -1
    others = np.flatnonzero(kinds == 0)
    codes = sizes[others].astype(np.intp)
    for window in windows:
        # Renumbered on the way, so that no product grows beyond 64 bits.
        codes = np.searchsorted(np.unique(codes), codes) * (int(sizes.max()) + 1)
        codes += window.below[others]
    names, many = np.unique(codes, return_counts=True)
    is_kind = many >= FEW_ALIKE
    numbers = np.where(is_kind, np.cumsum(is_kind) - 1, -1).astype(np.int32)
    kinds[others] = numbers[np.searchsorted(names, codes)]
    one_of = np.empty(np.count_nonzero(is_kind) + 1, np.intp)
    one_of[kinds] = np.arange(len(kinds))  # the last takes those that are drawn one by one
    return _Pool(np.flatnonzero(kinds < 0), kinds, many[is_kind], one_of[:-1])


def _drawn(pool: _Pool, clusters: int, rows: int, generator: np.random.Generator) -> _Draws:
    """Draw as many clusters as there are, in each row."""
    chances = np.append(pool.many, len(pool.alone)) / clusters
    drawn = generator.multinomial(clusters, chances, size=rows)
    return _Draws(_shared(drawn[:, -1], len(pool.alone), generator), drawn[:, :-1])


def _shared(drawn: Integers, among: int, generator: np.random.Generator) -> Integers:
    """Share so many draws a row out among equals; shape (rows, among)."""
    cells = generator.integers(max(1, among), size=int(drawn.sum()))
    cells += np.repeat(np.arange(len(drawn)) * among, drawn)
    return np.bincount(cells, minlength=len(drawn) * among).reshape(len(drawn), among)


def _quantiles(
    values: Floats, times: Integers, base: Integers, asked: tuple[Integers, float]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the quantile of each row, and whether it lies outside the window.

    Args:
        values: Of the window, in order.
        times: How often each occurs, one row a resample.
        base: Of each row, how many values lie below the window.
        asked: Of each row, how many values there are in all; and which quantile.
    """
    total, q = asked
    reached = np.cumsum(times, axis=1, out=times)
    position = (total - 1) * q
    lower = np.floor(position).astype(np.intp)
    upper = np.minimum(lower + 1, total - 1)
    is_outside = (lower < base) | (upper - base >= reached[:, -1])
    last = len(values) - 1
    ends = [
        values[np.minimum(np.count_nonzero(reached <= (end - base)[:, None], axis=1), last)]
        for end in (lower, upper)
    ]
    return ends[0] + (ends[1] - ends[0]) * (position - lower), is_outside


def _completed(
    draws: _Draws,
    pool: _Pool,
    pairs: tuple[Floats, Floats],
    clusters: Integers,
    q: float,
    generator: np.random.Generator,
) -> Floats:
    """Return both quantiles of each row from all of its values; shape (2, rows)."""
    found = np.empty((2, len(draws.alone)))
    counts = np.empty(len(pool.kinds), np.int32)
    orders = [np.argsort(column) for column in pairs]
    for row, (alone, kinds) in enumerate(zip(draws.alone, draws.kinds, strict=True)):
        counts[pool.alone] = alone
        for kind, drawn in enumerate(kinds):
            members = np.flatnonzero(pool.kinds == kind)
            counts[members] = _shared(np.array([drawn]), len(members), generator)[0]
        for quantiles, column, order in zip(found, pairs, orders, strict=True):
            times = counts[clusters[order]]
            quantiles[row] = quantiles_of(column[order], times[None, :], q)[0]
    return found
