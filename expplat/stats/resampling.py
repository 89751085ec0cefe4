"""The bootstrap, for statistics that no formula serves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expplat.stats.distributions import Floats
from expplat.stats.windows import from_windows, quantiles_of

WINDOWS_FROM = 2_000
"""From so many pairs on only those near the quantile are drawn one by one."""

BLOCK_CELLS = 2_000_000
"""Cells of the tables that are held at a time; a constant, for the draws depend on it."""


def resampled_quantiles(
    pairs: tuple[Floats, Floats], clusters: NDArray[np.intp], q: float, seed: int, resamples: int
) -> tuple[Floats, Floats]:
    """Return the q-quantile of either column in each resample of clusters, drawn with both columns.

    From 2,000 pairs on by `from_windows`: the same in distribution, with other draws.

    Args:
        pairs: Control and treatment, each of shape (n,), finite.
        clusters: Number of the cluster of each pair, from 0 without gaps.
        q: Between 0 and 1; quantiles are interpolated linearly, as numpy's default.
        seed: The same seed gives the same numbers.
        resamples: How many.

    Returns:
        Control's and treatment's, each of shape (resamples,).
    """
    if len(clusters) >= WINDOWS_FROM:
        return from_windows(pairs, clusters, q, seed, resamples)
    generator = np.random.default_rng(seed)
    drawn_at_once = int(clusters.max()) + 1
    block = max(1, BLOCK_CELLS // len(clusters))
    found = np.empty(resamples), np.empty(resamples)
    columns = [(np.sort(column), clusters[np.argsort(column)]) for column in pairs]
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = generator.integers(drawn_at_once, size=(size, drawn_at_once))
        cells = drawn + np.arange(size)[:, None] * drawn_at_once
        counts = np.bincount(cells.ravel(), minlength=size * drawn_at_once)
        times: NDArray[np.int32] = counts.reshape(size, drawn_at_once).astype(np.int32)
        for quantiles, (values, order) in zip(found, columns, strict=True):
            quantiles[start : start + size] = quantiles_of(values, times[:, order], q)
    return found
