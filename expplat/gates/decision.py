"""What follows from the verdicts of one look: one of four outcomes, the action, and all reasons."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from expplat.domain.decision import Action, Decision, Outcome
from expplat.domain.gate import METRIC_GATES, Gate, GateKind, Ruling, Verdict, blockers
from expplat.gates.metric_rules import gain_of

Winning = Literal["all", "any"]
"""Whether every success metric must pass, or one is enough."""

HARMFUL = frozenset({GateKind.NON_INFERIORITY, GateKind.EQUIVALENCE, GateKind.SRM})
"""The guardrails: a failure of one of these ends the test at any look."""

STEP_HEALTH = (GateKind.SRM, GateKind.MAX_MULTIPLE_EXPOSURES, GateKind.DATA_QUALITY)
"""The health gates that every ramp step must pass; time and size have holds of their own."""

ASKED_OF_ALL = (*STEP_HEALTH, GateKind.MIN_UNITS, GateKind.MIN_DAYS, GateKind.SUPERIORITY)
"""Nothing graduates on a look that has no verdict of one of these kinds."""


def decide(verdicts: tuple[Verdict, ...], *, final: bool, winning: Winning = "all") -> Decision:
    """Decide on the verdicts of one look.

    Harm first, then futility, then success; whatever is unknown keeps the test running until the
    plan is spent, and then it is inconclusive: control stays. Where the plan is spent but the
    evidence was never fit to be read, the test is held for a person.

    Args:
        verdicts: Of the health gates and the metric gates.
        final: Whether the plan's units or days are spent.
        winning: Whether every success metric must pass, or one is enough.
    """
    standing = standing_in_the_way(verdicts, winning)
    reasons = tuple(verdict.sentence for verdict in sorted(standing, key=_weight))
    if any(is_harm(verdict) for verdict in standing):
        return Decision(outcome=Outcome.REJECT, action=Action.ROLL_BACK, reasons=reasons)
    if not standing:
        return Decision(
            outcome=Outcome.GRADUATE, action=Action.GRADUATE, reasons=(_passed(winning),)
        )
    unfit = [verdict for verdict in standing if _is_unfit(verdict)]
    if unfit and (final or any(verdict.ruling is Ruling.FAIL for verdict in unfit)):
        return Decision(outcome=Outcome.INCONCLUSIVE, action=Action.HOLD, reasons=reasons)
    if not unfit and _is_futile(verdicts, winning):
        return Decision(outcome=Outcome.REJECT, action=Action.ROLL_BACK, reasons=reasons)
    if final:
        spent = f"Inconclusive: the plan is spent. {reasons[0]}"
        return Decision(
            outcome=Outcome.INCONCLUSIVE, action=Action.ROLL_BACK, reasons=(spent, *reasons[1:])
        )
    return Decision(outcome=Outcome.CONTINUE, action=Action.KEEP_RUNNING, reasons=reasons)


def standing_in_the_way(
    verdicts: tuple[Verdict, ...], winning: Winning = "all"
) -> tuple[Verdict, ...]:
    """Return what keeps a look from graduation; empty where nothing does.

    These are all verdicts that are not `pass`, and one for each kind that the look says nothing of.
    Where one success metric is enough and one has passed, the others stand in nobody's way, unless
    they surely lost.
    """
    has_won = any(_is_success(verdict) and verdict.ruling is Ruling.PASS for verdict in verdicts)
    is_enough = winning == "any" and has_won
    return (
        *(
            verdict
            for verdict in blockers(verdicts)
            if not (is_enough and _is_success(verdict)) or is_harm(verdict)
        ),
        *_unsaid(verdicts, ASKED_OF_ALL),
    )


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


def step_blockers(verdicts: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    """Return what keeps a ramp step from widening.

    A step passes when its health gates pass, every guardrail has an interval whose estimate lies
    within the margin, and no harm is proven; a guardrail without evidence blocks, and so does one
    that looks harmed without proof. Success is not asked for before graduation.
    """
    blocking = (verdict for verdict in verdicts if _blocks_step(verdict))
    return (*blocking, *_unsaid(verdicts, STEP_HEALTH))


def _blocks_step(verdict: Verdict) -> bool:
    if verdict.gate.kind in STEP_HEALTH:
        return verdict.ruling is not Ruling.PASS
    return is_harm(verdict) or (verdict.gate.kind in HARMFUL and _looks_harmed(verdict))


def _looks_harmed(verdict: Verdict) -> bool:
    """Whether a guardrail's estimate is beyond its margin, or there is none to hold against it."""
    gain = gain_of(verdict.effect) if verdict.effect else None
    return gain is None or gain.estimate < -(verdict.gate.margin or 0.0)


def _unsaid(verdicts: Iterable[Verdict], kinds: Iterable[GateKind]) -> tuple[Verdict, ...]:
    """Return a verdict for each of the kinds that the look has none of: not known."""
    said = {verdict.gate.kind for verdict in verdicts}
    return tuple(
        Verdict(
            gate=Gate(kind=kind),
            ruling=Ruling.UNKNOWN,
            sentence=f"There is no verdict of the kind {kind}; what is not known never ships.",
        )
        for kind in kinds
        if kind not in said
    )


def _weight(verdict: Verdict) -> int:
    """Rank a verdict among the reasons: harm, unfit evidence, what is too small, the rest."""
    if is_harm(verdict):
        return 0
    has_failed = verdict.ruling is Ruling.FAIL
    if _is_unfit(verdict):
        return 1 if has_failed else 2
    return 3 if has_failed else 4


def _is_futile(verdicts: Iterable[Verdict], winning: Winning) -> bool:
    """Whether the success metrics are proven too small: one of them, or all where any may win."""
    failed = [verdict.ruling is Ruling.FAIL for verdict in verdicts if _is_success(verdict)]
    return all(failed) if winning == "any" else any(failed)


def _is_success(verdict: Verdict) -> bool:
    return verdict.gate.kind is GateKind.SUPERIORITY


def _is_unfit(verdict: Verdict) -> bool:
    """Whether a verdict that is not `pass` says that the evidence cannot be read at all."""
    if verdict.gate.kind in METRIC_GATES:
        effect = verdict.effect
        return effect is None or effect.low is None or effect.high is None
    return True


def _passed(winning: Winning) -> str:
    if winning == "any":
        return "A success metric and every other online gate passed."
    return "Every online gate passed."
