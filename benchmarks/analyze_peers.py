"""The peers of `analyze.py`: each is one cold process that prints its effects as JSON.

`python analyze_peers.py NAME FILE`, in the environment that `make peers` builds; statsmodels in
ours. All of them answer what `expplat analyze` is asked: the difference of means of five metrics,
treatment less control, adjusted for one covariate, with its interval and p-value.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

METRICS = ("m1", "m2", "m3", "m4", "m5")
COVARIATE = "pre"


def gbstats(file: str) -> dict[str, float]:
    """DuckDB adds up raw sums; gbstats takes them from there."""
    import duckdb
    from gbstats.frequentist.tests import FrequentistConfig, TwoSidedTTest
    from gbstats.models.statistics import RegressionAdjustedStatistic, SampleMeanStatistic

    columns = (*METRICS, COVARIATE)
    sums = ", ".join(
        [f"sum({c}), sum({c} * {c})" for c in columns]
        + [f"sum({metric} * {COVARIATE})" for metric in METRICS]
    )
    query = f"SELECT variant, count(*), {sums} FROM read_parquet(?) GROUP BY variant"
    rows = {row[0]: row[1:] for row in duckdb.execute(query, [file]).fetchall()}

    def arm(variant: str, place: int) -> Any:
        n, *found = rows[variant]
        parts = [
            SampleMeanStatistic(n=n, sum=found[2 * at], sum_squares=found[2 * at + 1])
            for at in (place, len(METRICS))
        ]
        return RegressionAdjustedStatistic(
            n=n,
            post_statistic=parts[0],
            pre_statistic=parts[1],
            post_pre_sum_of_products=found[2 * len(columns) + place],
            theta=0.0,
        )

    config = FrequentistConfig(difference_type="absolute")
    return {
        metric: float(
            TwoSidedTTest(arm("control", place), arm("treatment", place), config)
            .compute_result()
            .expected
        )
        for place, metric in enumerate(METRICS)
    }


def _tea_tasting(data: Any) -> dict[str, float]:
    import tea_tasting as tt

    asked = {metric: tt.Mean(metric, covariate=COVARIATE) for metric in METRICS}
    found = tt.Experiment(asked, variant="variant").analyze(data, control="control")
    return {metric: float(found[metric].effect_size) for metric in METRICS}


def tea_tasting_polars(file: str) -> dict[str, float]:
    """A lazy Polars frame, which reads what is needed and no more."""
    import polars

    return _tea_tasting(polars.scan_parquet(file))


def tea_tasting_duckdb(file: str) -> dict[str, float]:
    """DuckDB by way of Ibis."""
    import ibis

    return _tea_tasting(ibis.duckdb.connect().read_parquet(file))


def tea_tasting_pandas(file: str) -> dict[str, float]:
    """A pandas frame of the columns that are needed."""
    import pandas as pd

    return _tea_tasting(pd.read_parquet(file, columns=["variant", COVARIATE, *METRICS]))


def statsmodels(file: str) -> dict[str, float]:
    """Least squares on treatment and covariate with robust errors, metric by metric.

    Its slope comes from within the variants, where CUPED takes all units together: the effect is
    the same up to a small part of its standard error.
    """
    import numpy as np
    import pandas as pd
    from statsmodels.regression.linear_model import OLS

    frame = pd.read_parquet(file, columns=["variant", COVARIATE, *METRICS])
    design = np.column_stack(
        [
            np.ones(len(frame)),
            (frame["variant"] == "treatment").to_numpy(dtype=np.float64),
            frame[COVARIATE].to_numpy(),
        ]
    )
    fits = {metric: OLS(frame[metric].to_numpy(), design).fit(cov_type="HC1") for metric in METRICS}
    for fit in fits.values():
        fit.conf_int(), fit.pvalues
    return {metric: float(fit.params[1]) for metric, fit in fits.items()}


PEERS: dict[str, Callable[[str], dict[str, float]]] = {
    "gbstats on DuckDB sums": gbstats,
    "tea-tasting, Polars lazy": tea_tasting_polars,
    "tea-tasting, DuckDB": tea_tasting_duckdb,
    "tea-tasting, pandas": tea_tasting_pandas,
    "statsmodels OLS": statsmodels,
}

if __name__ == "__main__":
    json.dump(PEERS[sys.argv[1]](sys.argv[2]), sys.stdout)
