"""Aligned columns, one value a request, and the clusters that the requests belong to."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from expplat.stats.distributions import Floats

FEW_CLUSTERS = 30
"""Below so many clusters an interval that rests on them is rough."""


def columns(*values: ArrayLike) -> tuple[Floats, ...]:
    """Return the columns as numbers, each of shape (n,); None becomes NaN.

    Raises:
        ValueError: If they are not flat, or differ in length.
    """
    found = tuple(np.asarray(column, dtype=np.float64) for column in values)
    if any(column.ndim != 1 or column.shape != found[0].shape for column in found):
        shapes = " and ".join(str(column.shape) for column in found)
        raise ValueError(f"columns of shape {shapes} are no pairs")
    return found


def numbered(clusters: Sequence[Hashable] | None, n: int) -> NDArray[np.intp]:
    """Number the clusters from 0 in the order in which they come; None is each its own.

    Raises:
        ValueError: If there are not n.
    """
    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        raise ValueError(f"{len(clusters)} clusters do not fit {n} pairs")
    seen: dict[Hashable, int] = {}
    return np.fromiter((seen.setdefault(name, len(seen)) for name in clusters), np.intp, n)


def repeat(clusters: NDArray[np.intp]) -> bool:
    """Whether a cluster holds more than one request."""
    return len(clusters) > 0 and int(clusters.max()) + 1 < len(clusters)


def unfit(values: Floats, clusters: NDArray[np.intp]) -> str | None:
    """Say why nothing can be estimated of the values; None where it can."""
    if len(values) < 2:
        return "There are fewer than two pairs."
    if not np.all(np.isfinite(values)):
        return "A value is missing or not finite."
    return "All pairs belong to one cluster." if int(clusters.max()) == 0 else None


def few_clusters(clusters: NDArray[np.intp]) -> tuple[str, ...]:
    """Return a warning where there are fewer than 30 clusters, and nothing otherwise."""
    count = int(clusters.max()) + 1
    if not repeat(clusters) or count >= FEW_CLUSTERS:
        return ()
    return (f"Only {count} clusters: the interval is rough below {FEW_CLUSTERS}.",)


def largest(*values: Floats) -> float:
    """Return the largest absolute value of all columns; 0 where they are empty."""
    return max(float(np.max(np.abs(column), initial=0.0)) for column in values)
