"""What follows from the verdicts of one look: one of four actions, with its reason."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from expplat.domain.gate import METRIC_GATES, Gate, GateKind, Ruling, Verdict, blockers
from expplat.gates.metric_rules import gain_of

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
    for harmed in failed:
        if is_harm(harmed):
            return Decision(Action.ROLL_BACK, harmed.sentence)
    standing = blockers(verdicts)
    if verdicts and not standing:
        return Decision(Action.GRADUATE, "Every online gate passed.")
    unfit = next(filter(_is_unfit, standing), None)
    if unfit is not None:
        may_wait = unfit.ruling is Ruling.UNKNOWN and not final
        return Decision(Action.KEEP_RUNNING if may_wait else Action.HOLD, unfit.sentence)
    if failed:
        return Decision(Action.ROLL_BACK, failed[0].sentence)
    if final:
        return Decision(Action.ROLL_BACK, f"Inconclusive: the plan is spent. {_sentence(standing)}")
    return Decision(Action.KEEP_RUNNING, _sentence(standing))


def is_harm(verdict: Verdict) -> bool:
    """Whether a verdict proves harm: a guardrail that failed, or a success metric that surely lost.

    A success metric whose whole interval lies below 0 harms users today; one that is only proven
    too small to matter does not.
    """
    if verdict.ruling is not Ruling.FAIL:
        return False
    gain = gain_of(verdict.effect) if verdict.effect else None
    return verdict.gate.kind in HARMFUL or (gain is not None and gain.high < 0)


def alarms(verdicts: Iterable[Verdict]) -> frozenset[Gate]:
    """Return the gates that a person should hear of at once: harm, or evidence that is unfit."""
    return frozenset(
        verdict.gate
        for verdict in verdicts
        if is_harm(verdict) or (verdict.gate.kind in STEP_HEALTH and verdict.ruling is Ruling.FAIL)
    )


def step_blockers(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Return what keeps a ramp step from widening.

    A step passes when its health gates pass, every guardrail has an interval whose estimate lies
    within the margin, and no harm is proven; a guardrail without evidence blocks, and so does one
    that looks harmed without proof. Success is not asked for before graduation.
    """
    return tuple(verdict for verdict in verdicts if _blocks_step(verdict))


def _blocks_step(verdict: Verdict) -> bool:
    if verdict.gate.kind in STEP_HEALTH:
        return verdict.ruling is not Ruling.PASS
    return is_harm(verdict) or (verdict.gate.kind in HARMFUL and _looks_harmed(verdict))


def _looks_harmed(verdict: Verdict) -> bool:
    """Whether a guardrail's estimate is beyond its margin, or there is none to hold against it."""
    gain = gain_of(verdict.effect) if verdict.effect else None
    return gain is None or gain.estimate < -(verdict.gate.margin or 0.0)


def _is_unfit(verdict: Verdict) -> bool:
    if verdict.gate.kind in METRIC_GATES:
        return not _has_interval(verdict)
    return True


def _has_interval(verdict: Verdict) -> bool:
    effect = verdict.effect
    return effect is not None and effect.low is not None and effect.high is not None


def _sentence(verdicts: tuple[Verdict, ...]) -> str:
    return verdicts[0].sentence if verdicts else "There is no verdict yet."
