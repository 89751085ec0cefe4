"""E-values: evidence that is at most 1 on average where there is nothing, and may be averaged."""

from __future__ import annotations

import math
from collections.abc import Sequence


def e_bh(e_values: Sequence[float], alpha: float = 0.05) -> tuple[bool, ...]:
    """Return which of several claims stand, with at most alpha of those that do being false.

    On average, and however the claims hang together; each may be read at its own time. Where the
    claims are few and their looks planned, Holm's step-down finds more.

    Args:
        e_values: One a claim, at least 0; infinity is certainty.
        alpha: Share of false claims among those that stand, between 0 and 1.

    Raises:
        ValueError: If alpha is out of range or an e-value is not one.

    Source:
        Wang and Ramdas (2022), JRSS B 84:822-852. By hand: of 45, 30, 10 and 1 at 0.1, the two
        largest stand, for the second is at least 4 / (0.1 · 2) = 20 and the third not 13.3.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not at {alpha}")
    _checked(e_values)
    order = sorted(range(len(e_values)), key=lambda claim: -e_values[claim])
    count = 0
    for rank, claim in enumerate(order, start=1):
        if e_values[claim] * rank * alpha >= len(e_values):
            count = rank
    standing = set(order[:count])
    return tuple(claim in standing for claim in range(len(e_values)))


def mean_e(e_values: Sequence[float]) -> float:
    """Return one e-value for the claim that nothing is anywhere, however the parts depend.

    Raises:
        ValueError: If there is none, or an e-value is not one.

    Source:
        Vovk and Wang (2021), Annals of Statistics 49:1736-1754. By hand: 1 and 9 give 5.
    """
    if not e_values:
        raise ValueError("a mean needs an e-value")
    _checked(e_values)
    return math.fsum(value / len(e_values) for value in e_values)


def _checked(e_values: Sequence[float]) -> None:
    if not all(value >= 0 for value in e_values):
        raise ValueError("an e-value is a number of at least 0")
