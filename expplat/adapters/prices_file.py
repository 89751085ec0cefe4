"""The price table of a workspace: `experiments/prices.yaml`."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le, Len

from expplat.adapters.spec_file import (
    Document,
    Structure,
    faults_of,
    read_document,
    read_regular_file,
)
from expplat.domain.plain import READ_STRICTLY
from expplat.domain.price import ModelPrice, PriceTable
from expplat.domain.proposal_rules import Finding, Findings, shown, text_faults
from expplat.errors import FaultsError

PLACE = ("experiments", "prices.yaml")
"""Where the table lies in a workspace."""

BUILT_IN = PriceTable(as_of="2026-01-01", cpu_hour_usd=Decimal("0.05"))
"""What counts where a workspace has no table: 0.05 USD for an hour of one CPU core. That is an
assumption of ours, the round order of magnitude of a rented core, and no provider's price; there
is no price of any model, so that a model's call without a table is an error."""

AMOUNT = re.compile(r"[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?", re.ASCII)

Usd = Annotated[Decimal, Ge(0), Le(1_000_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ModelFields:
    """What one model costs."""

    __pydantic_config__ = READ_STRICTLY

    input_usd: Usd
    """USD per million input tokens."""

    output_usd: Usd
    """USD per million output tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _PriceFields:
    """The whole file."""

    __pydantic_config__ = READ_STRICTLY

    as_of: str
    """The day the prices were taken, YYYY-MM-DD."""

    cpu_hour_usd: Usd
    """USD of one hour of one CPU core."""

    models: Mapping[Annotated[str, Len(1, 200)], _ModelFields] = field(default_factory=dict)
    """Each model's name, as the variants book it, with its two prices."""


class PricesFile:
    """Reads price tables."""

    def read(self, workspace: Path) -> PriceTable:
        """Return the workspace's table; the built-in one where it has none.

        Amounts are exact: every digit counts as it is written, in quotes or without.

        Raises:
            FaultsError: If the file has faults; all of them.
            InputError: If it is not a regular file, or cannot be read.
        """
        path = workspace.joinpath(*PLACE)
        if not os.path.lexists(path):
            return BUILT_IN
        source = "/".join(PLACE)
        document = read_document(read_regular_file(path), source)
        data = _exact(document)
        fields, structural = _structure().check(data)
        faults = faults_of(document, structural, _rule_faults(data))
        if faults or fields is None:
            raise FaultsError(source, faults)
        return _table(fields)


def _exact(document: Document) -> dict[str, Any]:
    """Return the data with its numbers as they were written: a float would lose digits."""
    data = copy.deepcopy(document.value)
    for path, text in document.numbers.items():
        holder: Any = data
        for part in path[:-1]:
            holder = holder[part]
        holder[path[-1]] = text
    return data


def _rule_faults(data: Mapping[str, Any]) -> Findings:
    yield from text_faults(data)
    as_of = data.get("as_of")
    if isinstance(as_of, str) and not _is_day(as_of):
        yield Finding(("as_of",), f"{shown(as_of)} is not a day.", "Write YYYY-MM-DD.")
    for path, amount in _amounts(data):
        if isinstance(amount, str) and not AMOUNT.fullmatch(amount):
            yield Finding(path, f"{shown(amount)} is not an amount.", "Write digits, as 0.15.")


def _amounts(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], object]]:
    yield ("cpu_hour_usd",), data.get("cpu_hour_usd")
    models = data.get("models")
    for name, model in models.items() if isinstance(models, dict) else ():
        for side in ("input_usd", "output_usd"):
            yield ("models", name, side), model.get(side) if isinstance(model, dict) else None


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _table(fields: _PriceFields) -> PriceTable:
    models = {
        name: ModelPrice(input_usd=model.input_usd, output_usd=model.output_usd)
        for name, model in fields.models.items()
    }
    return PriceTable(as_of=fields.as_of, cpu_hour_usd=fields.cpu_hour_usd, models=models)


@cache
def _structure() -> Structure[_PriceFields]:
    return Structure(_PriceFields)
