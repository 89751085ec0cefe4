"""Effects on parts of the requests: for people, and for gates that name a segment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from expplat.domain.gate import Effect, Gate
from expplat.domain.metric import Metric
from expplat.flow.evidence_effects import DEFAULT_ALPHA, AlphaOf, alpha_for, effect_on, own_alpha
from expplat.flow.evidence_pairs import Material
from expplat.metrics.columns import Flags

EVERY = "*"
"""Stands for each value of a segment key, by itself."""


def segment_effects(material: Material, primary: Metric) -> dict[str, tuple[Effect, ...]]:
    """Return the effect on the primary metric for each value of each segment, by `key=value`."""
    facts = material.columns.facts
    return {
        name: (effect_on(material, primary, DEFAULT_ALPHA, rows, name),)
        for key in sorted(facts.segments)
        for name, rows in _parts(material, key, EVERY)
    }


def judged_effects(
    material: Material,
    metrics: Sequence[Metric],
    gates: Sequence[Gate],
    effects: Sequence[Effect],
    alpha_of: AlphaOf = own_alpha,
) -> tuple[tuple[Gate, Effect | None], ...]:
    """Return each gate with each effect that it is to be judged on.

    A gate over all requests has one. A gate on `key=value` has that of these requests, and one on
    `key=*` that of each value by itself; where no request has such a segment, its effect is that of
    no requests, which no gate passes on.

    Args:
        material: What effects are made of.
        metrics: All of the plan.
        gates: As declared, in order.
        effects: Over all requests, one a metric.
        alpha_of: Level at which a gate is judged now.
    """
    by_metric = {effect.metric: effect for effect in effects}
    known = {metric.name: metric for metric in metrics}
    found: list[tuple[Gate, Effect | None]] = []
    for gate in gates:
        name = gate.metric or ""
        if gate.segment is None or name not in known:
            found.append((gate, by_metric.get(name)))
            continue
        asked = [other for other in gates if other.segment == gate.segment]
        alpha = alpha_for(name, asked, alpha_of)
        found += [
            (gate, effect_on(material, known[name], alpha, rows, part))
            for part, rows in _named_parts(material, gate.segment)
        ]
    return tuple(found)


def _named_parts(material: Material, segment: str) -> list[tuple[str, Flags]]:
    key, _, value = segment.partition("=")
    found = list(_parts(material, key, value))
    return found or [(segment, np.zeros(material.columns.facts.rows, dtype=np.bool_))]


def _parts(material: Material, key: str, wanted: str) -> Iterator[tuple[str, Flags]]:
    """Yield name and rows of the values of a segment key, by name."""
    values = material.columns.facts.segments.get(key, ())
    places = material.columns.segment(key)
    for value in sorted(values):
        if wanted in (EVERY, value):
            yield f"{key}={value}", places == values.index(value)
