"""Calls of one variant, added up as they come: counts, tokens and money."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from expplat.domain.breakdown import CPU, CostLine
from expplat.domain.call import Usage
from expplat.domain.price import PriceTable
from expplat.domain.replay import CallRecord

RECORDED = "recorded"
"""Stands where a model does for what a log says that a call cost without saying what for."""

UNEXPLAINED = 1e-9
"""Share of an arm's cost below which what its lines leave over is rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTotals:
    """What the calls of one variant add up to."""

    calls: int = 0
    errors: Mapping[str, int]
    """By error kind; kinds that did not occur are left out."""

    refusals: int = 0
    cost_usd: Decimal = Decimal(0)
    """Exact."""

    cpu_ms: float = 0.0
    stages_cpu_ms: Mapping[str, float]
    usages: tuple[Usage, ...] = ()
    """One a stage and model, by their names, with all tokens."""

    timed_calls: int = 0
    kept_calls: int = 0
    repeated_attempts: int = 0
    """Attempts beyond the first of each call."""


class CallCounter:
    """Adds the calls of one variant up."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._cost_usd = Decimal(0)
        self._cpu_ms = 0.0
        self._stages_cpu_ms: dict[str, float] = {}
        self._tokens: dict[tuple[str, str], tuple[int, int]] = {}

    def add(self, record: CallRecord) -> None:
        """Count one call; a kept answer counts with what it cost when it was paid for."""
        counts = self._counts
        counts["calls"] += 1
        counts["refusals"] += record.refused
        counts["timed"] += record.is_timed
        counts["kept"] += record.is_kept
        counts["repeated"] += record.attempts - 1
        if record.error is not None:
            self._errors[record.error.value] += 1
        self._cost_usd += record.cost_usd
        self._cpu_ms += record.cpu_ms
        for stage, spent_ms in record.stages_cpu_ms.items():
            self._stages_cpu_ms[stage] = self._stages_cpu_ms.get(stage, 0.0) + spent_ms
        for usage in record.usages:
            key = usage.stage, usage.model
            taken, given = self._tokens.get(key, (0, 0))
            self._tokens[key] = taken + usage.input_tokens, given + usage.output_tokens

    def totals(self) -> CallTotals:
        """Return what was added up so far."""
        return CallTotals(
            calls=self._counts["calls"],
            errors=dict(sorted(self._errors.items())),
            refusals=self._counts["refusals"],
            cost_usd=self._cost_usd,
            cpu_ms=self._cpu_ms,
            stages_cpu_ms=dict(sorted(self._stages_cpu_ms.items())),
            usages=tuple(
                Usage(stage=stage, model=model, input_tokens=taken, output_tokens=given)
                for (stage, model), (taken, given) in sorted(self._tokens.items())
            ),
            timed_calls=self._counts["timed"],
            kept_calls=self._counts["kept"],
            repeated_attempts=self._counts["repeated"],
        )


def cost_lines(totals: CallTotals, prices: PriceTable) -> tuple[CostLine, ...]:
    """Return what the calls cost by stage and model, the dearest first; nothing without calls.

    Tokens stand under the stage that they were booked in, CPU time under the stage that spent it,
    and the rest of the CPU time under the stage "". Stages that lie within one another are timed in
    both, so that the rest is too small by as much. The lines add up to `totals.cost_usd`; what they
    cannot explain, as where a log holds a bare sum, is a line of the model `recorded`.
    """
    if not totals.calls:
        return ()
    per_1k = 1_000 / totals.calls
    lines = [
        CostLine(
            stage=usage.stage,
            model=usage.model,
            usd_per_1k=per_1k * _model_usd(usage, prices),
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
        )
        for usage in totals.usages
    ]
    rest_ms = totals.cpu_ms - sum(totals.stages_cpu_ms.values())
    for stage, spent_ms in {**totals.stages_cpu_ms, "": rest_ms}.items():
        if abs(spent_ms) > UNEXPLAINED * totals.cpu_ms:
            usd = float(prices.cost_usd(cpu_ms=spent_ms, usages=()))
            lines.append(CostLine(stage=stage, model=CPU, usd_per_1k=per_1k * usd))
    whole = per_1k * float(totals.cost_usd)
    left = whole - sum(line.usd_per_1k for line in lines)
    if abs(left) > UNEXPLAINED * whole:
        lines.append(CostLine(stage="", model=RECORDED, usd_per_1k=left))
    return tuple(sorted(lines, key=lambda line: (-line.usd_per_1k, line.stage, line.model)))


def _model_usd(usage: Usage, prices: PriceTable) -> float:
    """Return what tokens cost; 0 for a model without a price, which a log may name."""
    if usage.model not in prices.models:
        return 0.0
    return float(prices.cost_usd(cpu_ms=0.0, usages=(usage,)))
