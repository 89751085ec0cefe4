"""A Parquet of users for `analyze.py`: `python analyze_data.py FILE USERS`.

Five metrics with effects of 1 to 5 hundredths, one covariate that explains about a third of each.
Written a million users at a time, so that ten million need no more memory than one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

PART = 1_000_000
METRICS = ("m1", "m2", "m3", "m4", "m5")


def part(first: int, count: int) -> pa.Table:
    """Return the users from number `first` on; the same ones whatever the size of the table."""
    rng = np.random.default_rng([20_261_122, first])
    treated = rng.integers(0, 2, count, dtype=np.int8)
    before = rng.normal(10.0, 2.0, count)
    columns = {
        "user_id": pa.array(np.arange(first, first + count, dtype=np.int64)),
        "variant": pa.DictionaryArray.from_arrays(
            pa.array(treated, pa.int8()), ["control", "treatment"]
        ).cast(pa.string()),
        "pre": pa.array(before),
    }
    for number, metric in enumerate(METRICS, start=1):
        noise = rng.normal(0.0, 2.0, count)
        columns[metric] = pa.array(0.7 * before + noise + 0.01 * number * treated)
    return pa.table(columns)


def main(file: Path, users: int) -> None:
    """Write the users; a file that is there was written whole."""
    unfinished = file.with_suffix(".unfinished")
    with parquet.ParquetWriter(unfinished, part(0, 1).schema) as writer:
        for first in range(0, users, PART):
            writer.write_table(part(first, min(PART, users - first)), row_group_size=PART // 8)
    unfinished.rename(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
