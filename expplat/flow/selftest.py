"""selftest: how often what should not pass passes, and what should be found is found, here and now.

Users and requests that do not exist are sent through the functions that judge real ones: null
effects, planted effects, harm, and a split that is not the planned one. What the plan promises is
the bound of each rate; a rate outside it by more than three standard errors of the simulation
itself is a fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from expplat.domain.gate import GateKind
from expplat.domain.proposal import Proposal
from expplat.flow.desk import Desk
from expplat.flow.ports import Progress
from expplat.flow.replay_simulation import PLANTED, Trial, passes, trial_of
from expplat.flow.selftest_worlds import (
    BUILT_IN_GATE,
    BUILT_IN_METRIC,
    BUILT_IN_PLAN,
    Rate,
    assumed,
    online_worlds,
)
from expplat.flow.simulation import simulate
from expplat.metrics.catalogue import resolve

FOUND_OFFLINE = 0.9
"""Least share of the planted offline gains that must pass; by the normal law .975 of them do."""


class Trials(NamedTuple):
    """How many tests, from which seed, and whom to tell."""

    tests: int
    seed: int
    progress: Progress


def selftest(proposal: Proposal | None, trials: Trials) -> tuple[Rate, ...]:
    """Measure the rates of a proposal's plan and first offline gate, or of built-in ones.

    Args:
        proposal: Whose plan is tried; None for the built-in plan.
        trials: Tests in each world, at least 1, the seed, and what is told of the progress.
    """
    plan = assumed(proposal.online) if proposal else BUILT_IN_PLAN
    trial = _trial(proposal) if proposal else trial_of(BUILT_IN_GATE, BUILT_IN_METRIC)
    worlds = online_worlds(plan)
    count = Counting(trials, total=(len(worlds) + 2) * trials.tests)
    online = (
        rate
        for world in worlds
        for rate in world.rates(
            simulate(plan, world.truth, trials.tests, seed=trials.seed, told=count)
        )
    )
    return (*online, *_offline_rates(trial, trials, count))


def proposal_of(slug: str, *, desk: Desk) -> Proposal:
    """Return the present revision of a POC, or raise NotFoundError."""
    with desk.uow as uow:
        return desk.proposal_of(uow.pocs.get(slug))


class Counting:
    """Counts finished tests, and tells."""

    def __init__(self, trials: Trials, total: int) -> None:
        self._progress, self._total, self._done = trials.progress, total, 0

    def __call__(self) -> None:
        """Count one more."""
        self._done += 1
        self._progress(self._done, self._total)


def _trial(proposal: Proposal) -> Trial:
    """Return the offline gate that judges the primary metric; the rules ask for one."""
    primary = proposal.problem.primary_metric
    metric = next(metric for metric in resolve(proposal.metrics) if metric.name == primary)
    gate = next(
        gate
        for gate in proposal.offline_gates
        if gate.metric == primary and gate.kind is GateKind.SUPERIORITY
    )
    return trial_of(gate, metric)


def _offline_rates(trial: Trial, trials: Trials, count: Counting) -> Iterator[Rate]:
    for name, gain, bound in (
        ("replay without effect", 0.0, trial.gate.alpha / 2),
        ("replay with a planted gain", PLANTED, FOUND_OFFLINE),
    ):
        draw = np.random.default_rng(trials.seed)
        passed = 0
        for _ in range(trials.tests):
            passed += passes(trial, gain, draw)
            count()
        yield Rate(
            world=name,
            counted="passed",
            found=passed,
            tests=trials.tests,
            bound=bound,
            is_ceiling=gain == 0,
        )
