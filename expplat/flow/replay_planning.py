"""planning of a replay: how many requests the next one needs, from what a finished one found."""

from __future__ import annotations

import math

from expplat.domain.gate import Effect, Gate, GateKind
from expplat.domain.planning import ReplaySize, ReplaySizes
from expplat.domain.replay import CONTROL, TREATMENT, ReplayReport
from expplat.domain.story import Story
from expplat.errors import InputError
from expplat.stats import power
from expplat.stats.distributions import critical_t, critical_z

FEWEST_REQUESTS = 2

PAIRED_T = "paired t"
"""The method whose interval has n − 1 degrees of freedom, and gives its spread back exactly."""


def sizes_of_replay(story: Story, joint_power: float) -> ReplaySizes:
    """Return the requests that tell what matters apart on all offline gates at once.

    A report keeps no single request but the worst and the best, so the spread of the paired
    differences is read off each effect's interval: exactly for a paired t, and roughly for the
    others, whose width is taken to fall with the root of the requests.

    Args:
        story: Of a POC with a finished replay.
        joint_power: Chance that all intervals exclude what they must: 0 where a gain is
            `min_effect`, the margin where nothing is harmed. Between 0 and 1.

    Raises:
        InputError: If there is no finished replay, or no gate of it has an interval.
        ValueError: If the power is out of range.
    """
    report, slug = story.replay, story.poc.slug
    if report is None:
        raise InputError(
            f"{slug} has no finished replay to plan by.", hint=f"`expplat replay {slug}` makes one."
        )
    gates = story.proposal.offline_gates
    each = power.power_of_each(joint_power, len(gates) - 1)
    sizes = tuple(size for gate in gates if (size := _size(gate, report, each)) is not None)
    if not sizes:
        raise InputError(
            f"The replay of {slug} holds too little to plan by: no gate's effect has an interval "
            "with a width.",
            hint="Replay more requests first; some of them must differ between the variants.",
        )
    joint = power.joint_power([size.power for size in sizes])
    needed = max(size.requests_needed for size in sizes)
    return ReplaySizes(
        slug=slug,
        replay_id=report.plan.replay_id,
        gates=sizes,
        requests_needed=needed,
        cost_usd=needed * _cost_of_request(report),
        joint_power=joint.independent,
        joint_power_at_least=joint.at_least,
        sentence=_sentence(sizes, needed, joint_power, report),
        notes=_notes(gates, sizes, report),
    )


def _size(gate: Gate, report: ReplayReport, each: float) -> ReplaySize | None:
    effect = report.effect_on(gate.metric or "")
    distance = gate.min_effect if gate.kind is GateKind.SUPERIORITY else gate.margin
    if effect is None or not distance or gate.segment:
        return None
    sd = spread_of(effect)
    if sd is None:
        return None
    is_two_sided = gate.kind is GateKind.EQUIVALENCE
    target = (1 + each) / 2 if is_two_sided else each
    needed = power.paired_requests(distance, sd, alpha=gate.alpha, power=target)
    # A metric that does not apply to every request needs a longer log.
    of_log = max(1.0, report.plan.requests / effect.n_control)
    found = power.paired_power(effect.n_control, distance, sd, alpha=gate.alpha)
    return ReplaySize(
        metric=effect.metric,
        unit=effect.unit,
        distance=distance,
        sd=sd,
        requests=effect.n_control,
        power=max(0.0, 2 * found - 1) if is_two_sided else found,
        requests_needed=max(FEWEST_REQUESTS, math.ceil(needed * of_log)),
    )


def spread_of(effect: Effect) -> float | None:
    """Return the standard deviation of the paired differences; None where no width shows it."""
    n, alpha = effect.n_control, effect.alpha
    if effect.low is None or effect.high is None or n < 2 or effect.high <= effect.low:
        return None
    if alpha is None:
        return None
    is_exact = effect.method == PAIRED_T
    critical = critical_t(alpha, n - 1) if is_exact else critical_z(alpha)
    return (effect.high - effect.low) / 2 / critical * math.sqrt(n)


def _cost_of_request(report: ReplayReport) -> float:
    """Return what one request cost through both variants, in USD; 0 where nothing was called."""
    arms = (report.arms[name] for name in (CONTROL, TREATMENT) if name in report.arms)
    return sum(float(arm.cost_usd) / arm.calls for arm in arms if arm.calls)


def _sentence(
    sizes: tuple[ReplaySize, ...], needed: int, joint_power: float, report: ReplayReport
) -> str:
    widest = max(sizes, key=lambda size: size.requests_needed)
    had = report.plan.requests
    aim = f"what matters is told apart on all gates together with {joint_power:.0%} power"
    if needed <= had:
        return f"This replay's {had:,} requests are enough: from {needed:,} on, {aim}."
    return f"Record {needed:,} requests, for {widest.metric}: then {aim}. This replay had {had:,}."


def _notes(
    gates: tuple[Gate, ...], sizes: tuple[ReplaySize, ...], report: ReplayReport
) -> tuple[str, ...]:
    sized = {size.metric for size in sizes}
    left_out = dict.fromkeys(gate.metric or "" for gate in gates if gate.metric not in sized)
    effects = [effect for name in sized if (effect := report.effect_on(name)) is not None]
    rough = sorted(effect.metric for effect in effects if effect.method != PAIRED_T)
    timed = sorted(effect.metric for effect in effects if effect.timed)
    notes = [f"{name} is not sized: its effect has no interval with a width." for name in left_out]
    if any(gate.kind is GateKind.SUPERIORITY and gate.metric in sized for gate in gates):
        notes.append(
            "A superiority gate also asks for an estimate of at least `min_effect`: a gain of just "
            "that size passes no more than half of the time, with however many requests."
        )
    if rough:
        notes.append(f"Roughly, for their intervals are no plain paired t: {', '.join(rough)}.")
    if timed:
        notes.append(
            "More requests do not take away the A/A noise that these must rise above: "
            f"{', '.join(timed)}."
        )
    return tuple(notes)
