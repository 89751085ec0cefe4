"""Answers that were paid for by token are kept, and used again where the same thing is asked."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import NamedTuple

from expplat.adapters.replay.call_cache import CallCache, Kept, key_of
from expplat.adapters.replay.retries import Answered
from expplat.domain.plain import sha256_of
from expplat.domain.replay import CONTROL_AGAIN, TREATMENT, ReplayPlan
from expplat.domain.request import Output, Request


class Found(NamedTuple):
    """A kept answer, and what it cost when it was paid for."""

    answered: Answered
    cost_usd: Decimal


class Keeping:
    """Finds and keeps the answers of one plan; without a cache it does neither.

    An answer is that of a variant's code, params and prices to a request as the variant sees it,
    in one of its repeats. Where a replay is measured once more, it is found no more, but kept.
    """

    def __init__(self, plan: ReplayPlan, cache: CallCache | None) -> None:
        self._plan = plan
        self._cache = cache if plan.measurement.keep_answers else None
        self._prices = sha256_of(plan.prices) if self._cache else ""

    @property
    def keeps(self) -> bool:
        """Whether answers are kept at all."""
        return self._cache is not None

    def key(self, arm: str, repeat: int, request: Request) -> bytes:
        """Return what an answer is found under."""
        plan = self._plan
        code = plan.treatment_sha256 if arm == TREATMENT else plan.control_sha256
        return key_of(code, self._prices, request, repeat, self._side(arm))

    def _side(self, arm: str) -> str:
        """Tell apart the answers that are only compared because nobody knows them to be equal.

        Control's second answer is not its first, and where both variants are the same code, the
        answer of one is not the other's. Else a variant that was treatment may be control now.
        """
        if arm == CONTROL_AGAIN:
            return arm
        is_twin = self._plan.control_sha256 == self._plan.treatment_sha256
        return arm if is_twin and arm == TREATMENT else ""

    def find(self, key: bytes) -> Found | None:
        """Return the answer that is kept under a key."""
        kept = self._cache.find(key) if self._cache and self._plan.attempt == 1 else None
        if kept is None:
            return None
        output = Output(
            text=kept.text,
            retrieved=kept.retrieved,
            refused=kept.refused,
            confidence=kept.confidence,
        )
        answered = Answered(
            output=output, cpu_ms=kept.cpu_ms, stages_ms=kept.stages_ms, usages=kept.usages
        )
        return Found(answered, kept.cost_usd)

    def keep(self, key: bytes, answered: Answered, cost_usd: Decimal) -> None:
        """Keep an answer that was paid for by token."""
        if self._cache is None or answered.output is None or not answered.usages:
            return
        self._cache.keep(
            key,
            Kept(
                **asdict(answered.output),
                usages=answered.usages,
                cpu_ms=answered.cpu_ms,
                stages_ms=answered.stages_ms,
                cost_usd=cost_usd,
            ),
        )
