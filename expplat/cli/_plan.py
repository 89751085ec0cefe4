"""`expplat plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from expplat.cli import _plan_words as words
from expplat.cli._entry import command, platform
from expplat.cli._say import say, say_json, table
from expplat.cli._words import AsJson
from expplat.errors import InputError

if TYPE_CHECKING:
    from expplat.domain.planning import PlannedTest, ReplaySizes
    from expplat.domain.proposal import Proposal


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "plan")
    def plan_command(  # noqa: PLR0913  (one parameter an option)
        experiment: words.Experiment = None,
        replay: words.OfReplay = False,
        file: words.File = None,
        unit: words.Unit = None,
        metric: words.Metric = None,
        kind: words.Kind = None,
        baseline: words.Baseline = None,
        sd: words.Sd = None,
        min_effect: words.MinEffect = None,
        guardrails: words.Guardrails = None,
        guardrail: words.Guardrail = None,
        alpha: words.Alpha = None,
        power: words.Power = None,
        treatments: words.Treatments = None,
        plan: words.Reading = None,
        daily_units: words.DailyUnits = None,
        traffic_percent: words.TrafficPercent = None,
        cost_per_unit_usd: words.CostPerUnit = None,
        as_json: AsJson = False,
    ) -> None:
        """Say what a test takes before it starts.

        Units, days, dollars, power, and what can be found by when. A plan is advice: one that is
        not feasible says so, and the exit status stays 0.
        """
        numbers = _given(
            kind=kind, baseline=baseline, sd=sd, min_effect=min_effect, guardrails=guardrails,
            guardrail=guardrail or None, alpha=alpha, power=power, treatments=treatments, plan=plan,
        )  # fmt: skip
        comes = _given(
            daily_units=daily_units,
            traffic_percent=traffic_percent,
            cost_per_unit_usd=cost_per_unit_usd,
        )
        if file is not None:
            words.refuse(words.said_already(["file"] if experiment else []))
            numbers = _with_baseline(numbers, file, unit, metric)
        if replay:
            _tell_replay(_of_replay(experiment, numbers, comes), as_json=as_json)
        elif experiment is not None:
            _tell(_of_experiment(experiment, numbers, comes), as_json=as_json)
        else:
            _tell(_of_numbers(numbers, comes), as_json=as_json)


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _with_baseline(
    numbers: dict[str, Any], file: str, unit: str | None, metric: str | None
) -> dict[str, Any]:
    """Add what the success metric is by a file."""
    from expplat.flow.asking import Words, asked_metrics
    from expplat.flow.table_baseline import baseline_of
    from expplat.wiring import tables

    faults = [
        words.fault(name, "The file says it already.", "Leave it out.")
        for name in ("kind", "baseline", "sd")
        if name in numbers
    ]
    given = {"unit": unit, "metric": metric}
    faults += [
        words.fault(name, "A file needs it.", "Such as --unit user_id --metric sold=proportion.")
        for name, value in given.items()
        if value is None
    ]
    words.refuse(faults)
    (asked,) = asked_metrics(Words((metric or "",)))
    table_of_units = tables().open(file, query=None, database=None)
    return numbers | {"known": baseline_of(table_of_units, unit or "", asked)}


def _of_numbers(numbers: dict[str, Any], comes: dict[str, Any]) -> PlannedTest:
    from expplat.domain.planning import Traffic
    from expplat.flow.planning import plan_of_question
    from expplat.flow.planning_faults import faults_of

    question, faults = words.question_of(numbers)
    traffic = Traffic(**comes)
    words.refuse((*faults, *faults_of(question, traffic)))
    return plan_of_question(question, traffic)


def _of_experiment(experiment: str, numbers: dict[str, Any], comes: dict[str, Any]) -> PlannedTest:
    from expplat.domain.planning import Traffic
    from expplat.flow.planning import plan_of_online
    from expplat.flow.planning_faults import traffic_faults

    said = [*numbers, *(name for name in comes if name == "traffic_percent")]
    traffic = Traffic(**comes)
    words.refuse((*words.said_already(said), *traffic_faults(traffic)))
    proposal = _proposal(experiment)
    return plan_of_online(proposal.online, proposal.slug, traffic)


def _of_replay(
    experiment: str | None, numbers: dict[str, Any], comes: dict[str, Any]
) -> ReplaySizes:
    from expplat.flow.read import story
    from expplat.flow.replay_planning import sizes_of_replay

    joint_power = numbers.pop("power", 0.8)
    faults = list(words.said_already([*numbers, *comes]))
    if not 0 < joint_power < 1:
        faults.append(words.fault("power", f"{joint_power:g} does not lie between 0 and 1."))
    words.refuse(tuple(faults))
    if experiment is None or _is_file(experiment):
        raise InputError("--replay takes a POC.", hint="Such as `expplat plan my_poc --replay`.")
    here = platform()
    found = story(experiment, uow=here.uow(readonly=True), reader=here.spec_reader)
    return sizes_of_replay(found, joint_power)


def _proposal(experiment: str) -> Proposal:
    """Return the proposal of a file as it is, or of a POC as it was frozen."""
    from expplat.adapters.spec_file import read_regular_file
    from expplat.flow.read import story

    here = platform()
    if _is_file(experiment):
        return here.spec_reader.read(read_regular_file(Path(experiment)), experiment)
    return story(experiment, uow=here.uow(readonly=True), reader=here.spec_reader).proposal


def _is_file(experiment: str) -> bool:
    return "/" in experiment or Path(experiment).suffix in {".yaml", ".yml"}


def _tell(found: PlannedTest, *, as_json: bool) -> None:
    from expplat.domain.wording import limit, number

    if as_json:
        say_json(found)
        return
    if found.gates:
        table(
            ("gate", "tell apart", "units needed", "power", "smallest found"),
            (
                (
                    f"{gate.metric} (guardrail)" if gate.is_guardrail else gate.metric,
                    limit(gate.distance, gate.unit),
                    f"{gate.units_needed:,}",
                    f"{number(100 * gate.power)} %",
                    _limit(gate.smallest_effect, gate.unit),
                )
                for gate in found.gates
            ),
        )
    say(found.sentence)
    if found.weeks:
        _tell_weeks(found)
    for note in found.notes:
        say(f"  {note}")


def _tell_weeks(found: PlannedTest) -> None:
    units = {gate.metric: gate.unit for gate in found.gates}
    names = list(found.weeks[0].smallest_effects)
    table(
        ("weeks", "units", *(f"{name}, smallest found" for name in names)),
        (
            (
                str(row.weeks),
                f"{row.units:,}",
                *(_limit(row.smallest_effects[name], units.get(name, "")) for name in names),
            )
            for row in found.weeks
        ),
    )


def _tell_replay(found: ReplaySizes, *, as_json: bool) -> None:
    from expplat.domain.wording import limit, number

    if as_json:
        say_json(found)
        return
    table(
        ("gate", "tell apart", "sd of pairs", "requests", "power", "requests needed"),
        (
            (
                size.metric,
                limit(size.distance, size.unit),
                number(size.sd),
                f"{size.requests:,}",
                f"{number(100 * size.power)} %",
                f"{size.requests_needed:,}",
            )
            for size in found.gates
        ),
    )
    say(found.sentence)
    say(
        f"That costs {number(found.cost_usd)} USD. As many requests as this replay had tell all of "
        f"it apart with at least {number(100 * found.joint_power_at_least)} % power."
    )
    for note in found.notes:
        say(f"  {note}")


def _limit(value: float | None, unit: str) -> str:
    from expplat.domain.wording import NOTHING_YET, limit

    if value is None:
        return NOTHING_YET
    return limit(float(f"{value:.3g}"), unit)
