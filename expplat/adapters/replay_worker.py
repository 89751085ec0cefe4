"""What an engine does with one shard: call, score, journal, request by request."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from expplat.adapters.replay_call import (
    ClockFactory,
    Failure,
    Guard,
    Timed,
    machine_clock,
    timed,
)
from expplat.adapters.replay_journal import ShardJournal, shard_path
from expplat.adapters.replay_order import Interleaving
from expplat.adapters.variant_loading import (
    CodeError,
    load,
    made,
    must_measure,
    workspace_imports,
)
from expplat.adapters.variant_output import number_of
from expplat.domain.metric import Metric
from expplat.domain.replay import (
    CONTROL,
    CONTROL_AGAIN,
    TREATMENT,
    CallRecord,
    ReplayPlan,
    ReplayRow,
)
from expplat.domain.request import ErrorKind, Output, Request
from expplat.errors import EngineError
from expplat.metrics.catalogue import is_measured
from expplat.metrics.scoring import score

SETUP_TIMEOUT_S = 600.0
"""After which the `setup` of a variant counts as hung."""

CLOSE_TIMEOUT_S = 10.0
"""Time that the `close` of a variant is given."""

Poisoned = Mapping[tuple[int, str], ErrorKind]
"""Calls, by position and arm, that have ended their worker and are not tried again."""


class Worker:
    """Holds both variants, set up once, and runs shard after shard through them.

    A variant sees the request without its references, as production would send it, and every call
    gets a request of its own, so that no variant can spoil the other's.
    """

    def __init__(
        self,
        plan: ReplayPlan,
        *,
        clock_factory: ClockFactory = machine_clock,
        workspace: Path | None = None,
    ) -> None:
        self._plan = plan
        self._clock = clock_factory
        self._workspace = workspace or Path(plan.workspace)
        self._order = Interleaving(plan.measurement, plan.requests)
        self._guard = Guard(self._workspace)
        self._stack = ExitStack()
        self._variants: dict[str, Callable[..., Any]] = {}
        self._scores: dict[str, Callable[[Request, Output], Any]] = {}
        self._is_warm = False

    def __enter__(self) -> Self:
        """Import the code and set both variants up.

        Raises:
            EngineError: If that fails; it says which variant, and why.
        """
        with ExitStack() as stack:
            stack.enter_context(workspace_imports(self._workspace))
            stack.enter_context(self._guard)
            self._load()
            stack.enter_context(_one_thread())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the variants that want to be closed, and forget the code."""
        with self._stack:
            for arm in (CONTROL, TREATMENT):
                close = getattr(self._variants[arm], "close", None)
                if callable(close):
                    self._guard.run(close, timeout_s=CLOSE_TIMEOUT_S)

    def run_shard(self, shard: int, poisoned: Poisoned | None = None) -> Iterator[ReplayRow]:
        """Complete the journal of a shard; give each row once it is written.

        Raises:
            EngineError: If the journal cannot be written.
            InputError: If a variant used a model without a price: nothing it costs would be true.
            TryLaterError: If another process holds the shard.
        """
        poisoned = poisoned or {}
        first = shard * self._plan.measurement.shard_requests
        with (
            ShardJournal(self._plan, shard) as journal,
            shard_path(self._plan, shard).open(encoding="utf-8") as lines,
        ):
            journal.note_rest()
            self._warm_up(shard, journal, poisoned)
            for number, line in enumerate(lines):
                if number >= journal.count:
                    row = self._row(first + number, line, journal, poisoned)
                    journal.add(row)
                    yield row
            journal.note_rest()

    def _load(self) -> None:
        for arm, variant in ((CONTROL, self._plan.control), (TREATMENT, self._plan.treatment)):
            self._variants[arm] = self._loaded(f"{arm} ({variant.use})", partial(made, variant))
            setup = getattr(self._variants[arm], "setup", None)
            if callable(setup):
                self._loaded(f"The setup of {arm} ({variant.use})", setup)
        self._variants[CONTROL_AGAIN] = self._variants[CONTROL]
        for metric in self._plan.metrics:
            scoring = self._loaded(f"The metric {metric.name}", partial(_scoring, metric))
            if scoring is not None:
                self._scores[metric.name] = scoring

    def _loaded(self, what: str, work: Callable[[], Any]) -> Any:
        found = self._guard.run(partial(_plainly, work), timeout_s=SETUP_TIMEOUT_S)
        if isinstance(found, Failure):
            raise EngineError(f"{what[0].upper()}{what[1:]} failed: {found.message}")
        return found

    def _warm_up(self, shard: int, journal: ShardJournal, poisoned: Poisoned) -> None:
        """Answer the first requests of the shard unmeasured, once in this worker's life."""
        if self._is_warm:
            return
        first = shard * self._plan.measurement.shard_requests
        with shard_path(self._plan, shard).open(encoding="utf-8") as lines:
            shown = list(enumerate(itertools.islice(lines, self._plan.measurement.warmup), first))
        warmup = itertools.islice(itertools.cycle(shown), self._plan.measurement.warmup)
        for position, line in warmup:
            for arm in self._order.arms(position):
                if arm != CONTROL_AGAIN and (position, arm) not in poisoned:
                    journal.note_call(position, arm)
                    self._timed(arm, line)
        self._is_warm = True

    def _row(
        self, position: int, line: str, journal: ShardJournal, poisoned: Poisoned
    ) -> ReplayRow:
        calls: dict[str, CallRecord] = {}
        for arm in self._order.arms(position):
            if (position, arm) in poisoned:
                found = _fatal(poisoned[position, arm], self._plan.measurement.timeout_s)
            else:
                journal.note_call(position, arm)
                found = self._timed(arm, line)
            calls[arm] = self._record(found, line)
        request = _request(line)
        return ReplayRow(
            position=position,
            request_id=request.request_id,
            cluster=request.request_id if request.cluster is None else request.cluster,
            segment=request.segment,
            calls=calls,
        )

    def _timed(self, arm: str, line: str) -> Timed:
        asked = replace(_request(line), expected={}, answerable=None)
        timeout_s = self._plan.measurement.timeout_s
        return timed(self._variants[arm], asked, self._clock(), self._guard, timeout_s)

    def _record(self, found: Timed, line: str) -> CallRecord:
        metrics, failure = self._judged(found, line)
        return CallRecord(
            latency_ms=found.latency_ms,
            cpu_ms=found.cpu_ms,
            cost_usd=self._plan.prices.cost_usd(cpu_ms=found.cpu_ms, usages=found.usages),
            metrics=metrics,
            stages_ms=found.stages_ms,
            usages=tuple(found.usages),
            refused=failure is None and found.output is not None and found.output.refused,
            error=failure.kind if failure else None,
            error_message=failure.message if failure else "",
        )

    def _judged(self, found: Timed, line: str) -> tuple[dict[str, float | None], Failure | None]:
        """Return the values of an answer; those that a failed call has, with its failure."""
        scores = self._scored(found.output, line) if found.output else found.failure
        if isinstance(scores, Failure):
            return self._inapplicable(line), scores
        return scores or {}, None

    def _scored(self, output: Output, line: str) -> dict[str, float | None] | Failure:
        values: dict[str, float | None] = {}
        for name, scoring in self._scores.items():
            value = self._value(name, scoring, output, line)
            if isinstance(value, Failure):
                return Failure(ErrorKind.BAD_OUTPUT, value.message)
            values[name] = value
        return values

    def _inapplicable(self, line: str) -> dict[str, float | None]:
        """Return None for each metric that would not apply to the request, answered or not.

        A failed call has no other values: where the key is missing, the metric would have applied.
        """
        return {
            name: None
            for name, scoring in self._scores.items()
            if self._value(name, scoring, Output(), line) is None
        }

    def _value(
        self, name: str, scoring: Callable[[Request, Output], Any], output: Output, line: str
    ) -> float | Failure | None:
        found: float | Failure | None = self._guard.run(
            lambda: number_of(scoring(_request(line), output), name),
            timeout_s=self._plan.measurement.timeout_s,
        )
        return found


def _one_thread() -> AbstractContextManager[Any]:
    """Hold linear algebra to one thread: the CPU time of a call is that of its thread."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return nullcontext()
    limits = importlib.import_module("threadpoolctl").threadpool_limits(limits=1)
    return cast("AbstractContextManager[Any]", limits)


def _scoring(metric: Metric) -> Callable[[Request, Output], Any] | None:
    """Return what scores an output; None where a metric is read off the clock or the bill."""
    if metric.use is not None:
        found: Callable[[Request, Output], Any] = load(metric.use)
        must_measure(found)
        return found
    return None if is_measured(metric) else partial(score, metric.name)


def _plainly(work: Callable[[], Any]) -> Any:
    """Do the work; what is wrong with a `use` is said without naming an exception."""
    try:
        return work()
    except CodeError as error:
        return Failure(ErrorKind.VARIANT_BUG, error.message)


def _request(line: str) -> Request:
    """Return a fresh request, which no user code has touched."""
    return Request(**json.loads(line))


def _fatal(kind: ErrorKind, timeout_s: float) -> Timed:
    """Return the record of a call that ended its worker: it counts as the whole time limit."""
    failure = Failure(kind, "The call ended its worker process.")
    return Timed(None, failure, timeout_s * 1000, timeout_s * 1000, {}, ())
