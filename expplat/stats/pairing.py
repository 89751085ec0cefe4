"""Aligned columns, one value a request, and the clusters that the requests belong to."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from expplat.stats.distributions import Floats

Clusters: TypeAlias = Sequence[Hashable] | NDArray[np.integer[Any]]
"""The cluster of each request, by any name or number."""

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


def numbered(clusters: Clusters | None, n: int) -> NDArray[np.intp]:
    """Number the clusters from 0 in the order in which they come; None is each its own.

    Whoever asks for many statistics of the same requests numbers them once: an array of whole
    numbers is read without a look at each, and one that is numbered so already stays as it is.

    Raises:
        ValueError: If there are not n.
    """
    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        raise ValueError(f"{len(clusters)} clusters do not fit {n} pairs")
    if isinstance(clusters, np.ndarray) and clusters.ndim == 1 and clusters.dtype.kind in "iu":
        return _renumbered(clusters)
    seen: dict[Hashable, int] = {}
    return np.fromiter((seen.setdefault(name, len(seen)) for name in clusters), np.intp, n)


def _renumbered(clusters: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    highest = np.maximum.accumulate(clusters)
    if np.all(clusters[:1] == 0) and np.all(clusters >= 0) and np.all(np.diff(highest) <= 1):
        return clusters.astype(np.intp, copy=False)
    names, first, inverse = np.unique(clusters, return_index=True, return_inverse=True)
    if len(names) == len(clusters):
        return np.arange(len(clusters))
    ranks = np.empty(len(names), np.intp)
    ranks[np.argsort(first)] = np.arange(len(names))
    return ranks[inverse]


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
