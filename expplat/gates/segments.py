"""Which segments are harmed, while the mean of all requests may win."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from expplat.domain.gate import Effect
from expplat.gates.metric_rules import gain_of
from expplat.stats.multiplicity import holm

ALPHA = 0.05
"""Chance that any segment of one key is called harmed where none is."""


def harmed_segments(segments: Mapping[str, Iterable[Effect]]) -> tuple[str, ...]:
    """Return the names of the segments that the treatment surely harms, in order.

    Harmed: the whole interval of the gain lies below 0, and its p-value still counts after Holm's
    adjustment over the segments of the same key. Segments with fewer than 20 requests are neither
    judged nor counted. Where every request of a segment lost exactly as much, there is no p-value,
    and the segment is harmed.

    Args:
        segments: Effects by `key=value`.
    """
    by_key: defaultdict[tuple[str, str], dict[str, Effect]] = defaultdict(dict)
    for name, effects in segments.items():
        for effect in effects:
            if gain_of(effect) is not None:
                by_key[name.partition("=")[0], effect.metric][name] = effect
    return tuple(sorted(name for family in by_key.values() for name in _harmed(family)))


def _harmed(family: Mapping[str, Effect]) -> list[str]:
    adjusted = holm([effect.p for effect in family.values()])
    return [
        name
        for (name, effect), p in zip(family.items(), adjusted, strict=True)
        if (gain := gain_of(effect)) is not None and gain.high < 0 and (p is None or p <= ALPHA)
    ]
