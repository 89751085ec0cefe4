"""The line that every page leads with, claimed → replayed → online, in words.

Numbers themselves are written by `expplat.domain.wording`; this module only joins them.
"""

from __future__ import annotations

from expplat.domain.gate import Effect
from expplat.domain.metric import Metric
from expplat.domain.proposal import Claim, Proposal
from expplat.domain.wording import bounds, change, limit
from expplat.metrics.catalogue import built_in


def claim_text(claim: Claim, unit: str) -> str:
    """Write what the paper claims, with its interval where it gives one.

    Args:
        claim: In the metric's own unit.
        unit: Of the in-house metric that the claim is held against; empty where it is not known.
    """
    value = change(claim.effect, unit)
    if claim.effect_low is None or claim.effect_high is None:
        return f"{value} [no interval given]"
    return f"{value} {bounds(claim.effect_low, claim.effect_high, unit)}"


def signed(value: float, unit: str) -> str:
    """Write a place on an axis of differences: `+2 pp`, and `0` for no difference."""
    if value == 0:
        return "0"
    return f"{'+' if value > 0 else ''}{limit(value, unit)}"


def ends_text(effect: Effect) -> str:
    """Write the interval alone; says so where there is none."""
    if effect.low is None or effect.high is None:
        return "no interval given"
    return f"interval {bounds(effect.low, effect.high, effect.unit)}"


def arrow_line(*steps: tuple[str, str]) -> str:
    """Join labelled numbers to one line: `claimed +3 pp → replayed +2.1 pp [+0.4, +3.8]`."""
    return " → ".join(f"{label} {text}" for label, text in steps)


def metric_of(name: str, proposal: Proposal) -> Metric | None:
    """Return a metric of a proposal by name: declared in it, or built in; None if not known."""
    declared_ones = [metric for metric in proposal.metrics if isinstance(metric, Metric)]
    for metric in (*declared_ones, *proposal.online.metrics):
        if metric.name == name:
            return metric
    return built_in(name)
