"""Questions and rows that the tests of tables share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow
import pytest

from expplat.adapters.table import DuckTables
from expplat.adapters.table.table import DuckTable
from expplat.domain.question import AskedKind, AskedMetric, Question
from expplat.domain.tally import ArmTally, Tally

SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "abtests"


def shared_file(name: str) -> str:
    """Return a recorded test, or skip where it is not beside the checkout."""
    if not (SHARED / name).is_file():
        pytest.skip(f"the recorded test {name} is not beside the checkout")
    return str(SHARED / name)


def asked(kind: str, column: str, **more: object) -> AskedMetric:
    return AskedMetric(name=column, kind=AskedKind(kind), column=column, **more)  # type: ignore[arg-type]


def question(*metrics: AskedMetric, **more: object) -> Question:
    settings = {"variant": "variant", "control": "control", "unit": "user", "metrics": metrics}
    return Question(**(settings | more))  # type: ignore[arg-type]


def opened(source: Path | str) -> DuckTable:
    return DuckTables(threads=2).open(str(source), query=None, database=None)


def framed(**columns: object) -> DuckTable:
    return DuckTables(threads=2).open_frame(pyarrow.table(columns))


def written(folder: Path, text: str, name: str = "table.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def arm(tally: Tally, variant: str) -> ArmTally:
    (found,) = [one for one in tally.arms if one.variant == variant]
    return found


def drawn(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return a test with two variants, a few values missing, and a covariate that helps."""
    source = np.random.default_rng(seed)
    before = source.normal(10, 2, rows)
    spent = before + source.lognormal(0, 1, rows)
    return {
        "user": np.arange(rows),
        "variant": np.where(source.random(rows) < 0.5, "control", "b"),
        "before": before,
        "spent": np.where(source.random(rows) < 0.1, np.nan, spent),
        "bought": (source.random(rows) < 0.3).astype(np.int64),
        "clicks": source.poisson(3, rows).astype(float),
        "views": source.poisson(9, rows).astype(float) + 1,
        "day": source.integers(1, 13, rows),
        "shop": source.integers(0, rows // 20 + 1, rows),
    }
