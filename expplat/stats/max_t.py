"""Several treatments or metrics over the same requests, judged together by shared sign flips."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from expplat.stats.distributions import Floats
from expplat.stats.pairing import numbered

RESAMPLES = 9_999
BLOCK_CELLS = 2_000_000
"""Signs that are held at a time; a constant, for the draws depend on it."""

TOLERANCE = 1e-9
"""Statistics that differ by less of themselves are equal, and differ by rounding only."""


def max_t(
    differences: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[float, ...]:
    """Return p-values of several mean differences, adjusted by Westfall and Young's max-T.

    Each column is one question: a treatment against the one control, or a metric. They are judged
    from the strongest down, each among those that are not stronger. In each resample the
    differences of whole clusters change their sign, in all columns at once, so that the
    correlation of the questions is the real one: correlated questions cost less than with Holm.
    The chance of any false pass keeps to the level where differences are symmetric; where they are
    skewed it needs as many requests as the t-test does. Measured for five null questions at 0.05:
    0.053 symmetric at 200 requests; 0.071 of skewness 2 at 200 (0.069 with Holm), 0.048 at 1,000.

    Args:
        differences: Shape (n, k), treatment less control, any unit a column. What differs by
            rounding alone must be 0, for the levels are not seen here.
        clusters: The cluster of each row; None where rows are independent.
        seed: The same seed gives the same numbers.
        resamples: How many sign flips are drawn, at least 1; where there are no more different
            ones than that, each is taken once and the p-values are exact.

    Returns:
        One two-sided p-value a column, at least 1 / (resamples + 1); 1 where all are 0.

    Raises:
        ValueError: If the differences are not a finite table with a row, the clusters do not fit,
            or there are no resamples.

    Source:
        Westfall and Young (1993), Resampling-Based Multiple Testing, algorithm 2.8. By hand: of
        the 32 sign flips of 1, 2, 3, 4, 5 two are as extreme, 0.0625; a second column 1, −1, 1, −1,
        0 with 0 has 1.
    """
    table = np.asarray(differences, dtype=np.float64)
    if table.ndim != 2 or not len(table) or not np.all(np.isfinite(table)):
        raise ValueError("the differences must be a table of finite numbers, with a row or more")
    if resamples < 1:
        raise ValueError("there must be at least one resample")
    if not table.shape[1]:
        return ()
    sums = _standardised_sums(table, numbered(clusters, len(table)))
    observed = np.abs(sums.sum(axis=0))
    order = np.argsort(-observed, kind="stable")
    reached, drawn = np.zeros(len(order)), 0
    for flips in _flips(len(sums), seed, resamples):
        flipped = np.abs(2 * (flips @ sums[:, order]) - sums[:, order].sum(axis=0))
        # The largest of a question and all that look weaker, from the weakest up.
        largest = np.maximum.accumulate(flipped[:, ::-1], axis=1)[:, ::-1]
        reached += np.count_nonzero(largest >= observed[order] * (1 - TOLERANCE), axis=0)
        drawn += len(flips)
    return _step_down(reached, drawn, exact=_all_flips(len(sums)) <= resamples, order=order)


def _standardised_sums(table: Floats, clusters: NDArray[np.intp]) -> Floats:
    """Return the clusters' sums by column, over the root of their sum of squares.

    Sign flips leave that root as it is, so that a column's sum orders its resamples as t does, and
    columns of any unit compare.
    """
    scale = np.abs(table).max(axis=0)
    table = table / np.where(scale > 0, scale, 1.0)
    sums = np.column_stack([np.bincount(clusters, weights=column) for column in table.T])
    root = np.sqrt((sums**2).sum(axis=0))
    standardised: Floats = sums / np.where(root > 0, root, 1.0)
    return standardised


def _flips(count: int, seed: int, resamples: int) -> Iterator[Floats]:
    """Yield blocks of sign flips, a row each, 1 for a sign that stays and 0 for one that turns."""
    if _all_flips(count) <= resamples:
        every = np.arange(2**count)[:, None] >> np.arange(count)
        yield (every & 1).astype(np.float64)
        return
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_CELLS // count)
    for start in range(0, resamples, block):
        size = (min(block, resamples - start), count)
        yield generator.integers(2, size=size, dtype=np.int8).astype(np.float64)


def _all_flips(count: int) -> float:
    return 2.0 ** min(count, 1_000)


def _step_down(
    reached: Floats, drawn: int, *, exact: bool, order: NDArray[np.intp]
) -> tuple[float, ...]:
    """Return the p-values in the columns' order, none below that of a stronger question."""
    raw = reached / drawn if exact else (reached + 1) / (drawn + 1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(raw)
    return tuple(float(p) for p in adjusted)
