"""Everything that is known of one POC: what the pages, `expplat show` and `summary.json` tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from expplat.domain.gate import Effect, GateKind, Verdict
from expplat.domain.online import Look
from expplat.domain.poc import Poc, Stage
from expplat.domain.proposal import Claim, Proposal
from expplat.domain.replay import ReplayReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One POC with its evidence: claimed → replayed → online."""

    poc: Poc
    proposal: Proposal
    """The revision that the newest transition stands on."""

    replay: ReplayReport | None = None
    """The replay that the newest verdicts stand on; None before the first."""

    further_replays: Mapping[str, ReplayReport] = field(default_factory=dict)
    """The replays of the treatments after the first, by name."""

    tracking_address: str | None = None
    """Where MLflow shows the replay; None while it has not received it."""

    looks: tuple[Look, ...] = ()
    """Of the newest phase, oldest first."""

    @property
    def claimed(self) -> Claim:
        """What the paper says."""
        return self.proposal.paper.claim

    @property
    def replayed(self) -> Effect | None:
        """The replayed effect on the primary metric."""
        primary = self.proposal.problem.primary_metric
        return None if self.replay is None else self.replay.effect_on(primary)

    @property
    def online(self) -> Effect | None:
        """The online effect on the first success metric, at the newest look."""
        return None if not self.looks else _success_effect(self.looks[-1].verdicts)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The newest verdicts: online ones once there is a look, else offline ones."""
        if self.looks:
            return self.looks[-1].verdicts
        return self.replay.verdicts if self.replay else ()

    @property
    def further_verdicts(self) -> dict[str, tuple[Verdict, ...]]:
        """The newest verdicts of the treatments after the first, by name."""
        if self.looks:
            return {name: said.verdicts for name, said in self.looks[-1].further.items()}
        return {name: report.verdicts for name, report in self.further_replays.items()}

    @property
    def traffic_percent(self) -> float:
        """Share of units in the test, 0 to 100."""
        return self.poc.newest.traffic_percent

    @property
    def widest_percent(self) -> float:
        """Widest step that the newest test reached, 0 to 100; 0 before any."""
        phase = self.poc.newest.phase
        reached = [
            step.traffic_percent
            for step in self.poc.history
            if step.phase == phase and step.stage is Stage.PROMOTED
        ]
        return max(reached, default=0.0)

    @property
    def treatment_percent(self) -> float:
        """Share of all units that are served a treatment, 0 to 100."""
        if self.poc.stage is Stage.GRADUATED:
            return 100.0
        if self.poc.stage is not Stage.PROMOTED:
            return 0.0
        return self.traffic_percent * (1 - 1 / len(self.proposal.variants.arms))


def _success_effect(verdicts: tuple[Verdict, ...]) -> Effect | None:
    for verdict in verdicts:
        if verdict.gate.kind is GateKind.SUPERIORITY:
            return verdict.effect
    return None
