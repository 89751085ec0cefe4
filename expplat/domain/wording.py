"""How numbers are put to people: the same way in a sentence, a table, a page and a terminal."""

from __future__ import annotations

import json

from expplat.domain.gate import Effect, Ruling
from expplat.domain.proposal import Claim, OnlinePlan

MARKS = {Ruling.PASS: "✓", Ruling.FAIL: "✗", Ruling.UNKNOWN: "?"}
"""A sign for each ruling, so that colour never speaks alone."""

MINUS = "−"

NOTHING_YET = "–"
"""Stands where there is no number, or no evidence yet."""

RELATIVE = "relative"
"""Unit of an effect that is a share of what control takes; its values have a unit of their own."""

PERCENT = {"fraction": "pp", RELATIVE: "%"}
"""Units of effects that are written as hundredths, and what stands behind the number."""


def number(value: float | None) -> str:
    """Write a number with up to four significant digits, or whole; `–` where there is none."""
    if value is None:
        return NOTHING_YET
    size = abs(value)
    if size == 0:
        return "0"
    if 0.0001 <= size < 10_000:
        text = f"{size:,.{_decimals(size)}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        text = f"{size:,.0f}" if 10_000 <= size < 1e9 else f"{size:.3g}"
    return f"{MINUS}{text}" if value < 0 else text


def amount(value: float | None, unit: str) -> str:
    """Write a value with its unit; fractions as percentages."""
    if value is None:
        return NOTHING_YET
    if unit == RELATIVE:
        return number(value)
    if unit == "fraction":
        return f"{number(value * 100)} %"
    return f"{number(value)} {_short(unit)}".rstrip()


def change(value: float | None, unit: str) -> str:
    """Write a difference with its sign and unit; fractions in percentage points."""
    if value is None:
        return NOTHING_YET
    sign = "+" if value > 0 else "±" if value == 0 else ""
    if unit in PERCENT:
        return f"{sign}{number(value * 100)} {PERCENT[unit]}"
    return f"{sign}{number(value)} {_short(unit)}".rstrip()


def counted(count: int, noun: str) -> str:
    """Write how many there are, such as `1 unit` or `1,200 units`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def declared(value: float) -> str:
    """Write a number as a file declares it, without trailing zeros: 5, 2.5, 0.001, 12,000."""
    return f"{MINUS if value < 0 else ''}{abs(value):,.6g}"


def limit(value: float, unit: str) -> str:
    """Write the size of a difference that a gate declares, such as `3 pp` or `10 ms`."""
    if unit in PERCENT:
        return f"{declared(value * 100)} {PERCENT[unit]}"
    return f"{declared(value)} {_short(unit)}".rstrip()


def interval(effect: Effect | None) -> str:
    """Write an effect's difference with its interval, such as `+4.2 pp [+2.1, +6.3]`."""
    if effect is None:
        return NOTHING_YET
    if effect.difference is None:
        return "not estimable"
    if effect.low is None or effect.high is None:
        return f"{change(effect.difference, effect.unit)} [no interval]"
    ends = bounds(effect.low, effect.high, effect.unit)
    return f"{change(effect.difference, effect.unit)} {ends}"


def bounds(low: float, high: float, unit: str) -> str:
    """Write the two ends of an interval of differences, without the unit."""
    scale = 100.0 if unit in PERCENT else 1.0
    ends = (f"{'+' if end > 0 else ''}{number(end * scale)}" for end in (low, high))
    return f"[{', '.join(ends)}]"


def claimed(claim: Claim) -> str:
    """Write what a paper claims in its own metric, such as `+0.05 [+0.02, +0.08] nDCG@10`."""
    ends = ""
    if claim.effect_low is not None and claim.effect_high is not None:
        ends = f" {bounds(claim.effect_low, claim.effect_high, unit='')}"
    return f"{change(claim.effect, unit='')}{ends} {claim.metric}"


def _decimals(size: float) -> int:
    if size >= 100:
        return 1
    if size >= 1:
        return 2
    return 3 if size >= 0.1 else 4 if size >= 0.01 else 6


def _short(unit: str) -> str:
    return {"usd": "USD"}.get(unit, unit)


def who_enters(plan: OnlinePlan) -> str:
    """Return who may enter the online test; empty where everybody may."""
    words = []
    if plan.targeting:
        words.append(f"units that meet {json.dumps(plan.targeting, ensure_ascii=False)}")
    if plan.exclusion:
        begins, ends = plan.exclusion.from_percent, plan.exclusion.to_percent
        words.append(f"{begins:g} to {ends:g} % of the exclusion group {plan.exclusion.group}")
    if plan.holdout:
        words.append(f"without the {plan.holdout.percent:g} % of the holdout {plan.holdout.name}")
    if plan.requires:
        words.append(f"units that are served the treatment of {plan.requires}")
    return "; ".join(words)
