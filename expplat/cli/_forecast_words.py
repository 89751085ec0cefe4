"""How a forecast of a replay is put to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from expplat.cli._say import say, table
from expplat.domain.wording import amount, counted, limit, number

if TYPE_CHECKING:
    from expplat.domain.forecast import Forecast, GateForecast, RepeatForecast


def tell_forecast(found: Forecast) -> None:
    """Print what a replay will take, and what it can tell."""
    say(
        f"{found.slug}: {counted(found.requests, 'request')}, {counted(found.calls, 'call')}, "
        f"{found.calls_left:,} of them still to be made."
    )
    if found.usd is None or found.minutes is None:
        say(
            "What they cost and tell is not known before a first replay. A small budget, "
            f"as in `expplat replay {found.slug} --budget-minutes 1`, shows it; no call is wasted."
        )
    else:
        say(
            f"Expected: {amount(found.usd, 'usd')} and {number(found.minutes)} minutes, by the "
            f"replay {found.learnt_from}."
        )
    table(("gate on", "asks for", "tells apart", "requests", "enough"), map(_gate, found.gates))
    if found.repeats:
        say("Answering each request more than once:")
        table(("repeats", "calls", "USD", "tells apart"), map(_repeat, _pairs(found)))


def _gate(gate: GateForecast) -> tuple[str, ...]:
    enough = {True: "yes", False: "no", None: "not known"}[gate.is_enough]
    told = "–" if gate.smallest_effect is None else _rounded(gate.smallest_effect, gate.unit)
    name = f"{gate.metric} in {gate.segment}" if gate.segment else gate.metric
    return name, limit(gate.asked, gate.unit), told, f"{gate.requests:,}", enough


def _pairs(found: Forecast) -> list[tuple[RepeatForecast, str]]:
    return [(repeat, found.primary_unit) for repeat in found.repeats]


def _repeat(pair: tuple[RepeatForecast, str]) -> tuple[str, ...]:
    repeat, unit = pair
    told = _rounded(repeat.smallest_effect, unit)
    return f"{repeat.repeats}", f"{repeat.calls:,}", number(repeat.usd), told


def _rounded(value: float, unit: str) -> str:
    """Write a size to three digits."""
    return limit(float(f"{value:.3g}"), unit)
