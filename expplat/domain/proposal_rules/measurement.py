"""Rules of the measurement: can what is gated be measured this way?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from expplat.domain.metric import Concern
from expplat.domain.proposal import Measurement
from expplat.domain.proposal_rules.finding import Finding, Findings, Path, mapping_of, number_of
from expplat.domain.proposal_rules.metrics import Declared
from expplat.domain.proposal_rules.subject import is_logged

_DEFAULTS = {field.name: field.default for field in fields(Measurement)}


def measurement_faults(
    data: Mapping[str, Any], gates: Sequence[Any], declared: Mapping[str, Declared]
) -> Findings:
    """Yield what no replay of these variants could measure.

    Args:
        data: The whole file.
        gates: The offline gates.
        declared: The offline metrics, by name.
    """
    measurement = {**_DEFAULTS, **mapping_of(data.get("measurement"))}
    variants = mapping_of(data.get("variants"))
    recorded = [
        arm
        for arm in ("control", "treatment")
        if is_logged(mapping_of(variants.get(arm)).get("use"))
    ]
    timing = [
        position
        for position, gate in enumerate(map(mapping_of, gates))
        if _concern(gate, declared) == Concern.LATENCY
    ]
    if timing:
        yield from _clock_faults(measurement, recorded, timing[0])
    if len(recorded) == 2:
        yield from _recorded_faults(measurement)
    yield from _budget_faults(measurement)
    yield from _early_stop_faults(measurement)


def _concern(gate: Mapping[str, Any], declared: Mapping[str, Declared]) -> str | None:
    metric = declared.get(str(gate.get("metric")))
    return None if metric is None else metric.concern


def _clock_faults(measurement: Mapping[str, Any], recorded: list[str], gate: int) -> Findings:
    if len(recorded) == 1:
        yield Finding(
            ("offline_gates", gate),
            f"Latency cannot be judged: {recorded[0]} was recorded elsewhere, and clocks of two "
            "machines are not comparable.",
            "Take the gate out, and add a waiver with phase: offline, concern: latency.",
        )
    untimed = number_of(measurement["latency_requests"]) == 0
    if untimed and number_of(measurement["concurrency"]) > 1 and not recorded:
        yield Finding(
            ("measurement", "latency_requests"),
            "Nothing would be timed: with a concurrency above 1 only `latency_requests` are.",
            "Raise it to 200, or set concurrency: 1, because a gate judges latency.",
        )


def _recorded_faults(measurement: Mapping[str, Any]) -> Findings:
    if number_of(measurement["repeats"]) > 1:
        yield Finding(
            ("measurement", "repeats"),
            "Both variants were recorded, and a recorded answer is the same each time.",
            "Take it out.",
        )
    if measurement["budget_usd"] is not None:
        yield Finding(
            ("measurement", "budget_usd"),
            "Both variants were recorded, so that nothing is paid for.",
            "Take it out.",
        )


def _budget_faults(measurement: Mapping[str, Any]) -> Findings:
    minutes, timeout_s = (number_of(measurement[name]) for name in ("budget_minutes", "timeout_s"))
    if minutes * 60 < timeout_s:
        place: Path = ("measurement", "budget_minutes")
        yield Finding(
            place,
            f"The budget of {minutes:.12g} minutes ends before one call may time out "
            f"({timeout_s:.12g} s).",
            "Raise it, or lower `timeout_s`.",
        )


def _early_stop_faults(measurement: Mapping[str, Any]) -> Findings:
    if measurement["early_stop"] is True and measurement["errors"] == "drop_pair":
        yield Finding(
            ("measurement", "early_stop"),
            "With `errors: drop_pair` nobody knows how many pairs there will be, so that no share "
            "of alpha can be planned for each look.",
            "Write errors: worst, or take out early_stop.",
        )
