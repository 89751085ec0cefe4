"""The answer of a replay in words: what page, Markdown and terminal say alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from expplat.adapters.report.formatting import arrow_line, claim_text, metric_of
from expplat.adapters.report.svg_scale import finite
from expplat.domain.gate import Effect, Ruling, Verdict
from expplat.domain.proposal import Proposal
from expplat.domain.replay import ReplayReport
from expplat.domain.wording import MINUS, counted, interval, number

NAMED = 3
"""Gates, stages and the like that a sentence names; of the rest it says how many there are."""


class Standing(StrEnum):
    """Where an interval lies, whether or not a gate asks."""

    HARMED = "harmed"
    BETTER = "better"
    OPEN = "open"

    @property
    def mark(self) -> str:
        """A sign, so that colour never speaks alone."""
        return {"harmed": "▼", "better": "▲", "open": "○"}[self.value]

    @property
    def tone(self) -> str:
        """The colour that it shares with a ruling."""
        return {"harmed": "fail", "better": "pass", "open": "plain"}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """How much of a paper's claim the replay found again."""

    ratio: float | None
    """Replayed effect over claimed effect; None where the two are not comparable."""

    low: float | None = None
    high: float | None = None

    note: str
    """How the ratio is to be read, or why there is none."""

    @property
    def ends(self) -> str:
        """The interval in percent, such as `[−116, +172]`; empty where it has none."""
        if self.low is None or self.high is None:
            return ""
        return f"[{_percent(self.low, plus=True)}, {_percent(self.high, plus=True)}]"

    @property
    def value(self) -> str:
        """The ratio in percent, such as `29 %`; `–` where there is none."""
        return "–" if self.ratio is None else f"{_percent(self.ratio)} %"

    @property
    def text(self) -> str:
        """Such as `29 % [−116, +172] of the claim`; where there is no ratio, why."""
        if self.ratio is None:
            return self.note
        return " ".join(part for part in (self.value, self.ends, "of the claim") if part)


def reproduction_of(report: ReplayReport, proposal: Proposal) -> Reproduction:
    """Return the replayed effect over the claimed one, where both are fractions.

    The claim is taken as exact: its own interval, where the paper gives one, is not in the ratio's.
    A claim of +3 points of which the replay finds +0.9 [-3.5, +5.2] is 29 % [-116, +172].
    """
    claim = proposal.paper.claim
    primary = proposal.problem.primary_metric
    effect = report.effect_on(primary)
    why_not = _not_comparable(effect, primary, proposal)
    if effect is None or effect.difference is None or why_not:
        return Reproduction(ratio=None, note=why_not)
    shares = [
        None if end is None else end / claim.effect
        for end in (effect.difference, finite(effect.low), finite(effect.high))
    ]
    if claim.effect < 0:
        shares = [shares[0], shares[2], shares[1]]
    note = f"{primary} here, {claim.metric} there; the claim is taken as exact."
    return Reproduction(ratio=shares[0], low=shares[1], high=shares[2], note=note)


def _not_comparable(effect: Effect | None, primary: str, proposal: Proposal) -> str:
    """Return why the two numbers make no ratio; empty where they do."""
    metric = metric_of(primary, proposal)
    unit = metric.unit if metric else effect.unit if effect else ""
    if effect is None or finite(effect.difference) is None:
        return f"There is no replayed effect on {primary} to hold against the claim."
    if unit != "fraction":
        counted_in = f"counted in {unit}" if unit else "without a unit"
        return f"Not comparable: {primary} is {counted_in}, and the claim is about another scale."
    if proposal.paper.claim.effect == 0:
        return "Not comparable: the claim is no difference at all."
    if abs(proposal.paper.claim.effect) > 1:
        return "Not comparable: the claim is no fraction, as it is larger than 1."
    return ""


def standing_of(effect: Effect) -> Standing:
    """Say whether an interval lies wholly on one side of no difference, and beyond the A/A noise.

    Args:
        effect: On any metric, in its unit; the side that is better is the metric's.
    """
    if effect.difference is None or effect.low is None or effect.high is None:
        return Standing.OPEN
    floor = (effect.noise_low, effect.noise_high)
    if floor[0] is not None and floor[1] is not None and floor[0] <= effect.difference <= floor[1]:
        return Standing.OPEN
    low, high = sorted((effect.sign * effect.low, effect.sign * effect.high))
    if low > 0:
        return Standing.BETTER
    return Standing.HARMED if high < 0 else Standing.OPEN


def headline(report: ReplayReport) -> str:
    """Return in a sentence what stands in the way of promotion."""
    if not report.verdicts:
        return "No gate was judged, so nothing is proven."
    if not report.blockers:
        return f"Nothing stands in the way: {_passed(len(report.verdicts))}."
    failed = _names(v for v in report.blockers if v.ruling is Ruling.FAIL)
    open_ = _names(v for v in report.blockers if v.ruling is not Ruling.FAIL)
    parts = [
        f"{words} {_listed(names)}"
        for words, names in (("failed:", failed), ("not known:", open_))
        if names
    ]
    verb = "stands" if len(report.blockers) == 1 else "stand"
    of_all = f"{len(report.blockers)} of {counted(len(report.verdicts), 'gate')}"
    return f"{of_all} {verb} in the way; {'; '.join(parts)}."


def claim_sentence(report: ReplayReport, proposal: Proposal) -> str:
    """Return the line that every answer leads with: claimed, replayed, and the ratio of the two.

    Such as `claimed nDCG@10 +3 pp → replayed recall_at_5 +0.9 pp [−3.5, +5.2]: 29 % [−116, +172]
    of the claim`.
    """
    claim = proposal.paper.claim
    primary = proposal.problem.primary_metric
    metric = metric_of(primary, proposal)
    line = arrow_line(
        (f"claimed {claim.metric}", claim_text(claim, metric.unit if metric else "")),
        (f"replayed {primary}", interval(report.effect_on(primary))),
    )
    found = reproduction_of(report, proposal)
    return f"{line}: {found.text}" if found.ratio is not None else f"{line}. {found.note}"


def gate_name(verdict: Verdict) -> str:
    """Name a gate, such as `superiority of recall_at_5 in topic=syntax`."""
    gate = verdict.gate
    judged = verdict.effect.segment if verdict.effect else ""
    segment = judged or gate.segment
    words = gate.kind.value.replace("_", " ")
    words += f" of {gate.metric}" if gate.metric else ""
    return words + (f" in {segment}" if segment else "")


def measured_text(report: ReplayReport) -> str:
    """Say how many requests were measured, and why not all where that is so."""
    asked = report.plan.requests
    if not report.measured or report.measured == asked:
        text = counted(asked, "request")
    else:
        text = f"{report.measured:,} of {counted(asked, 'request')}"
    repeats = report.plan.measurement.repeats
    return text + (f", {repeats} answers each" if repeats > 1 else "")


def _passed(count: int) -> str:
    return "the one gate passed" if count == 1 else f"all {count} gates passed"


def _names(verdicts: Iterable[Verdict]) -> list[str]:
    return [gate_name(verdict) for verdict in verdicts]


def _listed(names: list[str]) -> str:
    rest = len(names) - NAMED
    shown = ", ".join(names[:NAMED])
    return f"{shown} and {rest} more" if rest > 0 else shown


def _percent(share: float, *, plus: bool = False) -> str:
    """Write a share in percent: whole ones from ten on."""
    value = share * 100
    text = f"{abs(value):,.0f}" if 10 <= abs(value) < 1e9 else number(abs(value))
    sign = MINUS if value < 0 and text != "0" else "+" if plus and value > 0 else ""
    return sign + text
