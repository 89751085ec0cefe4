"""Simulated users: they meet the flags through the official GrowthBook SDK, and report back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2
from growthbook.common_types import FeatureRefreshStrategy, Options, UserContext
from growthbook.growthbook_client import GrowthBookClient

from expplat.demo.world import World
from expplat.domain.replay import CONTROL
from expplat.errors import DependencyError

BATCH = 500
PICK_UP_S = 10.0


@dataclass(slots=True)
class Crowd:
    """The users so far: who is in which test under which variant, and who ever changed."""

    client: GrowthBookClient
    service: httpx2.AsyncClient
    worlds: Mapping[str, World]
    assigned: dict[tuple[str, int], str] = field(default_factory=dict)
    seen: int = 0
    """Users who have met the flags, in a test or not."""

    changed: int = 0
    """Users who were shown another variant than before; must stay 0."""

    exposures: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[dict[str, Any]] = field(default_factory=list)

    async def wave(self, users: Iterable[int], traffic_percent: Mapping[str, float]) -> None:
        """Let users meet every running test once, and send what happened to the service.

        Args:
            users: Numbers of simulated users; those of earlier waves may come back.
            traffic_percent: Share of the units in each running test, by slug.
        """
        for user in users:
            context = UserContext(attributes={"user_id": f"simulated-{user}"})
            for slug, percent in traffic_percent.items():
                result = await self.client.eval_feature(slug, context)
                experiment = result.experimentResult
                if experiment is not None and experiment.inExperiment:
                    self._meet(slug, user, str(result.value), percent)
        await self._send("exposures", self.exposures)
        await self._send("outcomes", self.outcomes)

    def _meet(self, slug: str, user: int, variant: str, percent: float) -> None:
        comes_back = (slug, user) in self.assigned
        before = self.assigned.setdefault((slug, user), variant)
        self.changed += before != variant
        at = datetime.now(UTC).isoformat()
        unit = f"simulated-{user}"
        simulated = {"simulated": True}
        self.exposures.append(
            {
                "experiment": slug,
                "variation": variant,
                "unit": unit,
                "timestamp": at,
                "properties": simulated,
            }
        )
        if comes_back:  # what happened to a user is told once
            return
        share = percent / 200 if variant != CONTROL else 1 - percent / 200
        met = self.worlds[slug].meet(user, variant, share)
        values = {
            "task_success": float(met.success),
            "slow_answer": float(met.slow),
            "answer_cost_usd": met.cost_usd,
        }
        self.outcomes.extend(
            {
                "id": f"{slug}:{user}:{metric}",
                "experiment": slug,
                "unit": unit,
                "metric": metric,
                "value": value,
                "timestamp": at,
                "properties": simulated,
            }
            for metric, value in values.items()
        )

    async def _send(self, noun: str, events: list[dict[str, Any]]) -> None:
        for batch in _batches(events):
            answer = await self.service.post(f"/v1/{noun}", json={"batch": batch})
            if answer.status_code != 200 or answer.json()["errors"]:
                raise DependencyError(f"The service did not take {noun}: {answer.text[:300]}")
        events.clear()

    async def until_seen(self, slug: str, *, coverage: float | None) -> float:
        """Wait until the SDK's stream has brought a flag's new state; return the seconds it took.

        Args:
            slug: The flag.
            coverage: Share of units in the test, 0 to 1; None where the test is over.
        """
        started = time.monotonic()
        while time.monotonic() - started < PICK_UP_S:
            if self._coverage(slug) == coverage:
                return time.monotonic() - started
            await asyncio.sleep(0.02)
        raise DependencyError(f"The SDK did not see the new state of {slug} in {PICK_UP_S:g} s.")

    def _coverage(self, slug: str) -> float | None:
        context = self.client._global_context
        feature = context.features.get(slug) if context else None
        rules = feature.rules if feature else []
        return rules[0].coverage if rules else None


def options(address: str, client_key: str) -> Options:
    """Return how a Python service should set the SDK up: streaming, one client a process."""
    return Options(
        api_host=address,
        client_key=client_key,
        refresh_strategy=FeatureRefreshStrategy.SERVER_SENT_EVENTS,
    )


def _batches(events: Sequence[dict[str, Any]]) -> Iterable[Sequence[dict[str, Any]]]:
    return (events[start : start + BATCH] for start in range(0, len(events), BATCH))
