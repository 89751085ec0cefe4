"""Rules of what is judged: every gate, the three mandatory ones, and the waivers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from expplat.domain.gate import METRIC_GATES, GateKind
from expplat.domain.metric import Concern, MetricKind
from expplat.domain.proposal_rules.finding import (
    Finding,
    Findings,
    Path,
    breaks,
    items_of,
    mapping_of,
    near,
    number_of,
    shown,
)
from expplat.domain.proposal_rules.metrics import Declared

MANDATORY = (Concern.ACCURACY, Concern.LATENCY, Concern.COST)
"""What every phase has to judge, or has to say why not."""

WANTED = {
    GateKind.SUPERIORITY: ("min_effect", "the smallest gain that matters"),
    GateKind.NON_INFERIORITY: ("margin", "the largest harm allowed"),
    GateKind.EQUIVALENCE: ("margin", "the largest difference allowed"),
}
"""The field that each kind cannot do without, and what it means."""

FOREIGN = {
    GateKind.SUPERIORITY: ("margin", "threshold"),
    GateKind.NON_INFERIORITY: ("min_effect", "strict", "threshold"),
    GateKind.EQUIVALENCE: ("min_effect", "strict", "threshold"),
}
"""Fields that would be read by nobody."""

SEGMENT_PATTERN = r"^[^=\s*]([^=*]*[^=\s*])?=(\*|[^\s*](.*\S)?)$"
"""`key=value`, or `key=*`."""


def gate_faults(gates: Sequence[Any], declared: Mapping[str, Declared], path: Path) -> Findings:
    """Yield what is wrong with the gates of one phase, each by itself and as a list."""
    for position, item in enumerate(gates):
        gate, place = mapping_of(item), (*path, position)
        kind = gate.get("kind")
        if _is_judging(kind):
            yield from _judged_faults(gate.get("metric"), declared, place)
            yield from _field_faults(gate, place)
            yield from _scale_faults(gate, declared, place)
            yield from _segment_faults(gate.get("segment"), place)
        elif _is_kind(kind):
            yield Finding(
                (*place, "kind"),
                f"{kind} is a health gate and is not declared as a gate.",
                "Every online test is held against it; its limit stands under `online.health`.",
            )
    yield from _list_faults([mapping_of(item) for item in gates], path)


def _segment_faults(segment: object, place: Path) -> Findings:
    if segment is not None and place[0] == "online":
        yield Finding(
            (*place, "segment"),
            "An online gate has no `segment`.",
            "Take it out; the test is planned for all its units.",
        )
    elif breaks(segment, SEGMENT_PATTERN):
        yield Finding(
            (*place, "segment"),
            f"{shown(segment)} names no segment.",
            "Write key=value, such as topic=syntax, or topic=* for each value by itself.",
        )


def _list_faults(gates: Sequence[Mapping[str, Any]], path: Path) -> Findings:
    seen: Counter[tuple[str, ...]] = Counter()
    for position, gate in enumerate(gates):
        key = tuple(str(gate.get(name)) for name in ("kind", "metric", "segment"))
        seen[key] += 1
        if seen[key] > 1 and gate.get("metric") is not None:
            yield Finding(
                (*path, position), "The same gate stands here twice.", "Take one of them out."
            )
    kinds = [gate.get("kind") for gate in gates]
    if kinds and all(map(_is_kind, kinds)) and GateKind.SUPERIORITY not in kinds:
        yield Finding(
            path,
            "No gate of the kind superiority is declared.",
            "Without one nothing has to get better: declare what must, and by how much.",
        )


def _is_judging(kind: object) -> bool:
    return isinstance(kind, str) and kind in METRIC_GATES


def _is_kind(kind: object) -> bool:
    return isinstance(kind, str) and kind in set(GateKind)


def _judged_faults(name: object, declared: Mapping[str, Declared], place: Path) -> Findings:
    if name is None:
        yield Finding(place, "The gate names no metric.", "Write metric: and the metric's name.")
    elif isinstance(name, str) and declared and name not in declared:
        listed = "online.metrics" if place[0] == "online" else "metrics"
        yield Finding(
            (*place, "metric"),
            f"The gate's metric {shown(name)} is not one of `{listed}`.",
            near(name, tuple(declared)),
        )


def _field_faults(gate: Mapping[str, Any], place: Path) -> Findings:
    kind = GateKind(gate["kind"])
    wanted, meaning = WANTED[kind]
    if gate.get(wanted) is None:
        yield Finding(
            (*place, wanted),
            f"A gate of the kind {kind} needs `{wanted}`.",
            f"It is {meaning}, in the metric's own unit.",
        )
    for name in FOREIGN[kind]:
        if gate.get(name) not in (None, False):
            yield Finding(
                (*place, name),
                f"A gate of the kind {kind} has no `{name}`.",
                f"Take it out; `{wanted}` is {meaning}.",
            )


def _scale_faults(
    gate: Mapping[str, Any], declared: Mapping[str, Declared], place: Path
) -> Findings:
    metric = declared.get(str(gate.get("metric")))
    if metric is None or metric.kind != MetricKind.PROPORTION:
        return
    for name in ("min_effect", "margin"):
        if number_of(gate.get(name)) >= 1:
            yield Finding(
                (*place, name),
                "A proportion lies between 0 and 1, and so does every difference of two.",
                "Two percentage points are 0.02.",
            )


def sizing_faults(online: Mapping[str, Any]) -> Findings:
    """Yield every success metric that does not say what to expect: its test could not be sized."""
    judged = [
        gate.get("metric")
        for gate in map(mapping_of, items_of(online.get("gates")))
        if gate.get("kind") == GateKind.SUPERIORITY
    ]
    for position, metric in enumerate(map(mapping_of, items_of(online.get("metrics")))):
        if not isinstance(metric.get("name"), str) or metric["name"] not in judged:
            continue
        place: Path = ("online", "metrics", position)
        if metric.get("expected") is None:
            yield Finding(
                (*place, "expected"),
                "A success metric needs `expected`: without it the test cannot be sized.",
                "Write the value under control that your monitoring shows, such as 0.45.",
            )
        spreads = metric.get("kind") in (MetricKind.MEAN, MetricKind.COUNT)
        if spreads and metric.get("expected_sd") is None:
            yield Finding(
                (*place, "expected_sd"),
                "A success metric of this kind needs `expected_sd`.",
                "Write the standard deviation between units that your monitoring shows.",
            )


def waived(data: Mapping[str, Any], phase: str) -> dict[str, int]:
    """Return the concerns that the file waives in a phase, each with its waiver's position."""
    return {
        str(waiver.get("concern")): position
        for position, waiver in enumerate(map(mapping_of, items_of(data.get("waivers"))))
        if waiver.get("phase") == phase
    }


def mandatory_faults(
    gates: Sequence[Any],
    declared: Mapping[str, Declared],
    path: Path,
    waivers: Mapping[str, int],
) -> Findings:
    """Yield each mandatory question that is neither asked nor waived, or both."""
    phase = "online" if path[0] == "online" else "offline"
    judged = _judged_concerns(gates, declared)
    for concern in MANDATORY if gates and declared else ():
        if concern in judged and concern in waivers:
            yield Finding(
                ("waivers", waivers[concern]),
                f"The {phase} gate of {concern} is waived, and yet it is declared.",
                "Take out the waiver or the gate.",
            )
        elif concern not in judged and concern not in waivers:
            yield Finding(
                path,
                f"No {phase} gate judges {concern}.",
                f"Add a gate of all requests on a metric whose concern is {concern}, or a "
                f"waiver with phase: {phase}, concern: {concern} and a reason.",
            )


def _judged_concerns(gates: Sequence[Any], declared: Mapping[str, Declared]) -> set[str]:
    """Return what the gates ask of all requests; a gate of a segment leaves the others out."""
    names = [
        str(gate.get("metric"))
        for gate in map(mapping_of, gates)
        if _is_judging(gate.get("kind")) and gate.get("segment") is None
    ]
    return {declared[name].concern for name in names if name in declared}


def waiver_faults(waivers: Sequence[Any]) -> Findings:
    """Yield every waiver that repeats an earlier one."""
    seen: Counter[tuple[str, str]] = Counter()
    for position, waiver in enumerate(map(mapping_of, waivers)):
        key = (str(waiver.get("phase")), str(waiver.get("concern")))
        seen[key] += 1
        if seen[key] > 1:
            yield Finding(
                ("waivers", position), "The same waiver stands here twice.", "Take one of them out."
            )


def primary_faults(
    primary: object, gates: Sequence[Any], declared: Mapping[str, Declared]
) -> Findings:
    """Yield a primary metric that is not measured, or that nothing asks to move."""
    if not isinstance(primary, str):
        return
    path: Path = ("problem", "primary_metric")
    judges = [gate for gate in map(mapping_of, gates) if gate.get("metric") == primary]
    if primary not in declared:
        if declared:
            yield Finding(
                path,
                f"The primary metric {shown(primary)} is not one of `metrics`.",
                near(primary, tuple(declared)),
            )
    elif gates and not any(gate.get("kind") == GateKind.SUPERIORITY for gate in judges):
        yield Finding(
            path,
            f"No offline superiority gate judges the primary metric {shown(primary)}.",
            "Add one to `offline_gates`, with the smallest gain that matters.",
        )
