"""Gates that judge a metric: they read an interval, never a p-value alone.

All work on the gain: the difference with its sign turned so that up is good.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from expplat.domain.gate import Effect, Gate, Ruling
from expplat.domain.wording import interval, limit

LEAST_UNITS = 20
"""Fewer pairs, or units in a variant, are an anecdote: no gate passes or fails on them."""


class Answer(NamedTuple):
    """A ruling and the one sentence that explains it."""

    ruling: Ruling
    sentence: str


class Gain(NamedTuple):
    """An effect with its sign turned so that up is good, in the metric's unit."""

    estimate: float
    low: float
    high: float


def gain_of(effect: Effect) -> Gain | None:
    """Return the gain; None where a number is missing, or there are too few units."""
    if min(effect.n_control, effect.n_treatment) < LEAST_UNITS:
        return None
    ends = (effect.difference, effect.low, effect.high)
    if any(end is None or not math.isfinite(end) for end in ends):
        return None
    estimate, low, high = (effect.sign * float(end) for end in ends if end is not None)
    return Gain(estimate, *sorted((low, high)))


def superiority(gate: Gate, effect: Effect, sized: bool) -> Answer:
    """Pass what is significant and large enough; fail what is proven too small.

    Significant: the lower end of the gain's interval is above 0, and the estimate outside the A/A
    noise floor. Large enough: the estimate reaches `min_effect` (`strict`: the lower end does).
    Where the test was sized for `min_effect`, significance decides. Proven too small: the upper
    end is below `min_effect`.
    """
    gain, least = gain_of(effect), _limit(gate.min_effect)
    if gain is None or least is None:
        return _not_estimable(effect)
    asked = f"the {limit(least, effect.unit)} that matters"
    shown = f"{_named(effect)} changed by {interval(effect)}"
    if gain.high < 0:
        return Answer(Ruling.FAIL, f"{shown}: surely worse than control.")
    if gain.high < least:
        return Answer(Ruling.FAIL, f"{shown}: proven smaller than {asked}.")
    if gain.low <= 0:
        return Answer(Ruling.UNKNOWN, f"{shown}: not told apart from no gain.")
    if _is_noise(gain, effect):
        return Answer(Ruling.UNKNOWN, f"{shown}: no larger than control against itself.")
    if gate.strict and gain.low < least:
        return Answer(Ruling.UNKNOWN, f"{shown}: a gain, but not surely {asked}.")
    if not sized and gain.estimate < least:
        return Answer(Ruling.UNKNOWN, f"{shown}: a gain, but not shown to be {asked}.")
    reached = "significant" if sized else f"significant, and at least {asked}"
    return Answer(Ruling.PASS, f"{shown}: {reached}.")


def non_inferiority(gate: Gate, effect: Effect, sized: bool) -> Answer:
    """Pass what is surely not worse than the margin; fail what surely is.

    Pass: the lower end of the gain's interval is above −margin. Harm proven: its upper end is
    below −margin.
    """
    del sized  # a margin is a margin, on any sample
    gain, margin = gain_of(effect), _limit(gate.margin)
    if gain is None or margin is None:
        return _not_estimable(effect)
    allowed = f"the {limit(margin, effect.unit)} allowed"
    shown = f"{_named(effect)} changed by {interval(effect)}"
    if gain.high < -margin:
        return Answer(Ruling.FAIL, f"{shown}: harm beyond {allowed} is proven.")
    if gain.low > -margin:
        return Answer(Ruling.PASS, f"{shown}: surely within {allowed}.")
    return Answer(Ruling.UNKNOWN, f"{shown}: harm beyond {allowed} is not ruled out.")


def equivalence(gate: Gate, effect: Effect, sized: bool) -> Answer:
    """Pass what is surely within the margin on both sides; fail what is surely outside."""
    del sized
    gain, margin = gain_of(effect), _limit(gate.margin)
    if gain is None or margin is None:
        return _not_estimable(effect)
    allowed = f"±{limit(margin, effect.unit)}"
    shown = f"{_named(effect)} changed by {interval(effect)}"
    if gain.high < -margin or gain.low > margin:
        return Answer(Ruling.FAIL, f"{shown}: surely outside {allowed}.")
    if -margin < gain.low and gain.high < margin:
        return Answer(Ruling.PASS, f"{shown}: surely within {allowed}.")
    return Answer(Ruling.UNKNOWN, f"{shown}: not shown to be within {allowed}.")


def _limit(declared: float | None) -> float | None:
    """Return a limit that something can be held against; None for any other."""
    return declared if declared is not None and 0 < declared < math.inf else None


def _is_noise(gain: Gain, effect: Effect) -> bool:
    """Whether control against itself reaches as far; a floor that cannot be read counts as one."""
    ends = [end for end in (effect.noise_low, effect.noise_high) if end is not None]
    if not ends:
        return False  # it was not measured
    known = [effect.sign * end for end in ends if math.isfinite(end)]
    return len(known) < 2 or gain.estimate <= max(known)


def _not_estimable(effect: Effect) -> Answer:
    fewest = min(effect.n_control, effect.n_treatment)
    if fewest < LEAST_UNITS:
        why = f"{fewest} are too few, {LEAST_UNITS} are the least."
    else:
        why = " ".join(effect.warnings) or "No interval could be computed."
    return Answer(Ruling.UNKNOWN, f"{_named(effect)} could not be judged. {why}")


def _named(effect: Effect) -> str:
    """Return the metric, and the requests that it is about where they are not all."""
    return f"{effect.metric} in {effect.segment}" if effect.segment else effect.metric
