"""How numbers are put to people: the same way in a sentence, a table, a page and a terminal."""

from __future__ import annotations

from expplat.domain.gate import Effect, Ruling
from expplat.domain.proposal import Claim

MARKS = {Ruling.PASS: "✓", Ruling.FAIL: "✗", Ruling.UNKNOWN: "?"}
"""A sign for each ruling, so that colour never speaks alone."""

MINUS = "−"


def number(value: float | None) -> str:
    """Write a number with up to four significant digits; `–` where there is none."""
    if value is None:
        return "–"
    size = abs(value)
    if size == 0:
        return "0"
    is_plain = 0.0001 <= size < 10_000
    text = f"{size:.{_decimals(size)}f}" if is_plain else f"{size:.3g}"
    if "." in text and "e" not in text:
        text = text.rstrip("0").rstrip(".")
    return f"{MINUS}{text}" if value < 0 else text


def amount(value: float | None, unit: str) -> str:
    """Write a value with its unit; fractions as percentages."""
    if value is None:
        return "–"
    if unit == "fraction":
        return f"{number(value * 100)} %"
    return f"{number(value)} {_short(unit)}".rstrip()


def change(value: float | None, unit: str) -> str:
    """Write a difference with its sign and unit; fractions in percentage points."""
    if value is None:
        return "–"
    sign = "+" if value > 0 else "±" if value == 0 else ""
    if unit == "fraction":
        return f"{sign}{number(value * 100)} pp"
    return f"{sign}{number(value)} {_short(unit)}".rstrip()


def limit(value: float, unit: str) -> str:
    """Write the size of a difference that a gate declares, such as `3 pp` or `10 ms`."""
    return f"{number(value * 100)} pp" if unit == "fraction" else amount(value, unit)


def interval(effect: Effect) -> str:
    """Write an effect's difference with its interval, such as `+4.2 pp [+2.1, +6.3]`."""
    if effect.difference is None:
        return "not estimable"
    if effect.low is None or effect.high is None:
        return f"{change(effect.difference, effect.unit)} [no interval]"
    return (
        f"{change(effect.difference, effect.unit)} {bounds(effect.low, effect.high, effect.unit)}"
    )


def bounds(low: float, high: float, unit: str) -> str:
    """Write the two ends of an interval of differences, without the unit."""
    scale = 100.0 if unit == "fraction" else 1.0
    ends = (f"{'+' if end > 0 else ''}{number(end * scale)}" for end in (low, high))
    return f"[{', '.join(ends)}]"


def _decimals(size: float) -> int:
    if size >= 100:
        return 1
    if size >= 1:
        return 2
    return 3 if size >= 0.1 else 4 if size >= 0.01 else 6


def _short(unit: str) -> str:
    return {"usd": "USD"}.get(unit, unit)


def claimed(claim: Claim) -> str:
    """Write what a paper claims, such as `+0.05 nDCG@10`."""
    sign = "+" if claim.effect > 0 else ""
    ends = ""
    if claim.effect_low is not None and claim.effect_high is not None:
        ends = f" [{number(claim.effect_low)}, {number(claim.effect_high)}]"
    return f"{sign}{number(claim.effect)}{ends} {claim.metric}"
