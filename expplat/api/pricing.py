"""What model calls cost, by the price table that the workspace has now."""

from __future__ import annotations

import logging
from functools import lru_cache, partial
from pathlib import Path

from expplat.adapters.prices_file import BUILT_IN, PLACE, PricesFile
from expplat.adapters.wire.otlp import Cost
from expplat.domain.call import Usage
from expplat.domain.price import PriceTable
from expplat.errors import InputError

log = logging.getLogger("expplat.telemetry")


def cost_in(workspace: Path) -> Cost:
    """Return what prices a call of a model; the table is read again when its file was changed."""
    try:
        changed_ns = workspace.joinpath(*PLACE).stat().st_mtime_ns
    except OSError:
        changed_ns = 0
    return partial(_cost_usd, _table(workspace, changed_ns))


@lru_cache(maxsize=8)
def _table(workspace: Path, changed_ns: int) -> PriceTable:
    del changed_ns  # part of the key
    try:
        return PricesFile().read(workspace)
    except InputError as error:
        # The senders can mend nothing of it, and their events must not wait for who can.
        log.warning("No call has a price: %s", error.message)
        return BUILT_IN


def _cost_usd(table: PriceTable, model: str, input_tokens: int, output_tokens: int) -> float | None:
    if model not in table.models:
        return None
    usage = Usage(model=model, input_tokens=input_tokens, output_tokens=output_tokens)
    return float(table.cost_usd(cpu_ms=0.0, usages=[usage]))
