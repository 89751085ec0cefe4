"""What a replay says in a terminal: verdicts, what moved, what it costs, where the report lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from expplat.cli._columns import LONGEST_NAME, Column, cut, say_columns, say_wrapped
from expplat.cli._say import say

if TYPE_CHECKING:
    from expplat.domain.gate import Verdict
    from expplat.domain.proposal import Proposal
    from expplat.domain.replay import ReplayReport

LOOKS = {"slower": ("▼", "fail"), "faster": ("▲", "pass"), "level": ("○", "")}
"""Sign of what a stage did, and the ruling whose colour it has."""


def say_replay(
    report: ReplayReport, proposal: Proposal, *, is_new: bool = True, lies_at: Sequence[str] = ()
) -> None:
    """Print a replay.

    Args:
        report: The replay.
        proposal: What it was judged by.
        is_new: Whether anything was measured just now.
        lies_at: Where more stands: paths and addresses, each with a word before it, such as
            `report: replays/r_01/report.html`.
    """
    from expplat.adapters.report.replay_reading import measured_text

    known = "" if is_new else " (judged before; nothing has changed since)"
    say_wrapped("", f"{proposal.slug}: {measured_text(report)}, both variants{known}.")
    if report.stopped:
        say_wrapped("", shown(report.stopped))
    say_gates(report.verdicts)
    _say_stages(report)
    _say_findings(report, proposal)
    for place in lies_at:
        say(place)


def say_gates(verdicts: Sequence[Verdict]) -> None:
    """Print verdicts, one below the other; sentences are broken between words."""
    from expplat.adapters.report.replay_reading import gate_name
    from expplat.domain.wording import MARKS

    for verdict in verdicts:
        first = f"  {MARKS[verdict.ruling]} {verdict.ruling:<7} "
        say_wrapped(first, shown(f"{gate_name(verdict)}: {verdict.sentence}"), verdict.ruling)


def shown(text: str) -> str:
    """Return a text on one line, without the signs that would move or colour the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _say_stages(report: ReplayReport) -> None:
    """Print what each stage did to the mean latency, from control's to treatment's."""
    from expplat.adapters.report.breakdown_reading import mean_latency, stage_name
    from expplat.adapters.report.svg_waterfall import stage_tone
    from expplat.domain.replay import CONTROL, TREATMENT
    from expplat.domain.wording import amount, interval

    stages = report.stages
    if not stages:
        return
    looks = [LOOKS[stage_tone(stage.mean)] for stage in stages]
    names = [
        cut(f"{sign} {shown(stage_name(stage.stage))}", LONGEST_NAME)
        for (sign, _), stage in zip(looks, stages, strict=True)
    ]
    control, treatment = (
        [*(amount(time.mean_ms, "ms") for time in times), amount(mean_latency(stages, arm), "ms")]
        for arm, times in (
            (CONTROL, [stage.control for stage in stages]),
            (TREATMENT, [stage.treatment for stage in stages]),
        )
    )
    columns = (
        Column("  stage (mean)", [*names, "  together"], is_name=True),
        Column("control", control, is_right=True),
        Column("treatment", treatment, is_right=True),
        Column("difference", [*(interval(stage.mean) for stage in stages), ""]),
    )
    say("")
    say_columns(columns, [*(ruling for _, ruling in looks), ""])


def _say_findings(report: ReplayReport, proposal: Proposal) -> None:
    from expplat.adapters.report import breakdown_reading as breakdown
    from expplat.adapters.report.replay_reading import claim_sentence
    from expplat.domain.wording import interval

    worst = breakdown.worst_segment(report)
    segment = (
        "" if worst is None else f"worst {worst.name}: {interval(worst.effect)}, {worst.standing}"
    )
    said = (
        ("latency", breakdown.what_moved(report.stages)),
        ("cost", breakdown.cost_change(report)),
        ("segment", segment),
        ("spread", breakdown.variance_text(report.variance)),
        ("answer", claim_sentence(report, proposal)),
    )
    say("")
    for title, text in said:
        if text:
            say_wrapped(f"{title:<8} ", shown(text))
