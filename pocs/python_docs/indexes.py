"""The indexes over the corpus, built once a process, so that control and treatment share them.

Every ranking is an array of passage numbers, best first; equal scores stand in corpus order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import bm25s
import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from pocs.python_docs.corpus import Passage, passages
from pocs.python_docs.words import plain_words, stems

Ranking = NDArray[np.intp]
Floats = NDArray[np.float32]

CONTEXT_CHARACTERS = 200
"""How much of a class's or module's own description goes along with what is in it."""

SEED = 0


class WordIndex:
    """BM25 over words."""

    def __init__(self, texts: Sequence[list[str]], *, k1: float, b: float) -> None:
        self._index = bm25s.BM25(k1=k1, b=b)
        self._index.index(list(texts), show_progress=False)

    def rank(self, words: Iterable[str], limit: int) -> Ranking:
        """Return the passages that share a word with the question, at most `limit`."""
        known = [word for word in words if word in self._index.vocab_dict]
        if not known:
            return np.empty(0, dtype=np.intp)
        return best(self._index.get_scores(known), limit)


class DenseIndex:
    """Latent semantic analysis: words that keep the same company lie close to each other."""

    def __init__(self, texts: Sequence[str], dimensions: int) -> None:
        weigher = TfidfVectorizer(analyzer=stems, sublinear_tf=True, min_df=2)
        self.weights = weigher.fit_transform(texts)
        self.words: list[str] = list(weigher.get_feature_names_out())
        self.number = {word: number for number, word in enumerate(self.words)}
        self.rarity: Floats = weigher.idf_.astype(np.float32)
        space = TruncatedSVD(dimensions, n_iter=3, random_state=SEED)
        self._passages = unit(space.fit_transform(self.weights).astype(np.float32))
        self.word_vectors: Floats = np.ascontiguousarray(space.components_.T, dtype=np.float32)
        self.directions = unit(self.word_vectors)

    def rank(self, words: Iterable[str], limit: int) -> Ranking:
        """Return the passages closest to the question, at most `limit`."""
        known = [self.number[word] for word in words if word in self.number]
        if not known:
            return np.empty(0, dtype=np.intp)
        question = unit(self.rarity[known] @ self.word_vectors[known])
        return best(self._passages @ question, limit)

    def known(self, words: Iterable[str]) -> list[int]:
        """Return the numbers of those words that the corpus has."""
        return [self.number[word] for word in words if word in self.number]


def best(scores: NDArray[np.floating], limit: int) -> Ranking:
    """Return the places of the highest positive scores, best first."""
    count = min(limit, len(scores))
    places = np.argpartition(-scores, count - 1)[:count]
    places = places[np.lexsort((places, -scores[places]))]
    return places[scores[places] > 0]


def unit(vectors: Floats) -> Floats:
    """Scale vectors to length one; the null vector stays."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Floats = vectors / np.maximum(lengths, 1e-9)
    return scaled


@cache
def production_index() -> WordIndex:
    """Return the index of production: titles and texts, word by word."""
    texts = [plain_words(f"{passage.title}\n{passage.text}") for passage in passages()]
    return WordIndex(texts, k1=1.5, b=0.75)


@cache
def context_index(k1: float = 1.2, b: float = 0.5) -> WordIndex:
    """Return the index over stems of passages in their context."""
    return WordIndex([stems(text) for text in texts_in_context()], k1=k1, b=b)


@cache
def dense_index(dimensions: int = 300) -> DenseIndex:
    """Return the dense index over passages in their context."""
    return DenseIndex(texts_in_context(), dimensions)


@cache
def texts_in_context() -> tuple[str, ...]:
    """Return every passage with its name again and with what it belongs to.

    A method's docstring seldom says what it is a method of: `Return number of occurrences of
    value.` is answer to a question about lists only next to the first words on lists.
    """
    openings = {passage.document_id: passage.text for passage in reversed(passages())}
    return tuple(
        f"{passage.title} {passage.title.split('(')[0]}\n{passage.text}\n"
        f"{_surroundings(passage, openings)}"
        for passage in passages()
    )


@cache
def nesting() -> NDArray[np.float64]:
    """Return how deep each passage's object lies: 0 for topics and builtins, 2 for a method."""
    return np.array([passage.document_id.count(".") for passage in passages()], dtype=np.float64)


def _surroundings(passage: Passage, openings: dict[str, str]) -> str:
    found = []
    name = passage.document_id
    while "." in name:
        name = name.rpartition(".")[0]
        opening = openings.get(name, "").split("\n\n")[0]
        found.append(opening[:CONTEXT_CHARACTERS])
    return " ".join(found)
