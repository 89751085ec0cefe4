"""What follows from the verdicts of one look: one of four actions, with its reason."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from expplat.domain.gate import METRIC_GATES, GateKind, Ruling, Verdict, blockers

HARMFUL = frozenset({GateKind.NON_INFERIORITY, GateKind.EQUIVALENCE, GateKind.SRM})
"""The guardrails: a failure of one of these ends the test at any look."""

STEP_HEALTH = frozenset({GateKind.SRM, GateKind.MAX_MULTIPLE_EXPOSURES, GateKind.DATA_QUALITY})
"""The health gates that every ramp step must pass; time and size have holds of their own."""


class Action(StrEnum):
    """What to do next."""

    GRADUATE = "graduate"
    ROLL_BACK = "roll_back"
    HOLD = "hold"
    KEEP_RUNNING = "keep_running"


class Decision(NamedTuple):
    """An action and why."""

    action: Action
    reason: str


def decide(verdicts: tuple[Verdict, ...], *, final: bool) -> Decision:
    """Decide on the verdicts of one look.

    Harm first, then futility, then success; whatever is unknown keeps the test running until the
    plan is spent, and then it is inconclusive: control stays. Where the plan is spent but the
    evidence was never fit to be read, the test is held for a person.

    Args:
        verdicts: Of the health gates and the metric gates.
        final: Whether the plan's units or days are spent.
    """
    failed = [verdict for verdict in verdicts if verdict.ruling is Ruling.FAIL]
    harmed = next((verdict for verdict in failed if verdict.gate.kind in HARMFUL), None)
    if harmed is not None:
        return Decision(Action.ROLL_BACK, harmed.sentence)
    standing = blockers(verdicts)
    if verdicts and not standing:
        return Decision(Action.GRADUATE, "Every online gate passed.")
    unfit = next((verdict for verdict in standing if _is_unfit(verdict)), None)
    if unfit is not None:
        action = Action.HOLD if final or unfit.ruling is Ruling.FAIL else Action.KEEP_RUNNING
        return Decision(action, unfit.sentence)
    futile = next((verdict for verdict in failed), None)
    if futile is not None:
        return Decision(Action.ROLL_BACK, futile.sentence)
    if final:
        return Decision(Action.ROLL_BACK, f"Inconclusive: the plan is spent. {_sentence(standing)}")
    return Decision(Action.KEEP_RUNNING, _sentence(standing))


def step_blockers(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Return what keeps a ramp step from widening.

    A step passes when its health gates pass and every guardrail has an interval in which harm is
    not proven; a guardrail without evidence blocks. Success is not asked for before graduation.
    """
    return tuple(verdict for verdict in verdicts if _blocks_step(verdict))


def _blocks_step(verdict: Verdict) -> bool:
    if verdict.gate.kind in STEP_HEALTH:
        return verdict.ruling is not Ruling.PASS
    if verdict.gate.kind in HARMFUL:
        return verdict.ruling is Ruling.FAIL or not _has_interval(verdict)
    return False


def _is_unfit(verdict: Verdict) -> bool:
    if verdict.gate.kind in METRIC_GATES:
        return not _has_interval(verdict)
    return True


def _has_interval(verdict: Verdict) -> bool:
    effect = verdict.effect
    return effect is not None and effect.low is not None and effect.high is not None


def _sentence(verdicts: tuple[Verdict, ...]) -> str:
    return verdicts[0].sentence if verdicts else "There is no verdict yet."
