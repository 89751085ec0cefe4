"""Several questions asked at once: p-values adjusted for how many there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from expplat.stats.many_to_one import chance_of_larger, chance_of_larger_t

Correction: TypeAlias = Callable[[Sequence[float | None]], tuple[float | None, ...]]


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
    known = [(p, place) for place, p in enumerate(_checked(p_values)) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(sorted(known)):
        largest = max(largest, min(1.0, p * (len(p_values) - rank)))
        adjusted[place] = largest
    return tuple(adjusted)


def bonferroni(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return each p-value times the number of questions: valid always, weaker than `holm`.

    None and Raises are as in `holm`.

    Source:
        By hand: 0.01, 0.04, 0.5 become 0.03, 0.12, 1.
    """
    asked = len(p_values)
    return tuple(None if p is None else min(1.0, p * asked) for p in _checked(p_values))


def hommel(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return Hommel's p-values: the closed test by Simes, never weaker than `holm`.

    Controls the chance of any false pass where the questions are independent or positively
    dependent. None, which counts as a p-value of 1, and Raises are as in `holm`.

    Source:
        Hommel (1988), Biometrika 75:383-386. By hand: 0.04, 0.04, 0.04 become 0.04 each, where
        `holm` gives 0.12.
    """

    def closed(asked: list[float]) -> Sequence[float]:
        from statsmodels.stats.multitest import multipletests

        return list(multipletests(asked, method="hommel")[1])

    return _with_the_unknown(p_values, closed)


def benjamini_hochberg(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return p-values adjusted so that the expected share of false ones among passes is the level.

    A weaker promise than `holm`, for screening many questions: one pass among many may well be
    false. Holds where the questions are independent or positively dependent. None, which counts as
    a p-value of 1, and Raises are as in `holm`.

    Source:
        Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57:289-300. By
        hand: 0.01, 0.04, 0.03 become 0.03, 0.04, 0.04.
    """

    def stepped_up(asked: list[float]) -> Sequence[float]:
        from scipy.stats import false_discovery_control

        return list(false_discovery_control(asked))

    return _with_the_unknown(p_values, stepped_up)


def unadjusted(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return the p-values as they are, for questions that must all be answered with yes.

    Raises:
        ValueError: If a p-value is not between 0 and 1.
    """
    return tuple(_checked(p_values))


CORRECTIONS: Mapping[str, Correction] = MappingProxyType(
    {
        "holm": holm,
        "hommel": hommel,
        "bh": benjamini_hochberg,
        "bonferroni": bonferroni,
        "none": unadjusted,
    }
)
"""The corrections that need p-values alone, by the names that experiment files use."""


def dunnett(
    z: Sequence[float],
    n_control: int,
    n_treatments: Sequence[int],
    *,
    degrees: float | None = None,
) -> tuple[float, ...]:
    """Return two-sided p-values of several treatments against one control, in a single step.

    Less strict than Bonferroni, for treatments that share control correlate. These are the p-values
    that go with simultaneous intervals; `dunnett_step_down` passes more.

    Args:
        z: One statistic a treatment, difference by standard error.
        n_control: Units of control, at least 1.
        n_treatments: Units of each treatment, at least 1.
        degrees: Of freedom of the one variance estimate that all share; None takes z as normal.

    Raises:
        ValueError: If the numbers do not fit each other, or a statistic is not finite.

    Source:
        Dunnett (1955), Journal of the American Statistical Association 50:1096-1121. Two treatments
        of control's size: z of 2.2121 has 0.05; with 10 degrees of freedom 2.5678 has 0.05.
    """
    _must_fit(z, n_control, n_treatments, degrees)
    return tuple(_chance(abs(each), n_control, n_treatments, degrees) for each in z)


def dunnett_step_down(
    z: Sequence[float],
    n_control: int,
    n_treatments: Sequence[int],
    *,
    degrees: float | None = None,
) -> tuple[float, ...]:
    """Return two-sided p-values of several treatments against one control, from the strongest down.

    Each is judged among those that are not stronger, so that no p-value is above that of `dunnett`.
    Args and Raises are as there.

    Source:
        Dunnett and Tamhane (1991), Statistics in Medicine 10:939-947. By hand: of two treatments
        the weaker keeps its own p-value, 2 · (1 − Φ(|z|)), or the stronger one's if that is larger.
    """
    _must_fit(z, n_control, n_treatments, degrees)
    adjusted, largest = [0.0] * len(z), 0.0
    order = sorted(range(len(z)), key=lambda place: -abs(z[place]))
    for rank, place in enumerate(order):
        left = [n_treatments[other] for other in order[rank:]]
        largest = max(largest, _chance(abs(z[place]), n_control, left, degrees))
        adjusted[place] = largest
    return tuple(adjusted)


def _chance(
    size: float, n_control: int, n_treatments: Sequence[int], degrees: float | None
) -> float:
    if degrees is None:
        return chance_of_larger(size, n_control, n_treatments)
    return chance_of_larger_t(size, n_control, n_treatments, degrees)


def _must_fit(
    z: Sequence[float], n_control: int, n_treatments: Sequence[int], degrees: float | None
) -> None:
    if len(z) != len(n_treatments):
        raise ValueError(f"{len(z)} statistics do not fit {len(n_treatments)} treatments")
    if n_control < 1 or any(n < 1 for n in n_treatments):
        raise ValueError("control and each treatment need at least one unit")
    if not all(math.isfinite(each) for each in z):
        raise ValueError("a statistic must be finite")
    if degrees is not None and not degrees >= 1:
        raise ValueError(f"there must be at least one degree of freedom, not {degrees}")


def _checked(p_values: Sequence[float | None]) -> Sequence[float | None]:
    if any(p is not None and not 0 <= p <= 1 for p in p_values):
        raise ValueError("a p-value must lie between 0 and 1")
    return p_values


def _with_the_unknown(
    p_values: Sequence[float | None], adjust: Callable[[list[float]], Sequence[float]]
) -> tuple[float | None, ...]:
    """Adjust with 1 for each question without a p-value, which stays without one."""
    asked = [1.0 if p is None else float(p) for p in _checked(p_values)]
    if not asked:
        return ()
    adjusted = adjust(asked)
    return tuple(
        None if p is None else min(1.0, float(found))
        for p, found in zip(p_values, adjusted, strict=True)
    )
