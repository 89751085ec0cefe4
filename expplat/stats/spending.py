"""How much of the error budget may be spent by which share of the planned information.

Each function returns the two-sided error spent by time t: 0 at the start, alpha from t = 1 on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from expplat.stats.distributions import critical_z, normal_tail

Spending: TypeAlias = Callable[[float, float], float]
"""Takes the time t and alpha."""


def spend_obf(t: float, alpha: float) -> float:
    """Spend next to nothing early, as O'Brien and Fleming do; half of alpha on each side.

    Source:
        Lan and DeMets (1983), Biometrika 70:659-663. 0.05 at t = 0.2 and 0.6 spends 1.08e-6 and
        0.00762.
    """
    if t <= 0:
        return 0.0
    return min(alpha, 4 * normal_tail(critical_z(alpha / 2) / math.sqrt(min(t, 1.0))))


def spend_pocock(t: float, alpha: float) -> float:
    """Spend nearly evenly, as Pocock does.

    Source:
        Lan and DeMets (1983). 0.05 at t = 0.5 spends 0.05 · ln(1 + (e − 1) / 2) = 0.0310.
    """
    return alpha * math.log1p((math.e - 1) * _clipped(t))


def spend_hsd(gamma: float) -> Spending:
    """Return the family of Hwang, Shih and DeCani: −4 spends late, 1 nearly evenly.

    Source:
        Hwang, Shih and DeCani (1990), Statistics in Medicine 9:1439-1445. Gamma −4 and 0.05 at
        t = 0.5 spends 0.05 · (e² − 1) / (e⁴ − 1) = 0.00596.
    """

    def spend(t: float, alpha: float) -> float:
        if gamma == 0:
            return alpha * _clipped(t)
        return alpha * math.expm1(-gamma * _clipped(t)) / math.expm1(-gamma)

    return spend


def spend_power(rho: float) -> Spending:
    """Return the power family alpha · t^rho; 3 is close to O'Brien and Fleming.

    Raises:
        ValueError: If rho is not above 0.

    Source:
        Kim and DeMets (1987), Biometrika 74:149-154.
    """
    if rho <= 0:
        raise ValueError("the power of a spending function must be above 0")

    def spend(t: float, alpha: float) -> float:
        return float(alpha * _clipped(t) ** rho)

    return spend


SPENDING: Mapping[str, Spending] = MappingProxyType(
    {
        "obf": spend_obf,
        "pocock": spend_pocock,
        "hsd(-4)": spend_hsd(-4.0),
        "power(3)": spend_power(3.0),
    }
)
"""The named plans."""


def _clipped(t: float) -> float:
    return min(max(t, 0.0), 1.0)
