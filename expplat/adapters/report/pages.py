"""What people look at, drawn by Jinja2 from the templates in `dashboards/`.

Pages carry no script, no inline style attribute and no address outside this server; everything that
comes from a file, a log or an event is escaped.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from expplat.adapters.report import breakdown_reading, svg_plots
from expplat.adapters.report.analysis_plots import looks_of, rows_of
from expplat.adapters.report.formatting import ends_text
from expplat.adapters.report.replay_view import view_of
from expplat.adapters.report.six_checks import six_checks
from expplat.adapters.report.story_line import (
    claimed_step,
    line_of,
    reaches_of,
    replayed_step,
)
from expplat.domain import wording
from expplat.domain.analysis import Analysis
from expplat.domain.gate import Effect
from expplat.domain.plain import canonical_json
from expplat.domain.poc import Stage
from expplat.domain.proposal import Proposal
from expplat.domain.replay import ReplayReport, joint_ruling
from expplat.domain.story import Story

LANES = (
    Stage.PROPOSED,
    Stage.REPLAYED,
    Stage.PROMOTED,
    Stage.GRADUATED,
    Stage.ROLLED_BACK,
    Stage.REJECTED,
)
"""Order of the overview: the way to production, then the two ways out."""

STYLESHEET = "expplat.css"


class Pages:
    """Draws the overview, the page of a POC, and a replay as a page that can be mailed."""

    def overview(self, stories: tuple[Story, ...], *, note: str = "") -> str:
        """Return the page of all POCs, by stage.

        Args:
            stories: In the order in which they are to stand within a stage.
            note: One sentence that stands on top, such as that the users are simulated.
        """
        lanes = [(stage, [_card(s) for s in stories if s.poc.stage is stage]) for stage in LANES]
        return self._draw("overview.html", lanes=lanes, note=note, count=len(stories))

    def poc_page(self, story: Story, *, note: str = "") -> str:
        """Return the page of one POC, with all its evidence.

        Args:
            story: What is known of it.
            note: One sentence that stands on top, such as that the users are simulated.
        """
        steps = line_of(story)
        return self._draw(
            "poc.html",
            story=story,
            note=note,
            steps=steps,
            reaches=reaches_of(steps),
            checks=six_checks(story),
            online=story.looks[-1] if story.looks else None,
            plots_of_looks=_looks_plots(story),
            tracking=tracking_link(story.tracking_address),
            view=view_of(story.replay, story.proposal) if story.replay else None,
        )

    def replay_page(self, report: ReplayReport, proposal: Proposal) -> str:
        """Return a replay as one self-contained page: style and plots are inside.

        It carries a policy of its own that allows its style and nothing else, so that it is as safe
        in a mail as it is behind a server.
        """
        steps = (claimed_step(proposal), replayed_step(proposal, report))
        return self._draw(
            "replay.html",
            proposal=proposal,
            style_hash=_source_hash(self._style_text),
            style=Markup(self._style_text),  # noqa: S704  (our own file, without `<`)
            steps=steps,
            reaches=reaches_of(steps),
            view=view_of(report, proposal),
        )

    def analysis_page(self, found: Analysis, *, source: str, command: str) -> str:
        """Return an analysis of a table as one self-contained page.

        Args:
            found: The answer.
            source: What was read.
            command: How to ask again.
        """
        return self._draw(
            "analysis.html",
            found=found,
            source=source,
            command=command,
            style=Markup(self._style_text),  # noqa: S704  (our own file, without `<`)
            rows=rows_of(found.comparisons),
            segments=rows_of(found.segments),
            looks=list(looks_of(found)),
        )

    def stylesheet(self) -> bytes:
        """Return the style of every page, to be served as `/static/expplat.css`."""
        return self._style_text.encode()

    @cached_property
    def _style_text(self) -> str:
        return (_dashboards() / STYLESHEET).read_text(encoding="utf-8")

    @cached_property
    def _environment(self) -> Environment:
        environment = Environment(
            loader=FileSystemLoader(_dashboards()),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= _FILTERS
        environment.globals |= {"forest": svg_plots.forest, "days_of": svg_plots.number_of_days}
        return environment

    def _draw(self, template: str, **values: Any) -> str:
        page = self._environment.get_template(template).render(**values)
        return page.encode(errors="replace").decode()  # a log may hold half a sign


def tracking_link(address: str | None) -> str | None:
    """Return where to click for MLflow; None for an address that is neither ours nor http(s)."""
    if address is None:
        return None
    if address.startswith("#/"):
        return f"/mlflow/{address}"
    return address if address.startswith(("http://", "https://")) else None


def _dashboards() -> Path:
    """Return the templates' folder: in the package where it was installed, else in the checkout."""
    packaged = Path(__file__).parents[1] / "dashboards"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "dashboards"


def _source_hash(text: str) -> str:
    """Return the hash by which a policy names an inline style."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _card(story: Story) -> dict[str, Any]:
    steps = line_of(story)
    reaches = reaches_of(steps)
    return {
        "story": story,
        "steps": steps,
        "plots": [
            (
                step.label,
                svg_plots.forest(step.effect, None, reaches[step.effect.unit])
                if step.effect
                else None,
            )
            for step in steps
        ],
        "ruling": joint_ruling(story.verdicts),
    }


def _looks_plots(story: Story) -> list[svg_plots.LooksPlot]:
    plots = (
        svg_plots.looks_plot(story.looks, gate)
        for gate in story.proposal.online.gates
        if gate.metric
    )
    return [plot for plot in plots if plot is not None]


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _day(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%d")


def _relative(effect: Effect) -> str:
    """Write what a typical request changed by, in percent, with its interval where it has one."""
    text = wording.change(effect.relative, wording.RELATIVE)
    if effect.relative_low is None or effect.relative_high is None:
        return text
    return f"{text} {wording.bounds(effect.relative_low, effect.relative_high, wording.RELATIVE)}"


def _share(effect: Effect) -> str:
    """Write the difference over control in percent; empty where control is nothing."""
    if effect.difference is None or not effect.control:
        return ""
    return wording.change(effect.difference / effect.control, wording.RELATIVE)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _params(params: Mapping[str, Any]) -> str:
    return canonical_json(params).decode() if params else "none"


_FILTERS = {
    "amount": wording.amount,
    "change": wording.change,
    "counted": wording.counted,
    "effect": wording.interval,
    "moment": _moment,
    "cost_per_1k": breakdown_reading.cost_per_1k,
    "day": _day,
    "declared": wording.limit,
    "ends": ends_text,
    "model_name": breakdown_reading.model_name,
    "paid": breakdown_reading.paid_words,
    "relative": _relative,
    "share": _share,
    "stage_name": breakdown_reading.stage_name,
    "mark": wording.MARKS.__getitem__,
    "plain": wording.declared,
    "words": _words,
    "params": _params,
    "number": wording.number,
}
