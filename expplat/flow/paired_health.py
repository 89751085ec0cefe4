"""Can the requests of a table be held against each other? What is missing, repeated or failed."""

from __future__ import annotations

from collections.abc import Iterator

from expplat.domain.analysis import Finding
from expplat.domain.gate import Ruling
from expplat.domain.question import AskedKind, Question
from expplat.domain.tally import PairedTable
from expplat.domain.wording import amount, counted
from expplat.flow.paired_effects import MOST_FAILED, failed_share
from expplat.gates.metric_rules import LEAST_UNITS
from expplat.stats.pairing import FEW_CLUSTERS

MOST_MISSING = 0.05
"""Share of the requests that a variant may lack."""


def health_of(pairs: PairedTable, question: Question) -> Iterator[Finding]:
    """Check the pairs: what fails makes every ruling `unknown`."""
    yield _size(pairs)
    yield from _missing(pairs)
    yield from _repeated(pairs)
    yield from _failures(pairs, question)
    yield from _clusters(pairs)
    yield from _unusable(pairs, question)


def _size(pairs: PairedTable) -> Finding:
    n = len(pairs.requests)
    ruling = Ruling.PASS if n >= LEAST_UNITS else Ruling.UNKNOWN
    said = counted(n, "request")
    sentence = f"{said} under control and a treatment; {LEAST_UNITS} are the least."
    return Finding(
        check="requests", ruling=ruling, p=None, detail={"n": float(n)}, sentence=sentence
    )


def _missing(pairs: PairedTable) -> Iterator[Finding]:
    lost = {variant: count for variant, count in pairs.missing.items() if count}
    if not lost:
        return
    worst = max(lost, key=lambda variant: lost[variant])
    share = lost[worst] / (len(pairs.requests) + pairs.missing.get(pairs.variants[0], 0))
    is_many = share > MOST_MISSING
    tail = "what is left may be the easy ones" if is_many else "they are left out"
    yield Finding(
        check="missing_requests",
        ruling=Ruling.FAIL if is_many else Ruling.PASS,
        p=None,
        detail={variant: float(count) for variant, count in lost.items()},
        sentence=(
            f"{counted(lost[worst], 'request')} ({amount(share, 'fraction')}) without a row of "
            f"{worst}; {tail}."
        ),
    )


def _repeated(pairs: PairedTable) -> Iterator[Finding]:
    if pairs.repeated:
        yield Finding(
            check="repeated_requests",
            ruling=Ruling.PASS,
            p=None,
            detail={"rows": float(pairs.repeated)},
            sentence=(
                f"{counted(pairs.repeated, 'row')} beyond the first of a request; the mean of its "
                "rows counts."
            ),
        )
    nameless = pairs.rows_without_request + pairs.rows_without_variant
    if nameless:
        share = nameless / max(pairs.rows, 1)
        yield Finding(
            check="nameless_rows",
            ruling=Ruling.FAIL if share > MOST_MISSING else Ruling.PASS,
            p=None,
            detail={"rows": float(nameless)},
            sentence=(
                f"{counted(nameless, 'row')} without a request or a variant; they are left out."
            ),
        )


def _failures(pairs: PairedTable, question: Question) -> Iterator[Finding]:
    if question.error is None:
        return
    shares = {variant: failed_share(pairs, variant) for variant in pairs.variants}
    said = ", ".join(f"{amount(share, 'fraction')} of {name}" for name, share in shares.items())
    is_many = max(shares.values()) > MOST_FAILED
    tail = "; times, costs and means of the others are those of survivors" if is_many else ""
    yield Finding(
        check="errors",
        ruling=Ruling.UNKNOWN if is_many else Ruling.PASS,
        p=None,
        detail={**shares},
        sentence=f"Failed calls: {said}{tail}.",
    )


def _clusters(pairs: PairedTable) -> Iterator[Finding]:
    if pairs.clusters is None:
        return
    count = len(set(pairs.clusters))
    is_few = count < FEW_CLUSTERS
    tail = f"; intervals are rough below {FEW_CLUSTERS}" if is_few else ""
    yield Finding(
        check="clusters",
        ruling=Ruling.UNKNOWN if is_few else Ruling.PASS,
        p=None,
        detail={"clusters": float(count)},
        sentence=f"{counted(count, 'cluster')}{tail}.",
    )


def _unusable(pairs: PairedTable, question: Question) -> Iterator[Finding]:
    """Find times of 0 or less: most often calls that failed without saying so."""
    for metric in question.metrics:
        if metric.kind is not AskedKind.LATENCY:
            continue
        for variant in pairs.variants:
            values = pairs.values[variant][metric.name]
            count = sum(value is not None and value <= 0 for value in values)
            if count:
                yield Finding(
                    check="times_of_zero",
                    ruling=Ruling.FAIL,
                    p=None,
                    detail={"variant": variant, "requests": float(count)},
                    sentence=(
                        f"{counted(count, 'value')} of {metric.name} under {variant} at 0 or less: "
                        "failed calls? --error names the column that says so."
                    ),
                )
