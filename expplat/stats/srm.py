"""Sample ratio mismatch: does the split that arrived fit the split that was planned?"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from expplat.stats.distributions import log_gamma

FEW_UNITS = 1_000
"""Below so many units, the split of two variants is tested exactly."""

CONCENTRATIONS = ((1_000.0, 0.9), (10_000.0, 0.1))
"""Concentration and weight of the two parts of the default test: one that finds coarse mismatches
among thousands of units, and one that finds fine ones among millions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRatio:
    """Evidence against the planned split, valid at every look."""

    e_value: float
    """Expected to be at most 1 where the split is as planned; capped at the largest float."""

    p: float
    """min(1, 1 / e_value). Over many looks, the smallest p so far is valid: keeping it is the
    caller's affair."""

    n: int
    """Units in all variants."""


def sample_ratio(
    counts: Sequence[int], shares: Sequence[float], k: float | None = None
) -> SampleRatio:
    """Test the planned split with a sequential multinomial test.

    A Dirichlet mixture around the planned shares, over the planned multinomial: a martingale while
    the split is as planned, so that it may be read at any time, as often as one likes. Both parts
    of the default are mixed at every n, for a test that changed its concentration along the way
    would be none.

    Args:
        counts: Units by variant, each at least 0.
        shares: Planned split in the same order, in any scale, such as 0.5 and 0.5 or 5 and 1.
        k: Concentration of the mixture; None for the default mixture of 1,000 and 10,000.

    Raises:
        ValueError: If the two differ in length, a count or share is negative, or all shares are 0.

    Source:
        Lindon and Malek (2022), Anytime-valid inference for multinomial count data, NeurIPS. By
        hand: 1 and 0 units with k 2 and equal shares give an e-value of 1, 2 and 0 give 4/3.
    """
    planned = _normalised(counts, shares)
    n = sum(counts)
    if any(count and not share for count, share in zip(counts, planned, strict=True)):
        return SampleRatio(e_value=sys.float_info.max, p=0.0, n=n)
    parts = CONCENTRATIONS if k is None else ((k, 1.0),)
    logs = [math.log(weight) + _log_e(counts, planned, part) for part, weight in parts]
    top = max(logs)
    log_e = top + math.log(sum(math.exp(value - top) for value in logs))
    e_value = math.exp(min(log_e, math.log(sys.float_info.max)))
    return SampleRatio(e_value=e_value, p=min(1.0, math.exp(-log_e)) if log_e > 0 else 1.0, n=n)


def chi_square_p(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Return the p-value of the planned split, for a split that is read once.

    Read at every look, it finds a mismatch in a sound split sooner or later: `sample_ratio` is for
    that. With two variants and fewer than 1,000 units it is that of the exact binomial test. A
    variant that was to have no units and has none does not count.

    Args:
        counts: Units by variant, each at least 0.
        shares: Planned split in the same order, in any scale, such as 0.5 and 0.5 or 5 and 1.

    Returns:
        0 to 1; 1 without units, and 0 where a variant that was to have none has one.

    Raises:
        ValueError: As in `sample_ratio`.

    Source:
        Pearson (1900), Philosophical Magazine 50:157-175. 44700 and 45489 against equal shares have
        a χ² of 6.9024 and a p of 0.0086; 9 against 1 by the binomial 22 / 1024 = 0.0215.
    """
    from scipy.special import chdtrc

    planned = [*zip(counts, _normalised(counts, shares), strict=True)]
    n = sum(counts)
    if any(count and not share for count, share in planned):
        return 0.0
    taking_part = [(count, share) for count, share in planned if share]
    if n == 0 or len(taking_part) < 2:
        return 1.0
    if n < FEW_UNITS and len(taking_part) == 2:
        from scipy.stats import binomtest

        count, share = taking_part[0]
        return min(1.0, float(binomtest(count, n, share).pvalue))
    statistic = math.fsum((count - n * share) ** 2 / (n * share) for count, share in taking_part)
    return float(chdtrc(len(taking_part) - 1, statistic))


def _normalised(counts: Sequence[int], shares: Sequence[float]) -> tuple[float, ...]:
    if len(counts) != len(shares):
        raise ValueError(f"{len(counts)} counts do not fit {len(shares)} shares")
    if any(count < 0 for count in counts):
        raise ValueError("a count of units cannot be negative")
    total = math.fsum(shares)
    if not all(share >= 0 for share in shares) or not 0 < total < math.inf:
        raise ValueError("planned shares must be at least 0, and one of them above 0")
    return tuple(share / total for share in shares)


def _log_e(counts: Sequence[int], planned: Sequence[float], k: float) -> float:
    total = log_gamma(k) - log_gamma(k + sum(counts))
    for count, share in zip(counts, planned, strict=True):
        if count:
            prior = k * share
            total += log_gamma(prior + count) - log_gamma(prior) - count * math.log(share)
    return total
