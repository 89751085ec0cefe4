"""Rules of what is measured, offline and online."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expplat.domain.metric import Concern, Metric, MetricKind
from expplat.domain.proposal_rules.finding import (
    SLUG_HINT,
    SLUG_PATTERN,
    Finding,
    Findings,
    Path,
    breaks,
    mapping_of,
    number_of,
    shown,
)
from expplat.domain.proposal_rules.subject import use_faults

DECLARABLE = (MetricKind.MEAN, MetricKind.PROPORTION, MetricKind.COUNT)
"""Kinds that a file may declare; a ratio and a quantile need more than one value a unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What the rules must know of the built-in metrics."""

    built_in: Callable[[str], Metric | None]
    """Returns the built-in metric of that name; None where there is none."""

    suggestions: Callable[[str], Sequence[str]]
    """Returns built-in names that look like it, the nearest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What the gates of a phase need to know of a metric that is declared there."""

    concern: str
    kind: str


def declared_metrics(items: Sequence[Any], catalogue: Catalogue) -> dict[str, Declared]:
    """Return the metrics that a list declares, by name."""
    declared: dict[str, Declared] = {}
    for item in items:
        name = _name_of(item)
        if name is not None:
            declared.setdefault(name, _described(item, catalogue))
    return declared


def _described(item: str | Mapping[str, Any], catalogue: Catalogue) -> Declared:
    """Describe a metric; a misspelt one as the nearest, so that one slip is one fault."""
    if isinstance(item, Mapping):
        concern = str(item.get("concern", Concern.OTHER))
        return Declared(concern=concern, kind=str(item.get("kind")))
    names = (item, *catalogue.suggestions(item[:100])[:1])
    metric = next((known for known in map(catalogue.built_in, names) if known), None)
    if metric is None:
        return Declared(concern=Concern.OTHER, kind="")
    return Declared(concern=metric.concern, kind=metric.kind)


def _name_of(item: object) -> str | None:
    name = item if isinstance(item, str) else mapping_of(item).get("name")
    return name if isinstance(name, str) else None


def offline_metric_faults(items: Sequence[Any], catalogue: Catalogue) -> Findings:
    """Yield what is wrong with `metrics`: names of built-in ones, and declarations."""
    yield from _duplicate_faults(items, ("metrics",))
    for position, item in enumerate(items):
        if isinstance(item, str):
            yield from _unknown_faults(item, ("metrics", position), catalogue)
        elif isinstance(item, Mapping):
            yield from _own_faults(item, ("metrics", position), catalogue)


def online_metric_faults(items: Sequence[Any]) -> Findings:
    """Yield what is wrong with `online.metrics`."""
    yield from _duplicate_faults(items, ("online", "metrics"))
    for position, item in enumerate(items):
        path: Path = ("online", "metrics", position)
        metric = mapping_of(item)
        yield from _declaration_faults(metric, path)
        if metric.get("use") is not None:
            yield Finding(
                (*path, "use"),
                "An online metric has no `use`.",
                "Take it out; its values are the outcomes that production services report.",
            )


def _duplicate_faults(items: Sequence[Any], path: Path) -> Findings:
    seen: Counter[str] = Counter()
    for position, item in enumerate(items):
        name = _name_of(item)
        if name is None:
            continue
        seen[name] += 1
        if seen[name] > 1:
            place = (*path, position) if isinstance(item, str) else (*path, position, "name")
            yield Finding(
                place, f"The metric {shown(name)} stands here twice.", "Take one of them out."
            )


def _unknown_faults(name: str, path: Path, catalogue: Catalogue) -> Findings:
    if catalogue.built_in(name) is None:
        near = " or ".join(f"`{known}`" for known in catalogue.suggestions(name[:100])[:3])
        yield Finding(
            path,
            f"No built-in metric is called {shown(name)}.",
            (f"Did you mean {near}? " if near else "")
            + "A metric of your own is declared with name, kind, direction, unit and use.",
        )


def _own_faults(metric: Mapping[str, Any], path: Path, catalogue: Catalogue) -> Findings:
    name, use = metric.get("name"), metric.get("use")
    known = catalogue.built_in(name) if isinstance(name, str) else None
    if known is not None and use is None:
        yield from _contradictions(metric, known, path)
        return
    yield from _declaration_faults(metric, path)
    yield from use_faults(use, (*path, "use"))
    if known is not None:
        yield Finding(
            (*path, "name"),
            f"{shown(name)} is the name of a built-in metric.",
            "Take out `use` to have that one, or choose another name for your own.",
        )
    elif use is None:
        yield Finding(
            (*path, "use"),
            "A metric of your own needs `use`.",
            "Write use: module.path:function; it is called as (request, output).",
        )


def _contradictions(metric: Mapping[str, Any], known: Metric, path: Path) -> Findings:
    """Yield where a built-in metric, named to change its concern or worst, is changed in itself."""
    truth = {"kind": known.kind, "direction": known.direction, "unit": known.unit}
    for name, value in truth.items():
        if isinstance(metric.get(name), str) and metric[name] != value:
            yield Finding(
                (*path, name),
                f"{known.name} is a built-in metric, and its {name} is {value}.",
                f"Write {name}: {value}, or choose another name for a metric of your own.",
            )


def _declaration_faults(metric: Mapping[str, Any], path: Path) -> Findings:
    name, kind = metric.get("name"), metric.get("kind")
    if breaks(name, SLUG_PATTERN):
        yield Finding((*path, "name"), f"{shown(name)} is not the name of a metric.", SLUG_HINT)
    if metric.get("unit") == "":
        yield Finding((*path, "unit"), "The unit is empty.", "Write fraction, ms, usd or the like.")
    if kind in (MetricKind.RATIO, MetricKind.QUANTILE):
        yield Finding(
            (*path, "kind"),
            f"A metric of the kind {kind} is not yet offered here.",
            f"Declare one value a unit, of the kind {', '.join(DECLARABLE)}.",
        )
    if (
        kind == MetricKind.PROPORTION
        and not 0 <= number_of(metric.get("expected"), left_out=0) <= 1
    ):
        yield Finding(
            (*path, "expected"),
            "A proportion lies between 0 and 1.",
            "Thirty in a hundred are 0.3.",
        )
