"""Texts as words: as production cuts them, and as the treatments do."""

from __future__ import annotations

import re

import bm25s

QUESTION_WORDS = """
    a about again also am an any are as at be been being but by can cannot could did do does doing
    don done each either even ever every few further had has have having he her here hers him his
    how however i into it its itself just may me might more most much must my neither no nor
    of off on once only onto other our ours out over own per rather shall she should since so some
    somehow still such than that the their them then there these they this those through thus to
    too upon us very via want was we were what when where whether which who whole whom whose
    why will within would yet you your
    got get gets one two python see use used uses using way
"""
STOP_WORDS = frozenset(QUESTION_WORDS.split())
"""Words that say how somebody asks, not what about. Keywords of the language that
people ask about (`and`, `in`, `is`, `not`, `for`, `while`, `else`, `with`) are not among them."""

SUFFIXES = (
    "ization", "ations", "ation", "ments", "ment", "ings", "ing", "edly", "ies", "ied",
    "ers", "ed", "es", "er", "or", "ly", "s", "e", "y",
)  # fmt: skip
"""Endings that are cut off, the first that fits, longest first where one ends in another."""

SHORTEST_STEM = 3
WORD = re.compile(r"[a-z0-9]+")
HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|_")
"""Where an identifier consists of two words, as in `assertEqual` and `read_text`."""


def plain_words(text: str) -> list[str]:
    """Cut a text as production does: `bm25s` with its English stop words, nothing else."""
    words: list[list[str]] = bm25s.tokenize(
        text, stopwords="english", show_progress=False, return_ids=False
    )
    return words[0]


def stems(text: str) -> list[str]:
    """Cut a text into stems: identifiers are taken apart, endings and question words dropped."""
    words = WORD.findall(HUMP.sub(" ", text).lower())
    return [stem(word) for word in words if word not in STOP_WORDS]


def stem(word: str) -> str:
    """Cut off one ending, so that `sorted`, `sorting` and `sorts` meet."""
    for suffix in SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= SHORTEST_STEM:
            word = word.removesuffix(suffix)
            break
    doubled = len(word) > SHORTEST_STEM and word[-1] == word[-2] and word[-1] not in "aeiouls"
    return word[:-1] if doubled else word
