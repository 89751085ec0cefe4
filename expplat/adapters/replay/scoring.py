"""What the answers of a replay are worth, by the metrics that its plan names."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from expplat.adapters.replay.calls import Guard
from expplat.adapters.replay.failures import Failure
from expplat.adapters.replay.retries import Answered
from expplat.adapters.replay.variant_loading import load, must_measure
from expplat.adapters.replay.variant_output import number_of
from expplat.domain.metric import Metric
from expplat.domain.request import ErrorKind, Output, Request
from expplat.metrics.catalogue import is_measured
from expplat.metrics.scoring import score

Scorer = Callable[[Request, Output], Any]


class Judged(NamedTuple):
    """The values of one answer."""

    metrics: dict[str, float | None]
    """None where a metric does not apply; a failed call has no other values: where the key is
    missing, the metric would have applied."""

    failure: Failure | None


class Question(NamedTuple):
    """A request, as a line of its shard and as we have read it; user code gets one of its own."""

    line: str
    request: Request


def fresh_request(line: str) -> Request:
    """Return the request of a shard's line, which no user code has touched."""
    return Request(**json.loads(line))


class Scoring:
    """Scores answers; user code that does it is guarded as a variant is."""

    def __init__(self, metrics: Sequence[Metric], guard: Guard, *, timeout_s: float) -> None:
        self._metrics = metrics
        self._guard = guard
        self._timeout_s = timeout_s
        self._scorers: dict[str, Scorer] = {}
        self._is_all_ours = all(metric.use is None for metric in metrics)

    def load(self, loaded: Callable[[str, Callable[[], Any]], Any]) -> None:
        """Import the metrics that are the workspace's own.

        Args:
            loaded: Runs an import, and says of what it was where it fails.
        """
        for metric in self._metrics:
            scorer = loaded(f"The metric {metric.name}", partial(_scorer, metric))
            if scorer is not None:
                self._scorers[metric.name] = scorer

    def judged(self, answered: Answered, asked: Question, begin: Callable[[], None]) -> Judged:
        """Return what an answer to a request is worth.

        Args:
            answered: The answer.
            asked: The request, with its references.
            begin: Told whenever user code begins that has a time limit of its own.
        """
        if answered.output is None:
            return Judged(self._inapplicable(asked, begin), answered.failure)
        output = answered.output
        found = self._guarded(lambda: self._values(output, asked), begin)
        if isinstance(found, Failure):
            failure = found._replace(kind=ErrorKind.BAD_OUTPUT)
            return Judged(self._inapplicable(asked, begin), failure)
        return Judged(found, None)

    def _values(self, output: Output, asked: Question) -> dict[str, float | None]:
        request = asked.request if self._is_all_ours else fresh_request(asked.line)
        return {
            name: number_of(scorer(request, output), name) for name, scorer in self._scorers.items()
        }

    def _inapplicable(self, asked: Question, begin: Callable[[], None]) -> dict[str, float | None]:
        """Return None for each metric that would not apply to the request, answered or not."""
        found: dict[str, float | None] = {}
        for name, scorer in self._scorers.items():
            work = partial(scorer, fresh_request(asked.line), Output())
            if self._guarded(partial(_number_from, work, name), begin) is None:
                found[name] = None
        return found

    def _guarded(self, work: Callable[[], Any], begin: Callable[[], None]) -> Any:
        if self._is_all_ours:
            return self._guard.run_own(work)
        begin()
        return self._guard.run(work, timeout_s=self._timeout_s)


def _number_from(work: Callable[[], Any], name: str) -> float | None:
    return number_of(work(), name)


def _scorer(metric: Metric) -> Scorer | None:
    """Return what scores an output; None where a metric is read off the clock or the bill."""
    if metric.use is not None:
        found: Scorer = load(metric.use)
        must_measure(found)
        return found
    return None if is_measured(metric) else partial(score, metric.name)
