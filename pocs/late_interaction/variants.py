"""Late interaction: every word of the question looks for its best partner in the passage (MaxSim).

ColBERT's vectors come from a language model. Here each word's vector is learned from the corpus
(latent semantic analysis) and mixed with its neighbours', so that it knows a little of its place.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from expplat import Call
from pocs.python_docs.corpus import passages
from pocs.python_docs.indexes import Floats, Ranking, best, dense_index, unit
from pocs.python_docs.production import CANDIDATES, ProductionSearch
from pocs.python_docs.words import stems

LONGEST = 180
"""Words of a passage that get a vector, as in the paper's cut-off for documents."""


class LateInteraction(ProductionSearch):
    """MaxSim over every passage, so that one without a word of the question can be found."""

    def __init__(self, refuse_below: float = 0.27, dimensions: int = 128, window: int = 3) -> None:
        super().__init__(refuse_below)
        self._dimensions = dimensions
        self._window = window

    def setup(self) -> None:
        """Give every word of the corpus its vector before the first request."""
        super().setup()
        self._dense = dense_index(self._dimensions)
        self._vectors, self._starts = word_vectors(self._dimensions, self._window)

    def rank(self, question: str, hits: Ranking, call: Call) -> Ranking:
        """Return the passages by the sum of best similarities, rare words weighing more."""
        known = self._dense.known(stems(question))
        if not known:
            return hits
        with call.stage("late interaction"):
            asked = in_place(self._dense.directions[known], self._window)
            similarity = self._vectors @ asked.T
            closest = np.maximum.reduceat(similarity, self._starts, axis=0)
            return best(closest @ self._dense.rarity[known], CANDIDATES)


def in_place(vectors: Floats, window: int) -> Floats:
    """Mix each vector with the mean of those up to `window` places away, half and half."""
    count = len(vectors)
    sums = np.vstack([np.zeros((1, vectors.shape[1]), np.float32), np.cumsum(vectors, axis=0)])
    low = np.maximum(np.arange(count) - window, 0)
    high = np.minimum(np.arange(count) + window + 1, count)
    means = (sums[high] - sums[low]) / (high - low)[:, np.newaxis]
    return unit((vectors + 0.5 * means).astype(np.float32))


@cache
def word_vectors(dimensions: int, window: int) -> tuple[Floats, NDArray[np.intp]]:
    """Return the vectors of all words of all passages in one array, and where each begins.

    Every passage has at least one vector (a null vector where it has no known word).
    """
    dense = dense_index(dimensions)
    parts: list[Floats] = []
    for passage in passages():
        known = dense.known(stems(f"{passage.title}\n{passage.text}"))[:LONGEST]
        empty = np.zeros((1, dimensions), np.float32)
        parts.append(in_place(dense.directions[known], window) if known else empty)
    starts = np.cumsum([0, *(len(part) for part in parts[:-1])]).astype(np.intp)
    return np.vstack(parts), starts
