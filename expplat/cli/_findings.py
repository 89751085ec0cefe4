"""How an analysis is shown: a table, a forest plot in the terminal, JSON, a page."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from expplat.cli._columns import LONGEST_NAME, Column, cut, say_columns, say_wrapped
from expplat.cli._entry import GATE_NOT_PASSED
from expplat.cli._forest import say_forest
from expplat.cli._say import say, say_json

if TYPE_CHECKING:
    from expplat.domain.analysis import Analysis, Comparison, Finding, LookReading
    from expplat.domain.gate import Ruling


@contextmanager
def working(title: str) -> Iterator[None]:
    """Show on standard error that something goes on, where a person looks at it."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{title} …"):
        yield


def say_analysis(found: Analysis, *, source: str, report: Path | None, as_json: bool) -> None:
    """Show an analysis; exit with 1 where its verdict is not `pass`."""
    from expplat.domain.gate import Ruling

    if report is not None:
        from expplat.wiring import pages

        page = pages().analysis_page(found, source=source, command=_command())
        _write(report, page)
    if as_json:
        say_json(found)
    else:
        _tell(found)
        if report is not None:
            say(f"Report: {report}")
    if found.verdict.ruling is not Ruling.PASS:
        raise typer.Exit(GATE_NOT_PASSED)


def _command() -> str:
    """Return what was typed, without the password of a database: pages are mailed."""
    import re
    import shlex

    words = [re.sub(r"(://[^:/@\s]*:)[^@\s]*@", r"\1***@", word) for word in sys.argv[1:]]
    return shlex.join(["expplat", *words])


def _write(report: Path, page: str) -> None:
    from expplat.errors import InputError

    try:
        report.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{report} could not be written: {error.strerror}.", hint="Name another --report."
        ) from None


def _tell(found: Analysis) -> None:
    _comparisons(found.comparisons, found)
    say("")
    say_forest(found.comparisons)
    if found.looks:
        say("")
        _looks(found.looks)
    if found.segments:
        say("")
        _comparisons(found.segments, found)
    say("")
    for finding in found.health:
        _finding(finding)
    for name, warning in _warnings(found.comparisons):
        say_wrapped("  note      ", f"{name}: {warning}")
    say("")
    verdict = found.verdict
    say_wrapped(f"{_sign(verdict.ruling)}  ", verdict.sentence, verdict.ruling)


def _finding(finding: Finding) -> None:
    sentence = f"{finding.check}: {finding.sentence}"
    say_wrapped(f"  {_sign(finding.ruling):<9} ", sentence, finding.ruling)


def _warnings(comparisons: Sequence[Comparison]) -> Iterator[tuple[str, str]]:
    """Give each warning once, with all that it is about."""
    names: dict[str, list[str]] = {}
    for one in comparisons:
        for warning in one.warnings:
            names.setdefault(warning, []).append(f"{one.metric} · {one.variant}")
    for warning, about in names.items():
        more = f" and {len(about) - 1} more" if len(about) > 1 else ""
        yield f"{about[0]}{more}", warning


def _sign(ruling: Ruling) -> str:
    from expplat.domain.wording import MARKS

    return f"{MARKS[ruling]} {ruling}"


def _comparisons(rows: Sequence[Comparison], found: Analysis) -> None:
    from expplat.domain.wording import amount

    level = f"{100 * (1 - found.alpha):g} %"
    lifts = [one.relative for one in rows]
    is_alone = len({one.variant for one in rows}) == 1
    columns = (
        Column("ruling", [_sign(one.ruling) for one in rows]),
        _segments(rows),
        _names("metric", [one.metric for one in rows]),
        _names("variant", [one.variant for one in rows], rank=3 if is_alone else 0),
        Column(f"effect [{level}]", [_effect(one) for one in rows]),
        Column(f"p ({found.correction})", [_p(one.p_adjusted) for one in rows], rank=1),
        Column("control", [amount(one.control, one.unit) for one in rows], 2, is_right=True),
        Column("treatment", [amount(one.treatment, one.unit) for one in rows], 2, is_right=True),
        Column("lift", [_lift(lift) for lift in lifts], 3),
        Column("n", [f"{one.n_control:,} + {one.n_treatment:,}" for one in rows], rank=4),
    )
    say_columns(columns, [one.ruling for one in rows])


def _effect(one: Comparison) -> str:
    from expplat.domain.wording import bounds, change

    ends = ""
    if one.ci_low is not None and one.ci_high is not None:
        ends = f" {bounds(one.ci_low, one.ci_high, one.unit)}"
    return f"{change(one.effect, one.unit)}{ends}"


def _segments(rows: Sequence[Comparison]) -> Column:
    """Return the segments, under the name of their column."""
    parts = [(one.segment or "").partition("=") for one in rows]
    return _names(parts[0][0] if parts else "", [value for _, _, value in parts])


def _names(title: str, names: Sequence[str], rank: int = 0) -> Column:
    cells = [cut(name, LONGEST_NAME) for name in names]
    return Column(cut(title, LONGEST_NAME), cells, rank, is_name=True)


def _lift(value: float | None) -> str:
    from expplat.domain.wording import change

    return "" if value is None else change(100 * value, "%")


def _p(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def _looks(looks: Sequence[LookReading]) -> None:
    """Show the first, the last, and every look at which a ruling changed."""
    from expplat.domain.wording import number

    shown = list(_telling(looks))
    columns = (
        Column("ruling", [_sign(one.ruling) for one in shown]),
        _names("look", [one.look for one in shown]),
        _names("metric", [one.metric for one in shown]),
        _names("variant", [one.variant for one in shown]),
        Column("effect", [number(one.effect) for one in shown]),
        Column("over all looks", [_ends(one) for one in shown]),
        Column("read once, p", [_p(one.p_if_read_once) for one in shown], rank=2),
        Column("n", [f"{one.n_control + one.n_treatment:,}" for one in shown], rank=1),
    )
    say_columns(columns, [one.ruling for one in shown])


def _telling(looks: Sequence[LookReading]) -> Iterator[LookReading]:
    for key in dict.fromkeys((one.metric, one.variant) for one in looks):
        readings = [one for one in looks if (one.metric, one.variant) == key]
        for place, one in enumerate(readings):
            is_edge = place in (0, len(readings) - 1)
            if is_edge or one.ruling is not readings[place - 1].ruling:
                yield one


def _ends(one: LookReading) -> str:
    from expplat.domain.wording import number

    return "" if one.ci_low is None else f"[{number(one.ci_low)}, {number(one.ci_high)}]"
