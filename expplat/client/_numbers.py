"""Numbers of any library as what JSON can carry."""

from __future__ import annotations

import math
from typing import SupportsFloat


def finite(value: object) -> float | None:
    """Return a number, also of NumPy or a `Decimal`, as a float; None for anything else.

    Text is no number, whatever it says, and neither are NaN and the infinities.
    """
    if isinstance(value, str) or not isinstance(value, SupportsFloat):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
