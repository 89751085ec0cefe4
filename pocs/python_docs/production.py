"""What production does today, and the frame in which every treatment stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from math import log

import numpy as np
from numpy.typing import NDArray

from expplat import Call, Output, Request
from pocs.python_docs.corpus import passages
from pocs.python_docs.indexes import Ranking, best, nesting, production_index
from pocs.python_docs.words import plain_words, stems

SHOWN = 10
"""Documents on the page."""

CANDIDATES = 100
"""Passages that a ranking names."""

EVIDENCE = 5
"""Passages that are looked at to decide whether there is an answer at all."""

RRF_K = 60
"""The constant of reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009."""


class ProductionSearch:
    """BM25 over words; says `nothing found` where the hits cover too little of the question."""

    def __init__(self, refuse_below: float = 0.27) -> None:
        self._refuse_below = refuse_below

    def setup(self) -> None:
        """Build the index before the first request."""
        self._words = production_index()
        self._coverage = coverage()

    def __call__(self, request: Request, call: Call) -> Output:
        """Answer one question with up to ten documents, or refuse."""
        question = str(request.input["question"])
        with call.stage("retrieve"):
            hits = self._words.rank(plain_words(question), CANDIDATES)
        with call.stage("decide"):
            confidence = self._coverage.share(question, hits[:EVIDENCE])
        if confidence < self._refuse_below:
            return Output(refused=True, confidence=confidence)
        hits = self.rank(question, hits, call)
        with call.stage("excerpt"):
            text = excerpt(question, hits)
        return Output(text=text, retrieved=documents(hits), confidence=confidence)

    def rank(self, question: str, hits: Ranking, call: Call) -> Ranking:
        """Return the final order of passages; production shows its hits as they are."""
        return hits


class Coverage:
    """How much of a question its hits speak of: rare words weigh more."""

    def __init__(self) -> None:
        self._stems = [frozenset(stems(f"{item.title} {item.text}")) for item in passages()]
        self._seen_in = Counter(word for words in self._stems for word in words)

    def share(self, question: str, hits: Iterable[int]) -> float:
        """Return the covered share of the question, 0 to 1, in the passage that covers most."""
        asked = {word: self._rarity(word) for word in stems(question)}
        total = sum(asked.values())
        if not total:
            return 0.0
        covered = [
            sum(rarity for word, rarity in asked.items() if word in self._stems[hit])
            for hit in hits
        ]
        return max(covered, default=0.0) / total

    def _rarity(self, word: str) -> float:
        return log((len(self._stems) + 1) / (self._seen_in[word] + 0.5))


@cache
def coverage() -> Coverage:
    """Return the one rule of the process."""
    return Coverage()


def fuse(rankings: Sequence[tuple[Ranking, float]], nesting_penalty: float) -> Ranking:
    """Merge rankings by their ranks alone, each with its weight (reciprocal rank fusion).

    Args:
        rankings: Passages best first, with the weight of the ranking, above 0.
        nesting_penalty: At least 0; with 0.1 a method (nested twice) loses a sixth of its score.
    """
    scores: NDArray[np.float64] = np.zeros(len(passages()))
    for ranking, weight in rankings:
        scores[ranking] += weight / (RRF_K + 1 + np.arange(len(ranking)))
    return best(scores / (1 + nesting_penalty * nesting()), CANDIDATES)


def documents(hits: Ranking) -> tuple[str, ...]:
    """Return the documents of the passages, each once, best first."""
    corpus = passages()
    return tuple(dict.fromkeys(corpus[hit].document_id for hit in hits))[:SHOWN]


def excerpt(question: str, hits: Ranking) -> str:
    """Return the best hit's title, and the paragraph of it that says most about the question."""
    if not len(hits):
        return ""
    asked = set(stems(question))
    passage = passages()[hits[0]]
    paragraphs = passage.text.split("\n\n")
    return f"{passage.title}: {max(paragraphs, key=lambda text: len(asked & set(stems(text))))}"
