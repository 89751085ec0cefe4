"""The built-in metrics by name, and the metrics of a proposal made whole."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from expplat.domain.metric import Concern, Direction, Metric, MetricKind
from expplat.errors import InputError, NotFoundError

LARGEST_CUT = 1_000
"""The largest K of a retrieval metric."""

RANKED = ("recall", "precision", "ndcg", "mrr", "success")
"""Families of retrieval metrics; each is followed by `_at_` and a K from 1 to 1,000."""

_RANKED_NAME = re.compile(rf"({'|'.join(RANKED)})_at_([1-9][0-9]{{0,3}})")
_STAGE_NAME = re.compile(r"stage_([a-z0-9_]+)_ms")


def _fraction(
    name: str,
    kind: MetricKind,
    direction: Direction = Direction.HIGHER,
    concern: Concern = Concern.ACCURACY,
) -> Metric:
    return Metric(name=name, kind=kind, direction=direction, unit="fraction", concern=concern)


def _milliseconds(name: str, kind: MetricKind = MetricKind.MEAN) -> Metric:
    return Metric(
        name=name, kind=kind, direction=Direction.LOWER, unit="ms", concern=Concern.LATENCY
    )


_QUANTILES: Mapping[str, float] = MappingProxyType(
    {"latency_p50_ms": 0.50, "latency_p95_ms": 0.95, "latency_p99_ms": 0.99}
)

_FIXED: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            _fraction("exact_match", MetricKind.PROPORTION),
            _fraction("token_f1", MetricKind.MEAN),
            _fraction("correct_refusal", MetricKind.PROPORTION),
            _fraction("over_refusal", MetricKind.PROPORTION, Direction.LOWER),
            _fraction("refusal_fraction", MetricKind.PROPORTION, Direction.LOWER, Concern.OTHER),
            _fraction("error_fraction", MetricKind.PROPORTION, Direction.LOWER, Concern.OTHER),
            _milliseconds("latency_ms"),
            *(_milliseconds(name, MetricKind.QUANTILE) for name in _QUANTILES),
            Metric(
                name="cost_usd_per_1k",
                kind=MetricKind.MEAN,
                direction=Direction.LOWER,
                unit="usd",
                concern=Concern.COST,
            ),
        )
    }
)

_MEASURED = frozenset({"refusal_fraction", "error_fraction"})
"""Read from the call without a clock."""


def built_in(name: str) -> Metric | None:
    """Return the built-in metric of that name; None where there is none."""
    if name in _FIXED:
        return _FIXED[name]
    if stage_of(name) is not None:
        return _milliseconds(name)
    ranked = ranked_of(name)
    if ranked is None:
        return None
    is_yes_or_no = ranked[0] == "success"
    return _fraction(name, MetricKind.PROPORTION if is_yes_or_no else MetricKind.MEAN)


def ranked_of(name: str) -> tuple[str, int] | None:
    """Return family and K of a retrieval metric, such as `("ndcg", 10)`; None for any other."""
    found = _RANKED_NAME.fullmatch(name)
    if found is None or int(found[2]) > LARGEST_CUT:
        return None
    return found[1], int(found[2])


def stage_of(name: str) -> str | None:
    """Return the stage that `stage_<name>_ms` measures; None for any other metric."""
    found = _STAGE_NAME.fullmatch(name)
    return None if found is None else found[1]


def quantile_of(metric: Metric) -> float:
    """Return which quantile a metric of the kind `quantile` is, such as 0.95.

    Raises:
        InputError: If it is not one of the built-in latency quantiles.
    """
    if metric.name not in _QUANTILES:
        raise InputError(f"{metric.name} is no quantile.", hint=f"There are {_list(_QUANTILES)}.")
    return _QUANTILES[metric.name]


def is_measured(metric: Metric) -> bool:
    """Whether the call itself gives the value, so that no output is looked at."""
    if metric.use is not None:
        return False
    return metric.name in _MEASURED or is_timed(metric)


def is_timed(metric: Metric) -> bool:
    """Whether the value is read from a clock: latency, stages, and cost, for its CPU time."""
    is_cost = metric.use is None and metric.name == "cost_usd_per_1k"
    return is_cost or is_latency(metric)


def is_latency(metric: Metric) -> bool:
    """Whether the value is wall time, which two machines do not share: latency and stages."""
    if metric.use is not None:
        return False
    name = metric.name
    return name == "latency_ms" or name in _QUANTILES or stage_of(name) is not None


def suggestions(name: str) -> tuple[str, ...]:
    """Return up to three names of built-in metrics that look like a misspelt one."""
    close = difflib.get_close_matches(name, [*_FIXED, *_examples(name)], n=3, cutoff=0.6)
    return tuple(close)


def resolve(metrics: Iterable[str | Metric]) -> tuple[Metric, ...]:
    """Return the metrics of a proposal, with the built-in ones for their names.

    Raises:
        NotFoundError: If a name is not built in, and nothing says how to compute it.
        InputError: If a name is declared twice, or a declaration contradicts a built-in metric, or
            is of a kind that only built-in metrics have.
    """
    resolved = tuple(_resolved(metric) for metric in metrics)
    names = [metric.name for metric in resolved]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"The metric {twice[0]} is named twice.", hint="Leave one of them out.")
    return resolved


def _resolved(metric: str | Metric) -> Metric:
    name = metric if isinstance(metric, str) else metric.name
    known = built_in(name)
    if isinstance(metric, str) or metric.use is None:
        if known is None:
            raise NotFoundError(f"No built-in metric is called {name!r}.", hint=_hint(name))
        if isinstance(metric, str):
            return known
        if replace(metric, concern=known.concern, worst=known.worst) != known:
            hint = f"It is a {known.kind} in {known.unit}, {known.direction} is better."
            raise InputError(f"{name} is built in, and declared otherwise.", hint=hint)
        return metric
    if known is not None:
        raise InputError(f"{name} is built in; a metric of your own needs another name.")
    if metric.kind in (MetricKind.QUANTILE, MetricKind.RATIO):
        hint = "Declare a mean, a proportion or a count."
        raise InputError(f"{name} cannot be a {metric.kind} of your own.", hint=hint)
    return metric


def _hint(name: str) -> str:
    close = suggestions(name)
    if close:
        return f"Did you mean {_list(close)}?"
    return "Name a built-in metric, or declare one with `use: module:function`."


def _examples(name: str) -> list[str]:
    """Return retrieval metrics with the K that the misspelt name seems to ask for, or with 10."""
    digits = re.search(r"[1-9][0-9]{0,2}", name)
    return [f"{family}_at_{digits[0] if digits else 10}" for family in RANKED]


def _list(names: Iterable[str]) -> str:
    return " or ".join(names)
