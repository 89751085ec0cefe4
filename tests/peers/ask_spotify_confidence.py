"""Ask spotify-confidence: z-tests, margins, Bonferroni, planned boundaries, the χ² of a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from answering import Questions, answer
from pandas import DataFrame
from spotify_confidence import StudentsTTest, ZTest
from spotify_confidence.analysis.frequentist.sample_ratio_test import sample_ratio_test
from spotify_confidence.analysis.frequentist.sequential_bound_solver import bounds

MARGIN = 0.05
"""Of control's mean."""

FAR = 8.0


def sums(columns: tuple[Sequence[float], Sequence[float]]) -> DataFrame:
    return DataFrame(
        {
            "variant": ["control", "treatment"],
            "sum": [sum(values) for values in columns],
            "squares": [sum(value * value for value in values) for values in columns],
            "units": [len(values) for values in columns],
        }
    )


def yes_or_no(pair: Sequence[Sequence[int]]) -> DataFrame:
    successes, units = zip(*pair, strict=True)
    return DataFrame(
        {
            "variant": ["control", "treatment"],
            "sum": successes,
            "squares": successes,
            "units": units,
        }
    )


def compared(test: Any, frame: DataFrame, alpha: float, margin: Any = None) -> dict[str, Any]:
    asked = test(
        frame,
        numerator_column="sum",
        numerator_sum_squares_column="squares",
        denominator_column="units",
        categorical_group_columns="variant",
        interval_size=1 - alpha,
    )
    found = asked.difference(
        level_1="control",
        level_2="treatment",
        absolute=True,
        non_inferiority_margins=margin,
    ).iloc[0]
    return {
        "estimate": found["difference"],
        "low": found["ci_lower"],
        "high": found["ci_upper"],
        "p": found["p-value"],
    }


def questioned(frame: DataFrame, alphas: Sequence[float]) -> dict[str, Any]:
    return {
        "z": {str(alpha): compared(ZTest, frame, alpha) for alpha in alphas},
        "t": {str(alpha): compared(StudentsTTest, frame, alpha) for alpha in alphas},
        "margin": compared(ZTest, frame, 0.05, (MARGIN, "increase")),
        "margin of less": compared(ZTest, frame, 0.05, (MARGIN, "decrease")),
    }


def bonferroni(frame: DataFrame) -> dict[str, Any]:
    """Treatment, shown twice, against one control: each interval at half of alpha."""
    third = frame.iloc[1].copy()
    third["variant"] = "treatment_b"
    asked = ZTest(
        DataFrame([frame.iloc[0], frame.iloc[1], third]),
        numerator_column="sum",
        numerator_sum_squares_column="squares",
        denominator_column="units",
        categorical_group_columns="variant",
        interval_size=0.95,
        correction_method="bonferroni",
    )
    found = asked.multiple_difference(level="control", level_as_reference=True, absolute=True)
    row = found[found["level_2"] == "treatment"].iloc[0]
    return {
        "low": row["adjusted ci_lower"],
        "high": row["adjusted ci_upper"],
        "p": row["adjusted p-value"],
    }


def split_p(split: dict[str, list[float]]) -> float:
    names = [f"variant {number}" for number in range(len(split["counts"]))]
    frame = DataFrame({"variant": names, "units": split["counts"]})
    shares = dict(zip(names, split["shares"], strict=True))
    return sample_ratio_test(frame, ["variant"], "units", shares)[0]


def boundary(plan: dict[str, Any], alpha: float) -> list[float]:
    times = np.array(plan["fractions"])
    return list(bounds(times, alpha=alpha, rho=plan["rho"], ztrun=FAR, sides=2).bounds)


def ask(questions: Questions) -> dict[str, Any]:
    alphas = questions["alphas"]
    frames = {
        name: sums((sample["control"]["value"], sample["treatment"]["value"]))
        for name, sample in questions["samples"].items()
    }
    shares = {name: yes_or_no(pair) for name, pair in questions["counts"].items()}
    return {
        "mean": {name: questioned(frame, alphas) for name, frame in frames.items()},
        "proportion": {name: questioned(frame, alphas) for name, frame in shares.items()},
        "bonferroni": {name: bonferroni(frame) for name, frame in frames.items()},
        "split": {name: split_p(split) for name, split in questions["splits"].items()},
        "boundary": {
            name: {str(alpha): boundary(plan, alpha) for alpha in alphas}
            for name, plan in questions["plans"].items()
        },
    }


if __name__ == "__main__":
    answer("spotify-confidence", ask)
