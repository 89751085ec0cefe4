"""Ask gbstats: Welch's t on absolute differences, its sequential interval, CUPED, ratios, χ²."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from answering import Questions, answer
from gbstats.frequentist.tests import (
    FrequentistConfig,
    SequentialConfig,
    SequentialTwoSidedTTest,
    TwoSidedTTest,
)
from gbstats.models.statistics import (
    ProportionStatistic,
    QuantileStatistic,
    RatioStatistic,
    RegressionAdjustedStatistic,
    SampleMeanStatistic,
)
from gbstats.utils import check_srm
from scipy.stats import norm

Arms = tuple[Any, Any]


def mean_of(values: Sequence[float]) -> SampleMeanStatistic:
    squares = sum(value * value for value in values)
    return SampleMeanStatistic(n=len(values), sum=sum(values), sum_squares=squares)


def products(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def ratio_of(arm: Mapping[str, Sequence[float]]) -> RatioStatistic:
    return RatioStatistic(
        n=len(arm["value"]),
        m_statistic=mean_of(arm["value"]),
        d_statistic=mean_of(arm["parts"]),
        m_d_sum_of_products=products(arm["value"], arm["parts"]),
    )


def adjusted_of(arm: Mapping[str, Sequence[float]]) -> RegressionAdjustedStatistic:
    return RegressionAdjustedStatistic(
        n=len(arm["value"]),
        post_statistic=mean_of(arm["value"]),
        pre_statistic=mean_of(arm["pre"]),
        post_pre_sum_of_products=products(arm["value"], arm["pre"]),
        theta=0.0,  # computed by the test, from both arms together
    )


def proportion_of(count: Sequence[int]) -> ProportionStatistic:
    return ProportionStatistic(n=count[1], sum=count[0])


def quantile_of(values: Sequence[float], q: float) -> QuantileStatistic:
    """Hand over what its warehouse query does: the quantile, and those about it."""
    n = len(values)
    half = norm.ppf(0.975) * (q * (1 - q) / n) ** 0.5
    low, middle, high = np.quantile(values, (q - half, q, q + half))
    return QuantileStatistic(
        n=n, n_star=n, nu=q, quantile_hat=middle, quantile_lower=low, quantile_upper=high
    )


def fixed(arms: Arms, alpha: float) -> dict[str, Any]:
    config = FrequentistConfig(alpha=alpha, difference_type="absolute")
    return shown(TwoSidedTTest(*arms, config).compute_result())


def sequential(arms: Arms, alpha: float, tuning: float) -> dict[str, Any]:
    config = SequentialConfig(
        alpha=alpha, difference_type="absolute", sequential_tuning_parameter=tuning
    )
    return shown(SequentialTwoSidedTTest(*arms, config).compute_result())


def shown(found: Any) -> dict[str, Any]:
    return {
        "estimate": found.expected,
        "low": found.ci[0],
        "high": found.ci[1],
        "p": found.p_value,
        "standard_error": found.uplift.stddev,
    }


def both(sample: Mapping[str, Any], of: Any) -> Arms:
    return of(sample["control"]), of(sample["treatment"])


def by_alpha(arms: Arms, alphas: Sequence[float]) -> dict[str, Any]:
    return {str(alpha): fixed(arms, alpha) for alpha in alphas}


def by_tuning(arms: Arms, questions: Questions) -> dict[str, Any]:
    return {
        f"{alpha} {tuning}": sequential(arms, alpha, tuning)
        for alpha in questions["alphas"]
        for tuning in questions["tunings"]
    }


def ask(questions: Questions) -> dict[str, Any]:
    samples, alphas = questions["samples"].items(), questions["alphas"]
    means = {name: both(sample, lambda arm: mean_of(arm["value"])) for name, sample in samples}
    counts = {
        name: tuple(proportion_of(count) for count in pair)
        for name, pair in questions["counts"].items()
    }
    return {
        "mean": {name: by_alpha(arms, alphas) for name, arms in means.items()},
        "sequential": {name: by_tuning(arms, questions) for name, arms in means.items()},
        "cuped": {name: by_alpha(both(sample, adjusted_of), alphas) for name, sample in samples},
        "ratio": {name: by_alpha(both(sample, ratio_of), alphas) for name, sample in samples},
        "proportion": {name: by_alpha(arms, alphas) for name, arms in counts.items()},
        "quantile": {
            name: {
                str(q): fixed(both(sample, lambda values, q=q: quantile_of(values, q)), 0.05)
                for q in questions["quantiles"]
            }
            for name, sample in questions["latencies"].items()
        },
        "split": {
            name: check_srm(split["counts"], split["shares"])
            for name, split in questions["splits"].items()
        },
    }


if __name__ == "__main__":
    answer("gbstats", ask)
