"""Hybrid retrieval: three rankings of the same question, merged by reciprocal rank fusion."""

from __future__ import annotations

from expplat import Call
from pocs.python_docs.indexes import Ranking, context_index, dense_index
from pocs.python_docs.production import CANDIDATES, ProductionSearch, fuse
from pocs.python_docs.words import stems


class Hybrid(ProductionSearch):
    """Production's ranking, one over stems in context, and a dense one."""

    def __init__(
        self,
        refuse_below: float = 0.27,
        context_weight: float = 1.0,
        dense_weight: float = 0.5,
        dimensions: int = 300,
        nesting_penalty: float = 0.1,
    ) -> None:
        super().__init__(refuse_below)
        self._context_weight = context_weight
        self._dense_weight = dense_weight
        self._dimensions = dimensions
        self._nesting_penalty = nesting_penalty

    def setup(self) -> None:
        """Build the three indexes before the first request."""
        super().setup()
        self._context = context_index()
        self._dense = dense_index(self._dimensions)

    def rank(self, question: str, hits: Ranking, call: Call) -> Ranking:
        """Return the fused order."""
        asked = stems(question)
        rankings = [(hits, 1.0), *self.search(asked, 1.0, call)]
        with call.stage("fuse"):
            return fuse(rankings, self._nesting_penalty)

    def search(self, asked: list[str], weight: float, call: Call) -> list[tuple[Ranking, float]]:
        """Return the two rankings that production does not have, with their weights."""
        with call.stage("context"):
            in_context = self._context.rank(asked, CANDIDATES)
        with call.stage("dense"):
            close = self._dense.rank(asked, CANDIDATES)
        return [(in_context, weight * self._context_weight), (close, weight * self._dense_weight)]
