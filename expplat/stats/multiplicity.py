"""Several questions asked at once."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return p-values adjusted so that the chance of any false pass stays below the level.

    Valid whatever the dependence between the questions. A question without a p-value (None) stays
    without one, and still counts as asked.

    Raises:
        ValueError: If a p-value is not between 0 and 1.

    Source:
        Holm (1979), Scandinavian Journal of Statistics 6:65-70. By hand: 0.01, 0.04, 0.03 become
        0.03, 0.06, 0.06.
    """
    if any(p is not None and not 0 <= p <= 1 for p in p_values):
        raise ValueError("a p-value must lie between 0 and 1")
    known = [(p, place) for place, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(sorted(known)):
        largest = max(largest, min(1.0, p * (len(p_values) - rank)))
        adjusted[place] = largest
    return tuple(adjusted)
