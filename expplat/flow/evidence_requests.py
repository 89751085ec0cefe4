"""Single requests: which lost most and gained most, and how much of the spread is theirs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from expplat.domain.breakdown import RequestDelta, VarianceSplit
from expplat.domain.metric import Metric
from expplat.domain.replay import CONTROL, TREATMENT, ReplayPlan, Sample
from expplat.flow.evidence_pairs import Material, Pairs, by_request, pairs_of
from expplat.flow.ports import Journal
from expplat.metrics.columns import Flags, Floats, Integers
from expplat.stats.repeats import variance_split

SHOWN_REQUESTS = 20
"""Requests in each of the lists of the worst and the best."""


def extremes(
    material: Material, primary: Metric, plan: ReplayPlan, journal: Journal
) -> tuple[tuple[RequestDelta, ...], tuple[RequestDelta, ...]]:
    """Return the requests that lost most and gained most on the primary metric, with their words.

    A request that was repeated counts with the means over its repeats, and is shown with its first
    answers; one of which the first is not journalled yet is left out.
    """
    each = by_request(pairs_of(material, primary, (CONTROL, TREATMENT)))
    gains = primary.direction.sign * (each.second - each.first)
    worst = _first(gains, each.positions, gains < 0)
    best = _first(-gains, each.positions, gains > 0)
    wanted = each.positions[np.concatenate((worst, best))].tolist()
    samples = {sample.row.position: sample for sample in journal.samples(plan, wanted)}
    return _deltas(each, worst, samples), _deltas(each, best, samples)


def variance_of(material: Material, primary: Metric) -> VarianceSplit | None:
    """Return the variance split of the primary metric's paired differences.

    None where nothing was repeated, or fewer than two requests have a pair.
    """
    pairs = pairs_of(material, primary, (CONTROL, TREATMENT))
    requests, firsts, places = np.unique(pairs.positions, return_index=True, return_inverse=True)
    if len(requests) < 2 or len(requests) == len(pairs.positions):
        return None
    nth = np.arange(len(places)) - firsts[places]
    differences = np.full((len(requests), int(nth.max()) + 1), np.nan)
    differences[places, nth] = pairs.second - pairs.first
    found = variance_split(differences)
    return VarianceSplit(
        metric=primary.name,
        repeats=material.measurement.repeats,
        between=found.between,
        within=found.within,
        requests=len(requests),
    )


def _first(keys: Floats, positions: Integers, wanted: Flags) -> Integers:
    """Return the places of the smallest wanted keys; of equal ones those that come first."""
    places = np.flatnonzero(wanted)
    order = np.lexsort((positions[places], keys[places]))
    return places[order[:SHOWN_REQUESTS]].astype(np.int64)


def _deltas(
    pairs: Pairs, places: Integers, samples: Mapping[int, Sample]
) -> tuple[RequestDelta, ...]:
    return tuple(
        RequestDelta(
            request_id=sample.row.request_id,
            position=sample.row.position,
            control=float(pairs.first[place]),
            treatment=float(pairs.second[place]),
            asked=sample.asked,
            control_answer=sample.answers.get(CONTROL, ""),
            treatment_answer=sample.answers.get(TREATMENT, ""),
        )
        for place in places
        if (sample := samples.get(int(pairs.positions[place]))) is not None
    )
