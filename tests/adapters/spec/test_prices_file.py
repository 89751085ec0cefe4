"""Price tables: exact amounts, or every fault."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.adapters.prices_file import BUILT_IN, PricesFile
from expplat.domain.price import ModelPrice, PriceTable
from expplat.errors import Fault, FaultsError, InputError


def read(folder: Path, text: str) -> PriceTable:
    (folder / "experiments").mkdir(exist_ok=True)
    (folder / "experiments" / "prices.yaml").write_text(text)
    return PricesFile().read(folder)


def faults_of(folder: Path, text: str) -> tuple[Fault, ...]:
    with pytest.raises(FaultsError) as caught:
        read(folder, text)
    assert caught.value.source == "experiments/prices.yaml"
    return caught.value.faults


def test_a_workspace_without_a_table_has_the_built_in_one(tmp_path):
    assert PricesFile().read(tmp_path) == BUILT_IN
    assert BUILT_IN.cpu_hour_usd == Decimal("0.05")


def test_amounts_are_exact_with_quotes_and_without(tmp_path):
    table = read(
        tmp_path,
        "as_of: 2026-03-01\n"
        "cpu_hour_usd: 0.10000000000000000000000001\n"
        "models:\n"
        "  small-1: {input_usd: '0.15', output_usd: 6e-1}\n"
        "  free: {input_usd: 0, output_usd: 0}\n",
    )

    assert table.as_of == "2026-03-01"
    assert table.cpu_hour_usd == Decimal("0.10000000000000000000000001")
    assert table.models == {
        "small-1": ModelPrice(input_usd=Decimal("0.15"), output_usd=Decimal("0.6")),
        "free": ModelPrice(input_usd=Decimal(0), output_usd=Decimal(0)),
    }


@given(st.decimals(0, 1_000_000, allow_nan=False, allow_infinity=False, places=12))
def test_any_amount_comes_back_digit_by_digit(tmp_path_factory, amount):
    folder = tmp_path_factory.mktemp("prices")
    table = read(folder, f"as_of: '2026-03-01'\ncpu_hour_usd: {amount:f}\n")

    assert table.cpu_hour_usd == amount


def test_all_faults_of_a_table_are_told_at_once_with_their_lines(tmp_path):
    faults = faults_of(
        tmp_path,
        "as_of: 2026-02-30\n"
        "cpu_hours_usd: 1\n"
        "models:\n"
        "  a: {input_usd: -1, output_usd: free}\n"
        "  b: {input_usd: 1}\n"
        "  c: 5\n"
        '  "d\\e": {input_usd: .inf, output_usd: "1_0"}\n',
    )

    assert [(fault.line, fault.field) for fault in faults] == [
        (0, "cpu_hour_usd"),
        (1, "as_of"),
        (2, "cpu_hours_usd"),
        (4, "models.a.input_usd"),
        (4, "models.a.output_usd"),
        (5, "models.b.output_usd"),
        (6, "models.c"),
        (7, "models['d\\x1b']"),
        (7, "models['d\\x1b'].input_usd"),
        (7, "models['d\\x1b'].output_usd"),
    ]


@pytest.mark.parametrize(
    "amount", ["NaN", "Infinity", "'1,5'", "0o17", "'٣'", "' 1'", "1e7", "true"]
)
def test_what_is_not_an_amount_is_a_fault(tmp_path, amount):
    (fault,) = faults_of(tmp_path, f"as_of: 2026-01-01\ncpu_hour_usd: {amount}\n")

    assert (fault.line, fault.field) == (2, "cpu_hour_usd")


@pytest.mark.parametrize("day", ["20260101", "2026-W01-1", "today", "2026", "2026-01-01T00:00:00Z"])
def test_a_day_is_written_with_year_month_and_day(tmp_path, day):
    (fault,) = faults_of(tmp_path, f"as_of: {day}\ncpu_hour_usd: 1\n")

    assert (fault.line, fault.field) == (1, "as_of")


def test_a_table_that_is_no_regular_file_is_refused(tmp_path):
    (tmp_path / "experiments" / "prices.yaml").mkdir(parents=True)

    with pytest.raises(InputError, match="is a folder"):
        PricesFile().read(tmp_path)
