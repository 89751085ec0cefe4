"""One request through all arms: asked, answered, priced, scored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from expplat.adapters.replay.arms import Arms
from expplat.adapters.replay.calls import Asked, ClockFactory, Guard
from expplat.adapters.replay.failures import Failure
from expplat.adapters.replay.keeping import Keeping
from expplat.adapters.replay.logged import recorded
from expplat.adapters.replay.order import Interleaving
from expplat.adapters.replay.retries import Answered, Retrying
from expplat.adapters.replay.scoring import Question, Scoring, fresh_request
from expplat.adapters.replay.slots import Slot
from expplat.domain.replay import (
    CONTROL,
    CONTROL_AGAIN,
    PRODUCTION_LOG,
    CallRecord,
    ReplayPlan,
    ReplayRow,
)
from expplat.domain.request import PRODUCTION, ErrorKind, Output, Request

ANSWER_CHARACTERS = 4_000
"""To which an answer is shortened that is kept for people to look at."""

HIDDEN = ("expected", "answerable", "logged")
"""Fields of a request that no variant sees."""

Poisoned = Mapping[tuple[int, int, str], ErrorKind]
"""Calls, by position, repeat and arm, that ended their process and are not made again."""


class Job(NamedTuple):
    """One answer of every arm to one request."""

    position: int
    repeat: int
    line: str
    """Of the shard: the request, with its references."""

    is_timed: bool
    """Whether nothing else is under way meanwhile."""


class Done(NamedTuple):
    """A row, the words of its answers by arm, and what was paid for it now."""

    row: ReplayRow
    answers: dict[str, str]
    spent_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """An answer, and what the worker knows of how it came by it."""

    answered: Answered
    cost_usd: Decimal
    is_timed: bool
    is_kept: bool = False
    is_paid: bool = True


class Rows:
    """Makes the rows of a journal; from as many threads as the plan has slots."""

    def __init__(
        self, plan: ReplayPlan, arms: Arms, guard: Guard, keeping: Keeping, clock: ClockFactory
    ) -> None:
        measured = plan.measurement
        self._plan = plan
        self._arms = arms
        self._guard = guard
        self._keeping = keeping
        self._clock = clock
        self._order = Interleaving(measured, plan.requests)
        self._limit_s = measured.timeout_s
        self._retrying = Retrying(guard, attempts=measured.attempts, timeout_s=self._limit_s)
        self.scoring = Scoring(plan.metrics, guard, timeout_s=self._limit_s)

    def done(self, job: Job, slot: Slot, poisoned: Poisoned) -> Done:
        """Return the row of a request: all its arms are called, one after the other, then scored.

        Raises:
            InputError: If a variant used a model without a price: nothing it costs would be true.
        """
        found: dict[str, _Found] = {}
        request = fresh_request(job.line)
        for arm in self._arms_of(job, request):
            kind = poisoned.get((job.position, job.repeat, arm))
            found[arm] = self._fatal(kind, job) if kind else self._found(arm, job, slot)
        asked = Question(job.line, request)
        calls = {
            arm: self._record(answer, asked, partial(slot.call, job.position, job.repeat, arm))
            for arm, answer in found.items()
        }
        slot.rest()
        row = ReplayRow(
            position=job.position,
            request_id=request.request_id,
            cluster=request.request_id if request.cluster is None else request.cluster,
            segment=request.segment,
            calls=calls,
            repeat=job.repeat,
        )
        spent = sum((each.cost_usd for each in found.values() if each.is_paid), Decimal(0))
        return Done(row, _answers(found), spent)

    def warm_up(self, job: Job, slot: Slot, poisoned: Poisoned) -> Decimal:
        """Answer a request unmeasured, in the arms that call somebody; return what it cost.

        Raises:
            InputError: If a variant used a model without a price.
        """
        spent = Decimal(0)
        for arm in self._order.arms(job.position):
            is_fatal = (job.position, job.repeat, arm) in poisoned
            if arm in self._arms.answering and arm != CONTROL_AGAIN and not is_fatal:
                ask = partial(self._asked, arm, job, slot)
                answered = self._retrying.once(self._arms.answering[arm], ask)
                spent += self._cost_usd(answered)
        slot.rest()
        return spent

    def _arms_of(self, job: Job, request: Request) -> Iterator[str]:
        is_logged = CONTROL in self._arms.logged
        for arm in self._order.arms(job.position, job.repeat):
            if not (arm == CONTROL_AGAIN and is_logged):
                yield arm
        if job.repeat == 0 and PRODUCTION in request.logged and not is_logged:
            yield PRODUCTION_LOG

    def _found(self, arm: str, job: Job, slot: Slot) -> _Found:
        system = PRODUCTION if arm == PRODUCTION_LOG else self._arms.logged.get(arm)
        if system is not None:
            return self._recorded(system, job)
        if job.is_timed or not self._keeping.keeps:
            return self._called(arm, job, slot)
        key = self._keeping.key(arm, job.repeat, _as_seen(job.line))
        kept = self._keeping.find(key)
        if kept is not None:
            return _Found(
                answered=kept.answered,
                cost_usd=kept.cost_usd,
                is_timed=False,
                is_kept=True,
                is_paid=False,
            )
        found = self._called(arm, job, slot)
        self._keeping.keep(key, found.answered, found.cost_usd)
        return found

    def _called(self, arm: str, job: Job, slot: Slot) -> _Found:
        answered = self._retrying.answered(
            self._arms.answering[arm],
            partial(self._asked, arm, job, slot),
            slot.rest,
            f"{self._plan.measurement.seed}:{job.position}:{job.repeat}:{arm}",
        )
        if not job.is_timed:
            # The next arm may wait for its turn in a batch: that is nobody's call.
            slot.rest()
        return _Found(answered=answered, cost_usd=self._cost_usd(answered), is_timed=job.is_timed)

    def _asked(self, arm: str, job: Job, slot: Slot) -> Asked:
        """Return the request anew, for no variant may spoil another's."""
        return Asked(
            request=_as_seen(job.line),
            clock=self._clock(),
            begin=partial(slot.call, job.position, job.repeat, arm),
            is_timed=job.is_timed,
        )

    def _recorded(self, system: str, job: Job) -> _Found:
        found = recorded(fresh_request(job.line), system, self._guard)
        cost_usd = self._cost_usd(found.answered) if found.cost_usd is None else found.cost_usd
        return _Found(
            answered=found.answered, cost_usd=cost_usd, is_timed=found.is_timed, is_paid=False
        )

    def _fatal(self, kind: ErrorKind, job: Job) -> _Found:
        """Return the record of a call that ended its process: it counts as the whole time limit."""
        limit_ms = self._limit_s * 1000
        words = f"It took over {self._limit_s:g} s, and was ended with its process."
        if kind is not ErrorKind.TIMEOUT:
            words = "The call ended its worker process."
        failure = Failure(kind, words)
        answered = Answered(failure=failure, latency_ms=limit_ms, cpu_ms=limit_ms)
        return _Found(
            answered=answered,
            cost_usd=self._cost_usd(answered),
            is_timed=job.is_timed,
            is_paid=False,
        )

    def _cost_usd(self, answered: Answered) -> Decimal:
        return self._plan.prices.cost_usd(cpu_ms=answered.cpu_ms, usages=answered.usages)

    def _record(self, found: _Found, asked: Question, begin: Callable[[], None]) -> CallRecord:
        answered = found.answered
        metrics, failure = self.scoring.judged(answered, asked, begin)
        return CallRecord(
            latency_ms=answered.latency_ms,
            cpu_ms=answered.cpu_ms,
            cost_usd=found.cost_usd,
            metrics=metrics,
            stages_ms=answered.stages_ms,
            stages_cpu_ms=answered.stages_cpu_ms,
            usages=answered.usages,
            refused=failure is None and answered.output is not None and answered.output.refused,
            error=failure.kind if failure else None,
            error_message=failure.message if failure else "",
            is_timed=found.is_timed,
            attempts=answered.attempts,
            is_kept=found.is_kept,
        )


def _as_seen(line: str) -> Request:
    """Return the request as a variant sees it: without references, and without other answers."""
    plain = json.loads(line)
    for name in HIDDEN:
        plain.pop(name, None)
    return Request(**plain)


def _answers(found: Mapping[str, _Found]) -> dict[str, str]:
    return {
        arm: _words(each.answered.output)
        for arm, each in found.items()
        if each.answered.output is not None
    }


def _words(output: Output) -> str:
    return (output.text or ", ".join(output.retrieved))[:ANSWER_CHARACTERS]
