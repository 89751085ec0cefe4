"""What a replay is measured with, and the plan that is made of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from expplat.domain.plain import sha256_of
from expplat.domain.poc import Poc
from expplat.domain.price import PriceTable
from expplat.domain.proposal import Proposal
from expplat.domain.replay import TREATMENT, ReplayPlan
from expplat.flow.ports import CodeHashes, FrozenLog, Journal, Prices, RequestLogs, VariantCode
from expplat.metrics.catalogue import resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The workspace, and the ports that read it."""

    workspace: Path
    state_dir: Path
    code: VariantCode
    logs: RequestLogs
    prices: Prices
    journal: Journal


@contextmanager
def planned(
    poc: Poc, proposal: Proposal, bench: Bench, attempt: int, treatment: str = TREATMENT
) -> Iterator[ReplayPlan]:
    """Freeze the log, probe the code, and give the plan with the id that all of it makes.

    The id is a hash of everything that can change the answer: the same id means the same evidence.

    Args:
        poc: Which POC.
        proposal: Its newest revision.
        bench: What it is measured with.
        attempt: Which measurement of the revision this is, from 1.
        treatment: Which of the proposal's treatments is held against control.
    """
    pair = proposal.variants.pair(treatment)
    code = bench.code.probe(bench.workspace, pair, resolve(proposal.metrics))
    prices = bench.prices.read(bench.workspace)
    root = bench.state_dir / "replays"
    incoming = root / f".incoming-{poc.slug}-{os.getpid()}"
    try:
        log = bench.logs.freeze(
            proposal.request_log,
            workspace=bench.workspace,
            folder=incoming,
            shard_requests=proposal.measurement.shard_requests,
            kept=bench.state_dir / "queries" / f"{_query_id(poc, attempt)}.parquet",
        )
        made_of = _Ingredients(poc.newest.proposal_sha256, log, code, prices, attempt, treatment)
        folder = root / made_of.replay_id
        if not folder.exists():
            incoming.rename(folder)
        yield _plan(replace(proposal, variants=pair), made_of, bench.workspace, folder)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _query_id(poc: Poc, attempt: int) -> str:
    """Return what the rows of a database go by: one answer for each measurement of a revision."""
    return sha256_of((poc.newest.proposal_sha256, attempt))[:16]


class _Ingredients(NamedTuple):
    """Everything that can change the answer of a replay."""

    proposal_sha256: str
    log: FrozenLog
    code: CodeHashes
    prices: PriceTable
    attempt: int
    arm: str
    """Which of the proposal's treatments; what tells it from the others is the hash of its code."""

    @property
    def replay_id(self) -> str:
        hashed = (
            self.proposal_sha256,
            self.log.sha256,
            self.code.control_sha256,
            self.code.treatment_sha256,
            self.prices,
            self.attempt,
        )
        return sha256_of(hashed)[:16]


def _plan(proposal: Proposal, made_of: _Ingredients, workspace: Path, folder: Path) -> ReplayPlan:
    return ReplayPlan(
        replay_id=made_of.replay_id,
        slug=proposal.slug,
        workspace=str(workspace),
        folder=str(folder),
        shards=made_of.log.shards,
        requests=made_of.log.requests,
        control=proposal.variants.control,
        treatment=proposal.variants.treatment,
        metrics=resolve(proposal.metrics),
        measurement=proposal.measurement,
        prices=made_of.prices,
        proposal_sha256=made_of.proposal_sha256,
        log_sha256=made_of.log.sha256,
        control_sha256=made_of.code.control_sha256,
        treatment_sha256=made_of.code.treatment_sha256,
        attempt=made_of.attempt,
        arm=made_of.arm,
    )
