"""What an output is worth, by the references of its request: exact definitions, no judge.

A request that a metric does not apply to has no value (None), and no variant can gain by that: it
depends on the request alone.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from expplat.domain.request import Output, Request
from expplat.errors import NotFoundError
from expplat.metrics.catalogue import built_in, ranked_of

Grades = Mapping[str, float]
"""Relevance by id; only grades above 0."""


def score(metric_name: str, request: Request, output: Output) -> float | None:
    """Return the value of a built-in metric for one output, as a fraction from 0 to 1.

    - `recall_at_K`, `precision_at_K`, `ndcg_at_K`, `mrr_at_K`, `success_at_K` need
      `expected["relevant_ids"]` and a request that is not known to be unanswerable;
    - `exact_match` and `token_f1` need `expected["answer"]` and the same; a refusal scores 0;
    - `over_refusal` is asked of requests known to be answerable, `correct_refusal` of those known
      not to be: 1 where the variant refused.

    Returns:
        None where the metric does not apply to the request, or is measured rather than scored.

    Raises:
        NotFoundError: If no built-in metric has that name.
    """
    ranked = ranked_of(metric_name)
    if ranked is not None:
        return _ranked(*ranked, request, output)
    if metric_name in _TEXT:
        return _text(_TEXT[metric_name], request, output)
    if metric_name in _REFUSAL:
        applies = request.answerable is _REFUSAL[metric_name]
        return float(output.refused) if applies else None
    if built_in(metric_name) is None:
        raise NotFoundError(f"No built-in metric is called {metric_name!r}.")
    return None


def recall(retrieved: Sequence[str], grades: Grades, cut: int) -> float:
    """Return the share of all relevant ids that is among the first `cut` retrieved ones."""
    return _hits(retrieved, grades, cut) / len(grades)


def precision(retrieved: Sequence[str], grades: Grades, cut: int) -> float:
    """Return the share of `cut` places that hold a relevant id; an empty place holds none."""
    return _hits(retrieved, grades, cut) / cut


def success(retrieved: Sequence[str], grades: Grades, cut: int) -> float:
    """Return 1 where a relevant id is among the first `cut`, else 0."""
    return float(_hits(retrieved, grades, cut) > 0)


def reciprocal_rank(retrieved: Sequence[str], grades: Grades, cut: int) -> float:
    """Return 1 over the rank of the first relevant id, counted from 1; 0 beyond `cut`."""
    ranks = (rank for rank, name in enumerate(retrieved[:cut], start=1) if name in grades)
    return 1.0 / next(ranks, math.inf)


def ndcg(retrieved: Sequence[str], grades: Grades, cut: int) -> float:
    """Return the discounted gain of the first `cut`, over that of the best possible order.

    The gain of an id is its grade, as in trec_eval (not 2^grade − 1), its discount 1 / log2(rank +
    1); the best order ranks all relevant ids, retrieved or not, by grade.

    Source:
        Järvelin and Kekäläinen (2002), ACM TOIS 20:422-446. By hand: grades 3 and 1, retrieved in
        the order 1, none, 3, give (1 + 3/2) / (3 + 1/log2 3) = 0.6885.
    """
    ideal = _discounted(sorted(grades.values(), reverse=True)[:cut])
    return _discounted([grades.get(name, 0.0) for name in retrieved[:cut]]) / ideal


def exact_match(text: str, answer: str) -> float:
    """Return 1 where both are the same after normalisation, else 0."""
    return float(normalised(text) == normalised(answer))


def token_f1(text: str, answer: str) -> float:
    """Return the harmonic mean of precision and recall over the words of both, as multisets.

    Where one of the two has no words, it is 1 if the other has none either, else 0.
    """
    said, right = normalised(text).split(), normalised(answer).split()
    if not said or not right:
        return float(said == right)
    shared = sum((Counter(said) & Counter(right)).values())
    return 2 * shared / (len(said) + len(right))


def normalised(text: str) -> str:
    """Return the text in lower case, without ASCII punctuation, articles and extra blanks.

    Source:
        The rules of SQuAD: Rajpurkar et al. (2016), arXiv 1606.05250, section 6.1.
    """
    plain = text.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:an?|the)\b")

_RANKED: Mapping[str, Callable[[Sequence[str], Grades, int], float]] = MappingProxyType(
    {
        "recall": recall,
        "precision": precision,
        "ndcg": ndcg,
        "mrr": reciprocal_rank,
        "success": success,
    }
)

_TEXT: Mapping[str, Callable[[str, str], float]] = MappingProxyType(
    {"exact_match": exact_match, "token_f1": token_f1}
)

_REFUSAL: Mapping[str, bool] = MappingProxyType({"over_refusal": True, "correct_refusal": False})
"""Whether the requests that the metric is asked of are answerable."""


def _ranked(family: str, cut: int, request: Request, output: Output) -> float | None:
    grades = _grades(request)
    if not grades or request.answerable is False:
        return None
    # An id that comes twice holds the place of its first coming alone.
    retrieved = tuple(dict.fromkeys(str(name) for name in output.retrieved))
    return _RANKED[family](retrieved, grades, cut)


def _grades(request: Request) -> dict[str, float]:
    """Return the relevant ids with their grades; a plain list gives each a grade of 1."""
    given = request.expected.get("relevant_ids")
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {str(name): float(grade) for name, grade in given.items() if float(grade) > 0}
    return {str(name): 1.0 for name in ((given,) if isinstance(given, str) else given)}


def _text(compare: Callable[[str, str], float], request: Request, output: Output) -> float | None:
    """Return the best agreement with any right answer."""
    given = request.expected.get("answer")
    answers = (given,) if isinstance(given, str) else tuple(given or ())
    if not answers or request.answerable is False:
        return None
    return 0.0 if output.refused else max(compare(output.text, str(a)) for a in answers)


def _hits(retrieved: Sequence[str], grades: Grades, cut: int) -> int:
    return sum(name in grades for name in retrieved[:cut])


def _discounted(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
