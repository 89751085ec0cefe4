"""Several versions of one question, each searched on its own, all merged by rank (RAG-Fusion).

The paper lets a language model write the versions. Here they come from the corpus itself, so that
nothing is sent anywhere: the words that the first hits share (pseudo relevance feedback), the
nearest neighbours of each word, and the question with one word left out.
"""

from __future__ import annotations

import numpy as np

from expplat import Call
from pocs.hybrid_rrf.variants import Hybrid
from pocs.python_docs.indexes import Ranking
from pocs.python_docs.production import fuse
from pocs.python_docs.words import stems


class MultiQuery(Hybrid):
    """The hybrid search for the question and for every version of it."""

    def __init__(
        self,
        refuse_below: float = 0.27,
        version_weight: float = 0.25,
        feedback_passages: int = 5,
        feedback_words: int = 5,
        left_out: int = 4,
    ) -> None:
        super().__init__(refuse_below)
        self._version_weight = version_weight
        self._feedback_passages = feedback_passages
        self._feedback_words = feedback_words
        self._left_out = left_out

    def rank(self, question: str, hits: Ranking, call: Call) -> Ranking:
        """Return the order in which the rankings of all versions agree best."""
        asked = stems(question)
        rankings = [(hits, 1.0), *self.search(asked, 1.0, call)]
        with call.stage("rewrite"):
            first = fuse(rankings, self._nesting_penalty)[: self._feedback_passages]
            versions = self.versions(asked, first)
        for version in versions:
            rankings += self.search(version, self._version_weight, call)
        with call.stage("fuse"):
            return fuse(rankings, self._nesting_penalty)

    def versions(self, asked: list[str], first: Ranking) -> list[list[str]]:
        """Return the question in other words, as lists of stems."""
        return [
            asked + self._feedback(asked, first),
            asked + self._neighbours(asked),
            *self._shortened(asked),
        ]

    def _feedback(self, asked: list[str], first: Ranking) -> list[str]:
        weights = np.asarray(self._dense.weights[first].sum(axis=0)).ravel()
        weights[self._dense.known(asked)] = 0
        heaviest = np.argsort(-weights, kind="stable")[: self._feedback_words]
        return [self._dense.words[number] for number in heaviest]

    def _neighbours(self, asked: list[str]) -> list[str]:
        found = []
        for number in self._dense.known(asked):
            closeness = self._dense.directions @ self._dense.directions[number]
            closeness[number] = 0
            found += [self._dense.words[other] for other in np.argsort(-closeness)[:2]]
        return found

    def _shortened(self, asked: list[str]) -> list[list[str]]:
        known = sorted(set(self._dense.known(asked)), key=lambda number: self._dense.rarity[number])
        if len(known) < 3:
            return []
        words = [self._dense.words[number] for number in known[: self._left_out]]
        return [[word for word in asked if word != left_out] for left_out in words]
