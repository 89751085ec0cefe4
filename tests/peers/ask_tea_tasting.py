"""Ask tea-tasting: means, ratios of means, CUPED, proportions, adjusted p-values, splits.

Data goes in as pandas frames: on Arrow tables its variances are wrong, and differ from run to run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tea_tasting as tt
from answering import Questions, answer
from pandas import DataFrame, concat

SHOWN = {
    "effect_size": "estimate",
    "effect_size_ci_lower": "low",
    "effect_size_ci_upper": "high",
    "rel_effect_size": "relative",
    "rel_effect_size_ci_lower": "relative low",
    "rel_effect_size_ci_upper": "relative high",
    "pvalue": "p",
}


def frame_of(sample: dict[str, dict[str, list[float]]]) -> DataFrame:
    arms = [
        DataFrame(sample[name]).assign(variant=number)
        for number, name in enumerate(("control", "treatment"))
    ]
    return concat(arms, ignore_index=True)


def shown(found: Any) -> dict[str, float]:
    return {word: getattr(found, name) for name, word in SHOWN.items()}


def metrics(alpha: float) -> dict[str, Any]:
    level = {"confidence_level": 1 - alpha}
    ratio = ("value", "parts", "pre")
    return {
        f"mean t {alpha}": tt.Mean("value", **level),
        f"mean z {alpha}": tt.Mean("value", use_t=False, **level),
        f"cuped t {alpha}": tt.Mean("value", covariate="pre", **level),
        f"cuped z {alpha}": tt.Mean("value", covariate="pre", use_t=False, **level),
        f"ratio t {alpha}": tt.RatioOfMeans("value", "parts", **level),
        f"ratio z {alpha}": tt.RatioOfMeans("value", "parts", use_t=False, **level),
        f"ratio cuped t {alpha}": tt.RatioOfMeans(*ratio, **level),
        f"ratio cuped z {alpha}": tt.RatioOfMeans(*ratio, use_t=False, **level),
    }


def compared(sample: dict[str, Any], alphas: Sequence[float]) -> dict[str, Any]:
    asked = {name: metric for alpha in alphas for name, metric in metrics(alpha).items()}
    found = tt.Experiment(asked).analyze(frame_of(sample))
    return {name: shown(found[name]) for name in asked}


def shares(pair: Sequence[Sequence[int]], alphas: Sequence[float]) -> dict[str, Any]:
    values = [[1] * successes + [0] * (n - successes) for successes, n in pair]
    plain = {"correction": False}
    asked = {
        f"{name} {alpha}": tt.Proportion(
            "value", method="norm", equal_var=pooled, confidence_level=1 - alpha, **plain
        )
        for alpha in alphas
        for name, pooled in (("pooled", True), ("unpooled", False))
    }
    asked["pearson"] = tt.Proportion("value", method="pearson", **plain)
    sample = {"control": {"value": values[0]}, "treatment": {"value": values[1]}}
    found = tt.Experiment(asked).analyze(frame_of(sample))
    return {name: shown(found[name]) for name in asked}


def split_p(counts: Sequence[int], planned: Sequence[float]) -> float:
    data = {"variant": [0] * counts[0] + [1] * counts[1]}
    ratio = tt.SampleRatio(planned[1] / planned[0], correction=False)
    return tt.Experiment(ratio=ratio).analyze(DataFrame(data))["ratio"].pvalue


def adjusted(p_values: Sequence[float]) -> dict[str, list[float]]:
    names = [str(number) for number in range(len(p_values))]
    asked = tt.experiment.ExperimentResult(
        {name: {"pvalue": p} for name, p in zip(names, p_values, strict=True)}
    )
    found = {
        "holm": tt.adjust_fwer(asked, arbitrary_dependence=True, method="bonferroni"),
        "benjamini_hochberg": tt.adjust_fdr(asked),
    }
    return {
        method: [results["-"][name]["pvalue_adj"] for name in names]
        for method, results in found.items()
    }


def ask(questions: Questions) -> dict[str, Any]:
    alphas = questions["alphas"]
    return {
        "samples": {
            name: compared(sample, alphas) for name, sample in questions["samples"].items()
        },
        "proportion": {name: shares(pair, alphas) for name, pair in questions["counts"].items()},
        "split": {
            name: split_p(split["counts"], split["shares"])
            for name, split in questions["splits"].items()
            if len(split["counts"]) == 2
        },
        "adjusted": {name: adjusted(values) for name, values in questions["p_values"].items()},
    }


if __name__ == "__main__":
    answer("tea-tasting", ask)
