"""The requests for which two arms have a value, side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from expplat.domain.metric import Metric
from expplat.domain.proposal import Measurement
from expplat.domain.replay import ReplayPlan
from expplat.domain.request import logged_system
from expplat.metrics.columns import Columns, Flags, Floats, Integers, distinct
from expplat.metrics.measured import Errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What effects are made of: the columns of a replay, and how it was measured."""

    columns: Columns
    measurement: Measurement
    is_control_logged: bool = False
    """Whether control's answers, and its latencies, were read from a log."""

    is_treatment_logged: bool = False

    @property
    def has_two_clocks(self) -> bool:
        """Whether one variant was timed here and the other on a machine that nobody knows."""
        return self.is_control_logged is not self.is_treatment_logged


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Two aligned columns: the same answers to the same requests under two arms."""

    positions: Integers
    """The request of each pair; a request that was repeated has several pairs in a row."""

    clusters: Integers | None
    """The cluster of each pair; None where every request is its own."""

    first: Floats
    second: Floats

    @property
    def requests(self) -> int:
        """How many requests there are."""
        return distinct(self.positions)

    @property
    def groups(self) -> Integers | None:
        """What must be drawn or counted as one: clusters, else requests that were repeated."""
        if self.clusters is None and self.requests < len(self.positions):
            return self.positions
        return self.clusters


def material_of(plan: ReplayPlan, columns: Columns) -> Material:
    """Return the material of a plan's replay."""
    return Material(
        columns=columns,
        measurement=plan.measurement,
        is_control_logged=logged_system(plan.control.use) is not None,
        is_treatment_logged=logged_system(plan.treatment.use) is not None,
    )


def pairs_of(
    material: Material, metric: Metric, arms: tuple[str, str], within: Flags | None = None
) -> Pairs:
    """Return the pairs for which both arms have a value of the metric, among the rows `within`."""
    columns, errors = material.columns, material.measurement.errors
    first, second = (_values(columns, arm, metric, errors) for arm in arms)
    kept = ~(np.isnan(first) | np.isnan(second))
    if within is not None:
        kept &= within
    return picked(columns, first, second, kept)


def picked(columns: Columns, first: Floats, second: Floats, kept: Flags) -> Pairs:
    """Return the pairs of the rows that are kept."""
    clusters = columns.clusters
    if kept.all():
        return Pairs(positions=columns.positions, clusters=clusters, first=first, second=second)
    return Pairs(
        positions=columns.positions[kept],
        clusters=None if clusters is None else clusters[kept],
        first=first[kept],
        second=second[kept],
    )


def by_request(pairs: Pairs) -> Pairs:
    """Return one pair a request: the means over its repeats."""
    positions = pairs.positions
    if pairs.requests == len(positions):
        return pairs
    starts = np.flatnonzero(np.concatenate(([True], positions[1:] != positions[:-1])))
    counts = np.diff(np.append(starts, len(positions)))
    return Pairs(
        positions=positions[starts],
        clusters=None if pairs.clusters is None else pairs.clusters[starts],
        first=np.add.reduceat(pairs.first, starts) / counts,
        second=np.add.reduceat(pairs.second, starts) / counts,
    )


def _values(columns: Columns, arm: str, metric: Metric, errors: Errors) -> Floats:
    values = columns.values(arm, metric)
    if errors == "worst" or (metric.use is None and metric.name == "error_fraction"):
        return values
    return np.where(columns.failed(arm), np.nan, values)
