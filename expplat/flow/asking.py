"""From words on a command line to a question: every fault of them at once.

A metric is asked for as `NAME=KIND[:COLUMN[/DENOMINATOR]][:lower|higher]`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import NamedTuple, TypeVar

from expplat.domain.metric import Direction
from expplat.domain.question import AskedKind, AskedMetric, Condition, ProportionMethod
from expplat.errors import Fault, FaultsError

COMMAND_LINE = "the command line"
SHAPE = "NAME=KIND[:COLUMN[/DENOMINATOR]][:lower|higher]"

KINDS = ("mean", "proportion", "ratio", "count", "p50", "p95", "p99", "latency", "cost")
"""As they are written; a quantile is any `p` with its number."""

QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)")
CONDITION = re.compile(r"(.+?)\s*(>=|<=|>|<)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)")
SMALLER_IS_BETTER = frozenset({AskedKind.LATENCY, AskedKind.COST})


Read = TypeVar("Read")
AlsoRead = TypeVar("AlsoRead")


class Words(NamedTuple):
    """What was typed about metrics."""

    metrics: tuple[str, ...]
    margins: tuple[str, ...] = ()
    min_effects: tuple[str, ...] = ()
    sd_columns: tuple[str, ...] = ()
    caps: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paired:
    """`NAME=VALUE` options of one kind, still text."""

    option: str
    values: Mapping[str, str]


def asked_metrics(words: Words) -> tuple[AskedMetric, ...]:
    """Return the metrics that are asked for.

    Raises:
        FaultsError: With every fault of the words.
    """
    faults: list[Fault] = []
    metrics = tuple(
        metric for text in words.metrics if (metric := _metric(text, faults)) is not None
    )
    names = [metric.name for metric in metrics]
    faults.extend(
        _fault("--metric", f"{name} is asked for twice.", "Give each its own name.")
        for name in sorted({name for name in names if names.count(name) > 1})
    )
    metrics = _completed(metrics, words, faults)
    if faults:
        raise FaultsError(COMMAND_LINE, tuple(faults))
    return metrics


def both(first: Callable[[], Read], second: Callable[[], AlsoRead]) -> tuple[Read, AlsoRead]:
    """Return what both give, such as metrics and a split.

    Raises:
        FaultsError: With the faults of both.
    """
    faults: list[Fault] = []
    found: list[Read] = []
    also: list[AlsoRead] = []
    try:
        found.append(first())
    except FaultsError as error:
        faults.extend(error.faults)
    try:
        also.append(second())
    except FaultsError as error:
        faults.extend(error.faults)
    if faults:
        raise FaultsError(COMMAND_LINE, tuple(faults))
    return found[0], also[0]


def shares_of(text: str | None) -> Mapping[str, float]:
    """Return the planned split that `control=5,b=1` says; empty for None.

    Raises:
        FaultsError: If it is not such a list of positive numbers.
    """
    if text is None:
        return {}
    shares: dict[str, float] = {}
    faults: list[Fault] = []
    for part in text.split(","):
        name, sign, value = part.rpartition("=")
        share = _number(value)
        if not sign or share is None or share <= 0:
            faults.append(_fault("--split", f"{part!r} is no share.", "Write control=5,b=1."))
        else:
            shares[name.strip()] = share
    if faults:
        raise FaultsError(COMMAND_LINE, tuple(faults))
    return shares


def _metric(text: str, faults: list[Fault]) -> AskedMetric | None:
    """Read one metric; a fault is noted and None returned."""
    name, sign, rest = text.partition("=")
    if not sign:
        name, _, rest = text.partition(":")
        rest = f"{rest}:{name}"
    name = name.strip()
    kind_word, *tail = [part.strip() for part in rest.split(":")]
    direction, kind_flag = _flags(tail)
    kind, q = _kind(kind_flag or kind_word)
    if not name or kind is None:
        hint = f"Write {SHAPE}; kinds are {', '.join(KINDS)}."
        faults.append(_fault("--metric", f"{text!r} is no metric.{_near(kind_word)}", hint))
        return None
    column, _, denominator = (":".join(tail) or name).partition("/")
    column, condition = _condition(column) if kind is AskedKind.PROPORTION else (column, None)
    metric = AskedMetric(
        name=name,
        kind=kind,
        column=column.strip(),
        denominator=denominator.strip() or None,
        direction=direction or _usual_direction(kind),
        condition=condition,
        q=q,
    )
    faults.extend(_misfits(metric, text))
    return metric


def _flags(tail: list[str]) -> tuple[Direction | None, str | None]:
    """Take the trailing words off: the direction, and a kind that is said last."""
    direction, kind = None, None
    while tail:
        word = tail[-1].lower()
        if word in set(Direction):
            direction = Direction(word)
        elif word in SMALLER_IS_BETTER:
            kind = word
        else:
            break
        tail.pop()
    return direction, kind


def _kind(word: str) -> tuple[AskedKind | None, float | None]:
    quantile = QUANTILE.fullmatch(word.lower())
    if quantile and 0 < float(quantile[1]) < 100:
        return AskedKind.QUANTILE, float(quantile[1]) / 100
    if word.lower() in set(AskedKind) - {AskedKind.QUANTILE}:
        return AskedKind(word.lower()), None
    return None, None


def _usual_direction(kind: AskedKind) -> Direction:
    return Direction.LOWER if kind in SMALLER_IS_BETTER else Direction.HIGHER


def _condition(column: str) -> tuple[str, Condition | None]:
    found = CONDITION.fullmatch(column)
    if found is None:
        return column, None
    bound = _number(found[3])
    return (column, None) if bound is None else (found[1], Condition(sign=found[2], bound=bound))


def _misfits(metric: AskedMetric, text: str) -> Iterable[Fault]:
    if metric.kind is AskedKind.RATIO and metric.denominator is None:
        hint = f"Write {metric.name}=ratio:clicks/views."
        yield _fault("--metric", f"{text!r}: a ratio needs a denominator.", hint)
    if metric.denominator and metric.kind not in (AskedKind.RATIO, AskedKind.PROPORTION):
        hint = f"Write {metric.name}=ratio:{metric.column}/{metric.denominator}."
        yield _fault("--metric", f"{text!r}: a {metric.kind} has no denominator.", hint)
    if metric.denominator and metric.condition:
        hint = "Ask for one or the other."
        yield _fault("--metric", f"{text!r}: a condition has no denominator.", hint)


def _completed(
    metrics: tuple[AskedMetric, ...], words: Words, faults: list[Fault]
) -> tuple[AskedMetric, ...]:
    """Add what other options say of each metric."""
    known = tuple(metric.name for metric in metrics)
    margins = _numbers(_pairs("--margin", words.margins, known, faults), faults)
    least = _numbers(_pairs("--min-effect", words.min_effects, known, faults), faults)
    caps = _numbers(_pairs("--winsorise", words.caps, known, faults), faults, most=1.0)
    columns = _pairs("--sd", words.sd_columns, known, faults).values
    methods = _methods(words.methods, known, faults)
    return tuple(
        replace(
            metric,
            margin=margins.get(metric.name),
            min_effect=least.get(metric.name),
            cap_quantile=caps.get(metric.name),
            sd_column=columns.get(metric.name),
            method=methods.get(metric.name, ProportionMethod.Z),
        )
        for metric in metrics
    )


def _pairs(
    option: str, texts: Iterable[str], known: tuple[str, ...], faults: list[Fault]
) -> _Paired:
    values: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not value:
            faults.append(_fault(option, f"{text!r} is no NAME=VALUE.", "Name the metric first."))
        elif name not in known:
            faults.append(_fault(option, f"no metric {name!r} is asked for.", _among(name, known)))
        else:
            values[name] = value
    return _Paired(option=option, values=values)


def _numbers(pairs: _Paired, faults: list[Fault], most: float = math.inf) -> Mapping[str, float]:
    numbers: dict[str, float] = {}
    for name, text in pairs.values.items():
        value = _number(text)
        if value is None or not 0 < value < most:
            limit = "above 0" if most == math.inf else f"between 0 and {most:g}"
            message = f"{text!r} of {name} is no number {limit}."
            faults.append(_fault(pairs.option, message, "Such as 0.01, in the metric's own unit."))
        else:
            numbers[name] = value
    return numbers


def _methods(
    texts: Iterable[str], known: tuple[str, ...], faults: list[Fault]
) -> Mapping[str, ProportionMethod]:
    """Read `NAME=METHOD`, or a METHOD for all."""
    spread = [text if "=" in text else f"{name}={text}" for text in texts for name in known]
    found: dict[str, ProportionMethod] = {}
    for name, text in _pairs("--method", dict.fromkeys(spread), known, faults).values.items():
        if text not in set(ProportionMethod):
            hint = f"Methods are {', '.join(ProportionMethod)}."
            faults.append(_fault("--method", f"{text!r} of {name} is no method.", hint))
        else:
            found[name] = ProportionMethod(text)
    return found


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _among(name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name, known, 1)
    if near:
        return f"Did you mean {near[0]}?"
    return f"Metrics are {', '.join(known)}." if known else "No --metric could be read."


def _near(word: str) -> str:
    near = get_close_matches(word, KINDS, 1)
    return f" Did you mean {near[0]}?" if near and near[0] != word else ""


def _fault(option: str, message: str, hint: str) -> Fault:
    return Fault(line=0, field=option, message=message, hint=hint)
