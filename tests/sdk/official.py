"""Every official SDK that runs here, asked about whole payloads: value and what is tracked."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from growthbook import GrowthBook
from growthbook.common_types import Options, UserContext
from growthbook.growthbook_client import GrowthBookClient

AGENT = Path(__file__).with_name("evaluate_agent.mjs")

Attributes = dict[str, Any]
Answer = tuple[Any, tuple[tuple[str, str], ...]]
"""What a user is served, and the experiments that are tracked with the variation's key."""


@dataclass
class Seen:
    """A tracking callback that remembers, and forgets when it is asked."""

    keys: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, *, experiment: Any, result: Any, **_: Any) -> None:
        self.keys.append((experiment.key, result.key))

    def taken(self) -> tuple[tuple[str, str], ...]:
        keys, self.keys = tuple(self.keys), []
        return keys


def by_python(features: dict[str, Any], feature: str, users: Sequence[Attributes]) -> list[Answer]:
    """Ask the class for one user at a time."""
    seen = Seen()
    client = GrowthBook(features=features, on_experiment_viewed=seen)
    answers = []
    for attributes in users:
        client.set_attributes(attributes)
        answers.append((client.eval_feature(feature).value, seen.taken()))
    return answers


def by_async_python(
    features: dict[str, Any], feature: str, users: Sequence[Attributes]
) -> list[Answer]:
    """Ask the class for many users."""

    async def ask() -> list[Answer]:
        seen = Seen()
        client = GrowthBookClient(Options(on_experiment_viewed=seen))
        await client.set_features(features)
        return [
            (
                (await client.eval_feature(feature, UserContext(attributes=attributes))).value,
                seen.taken(),
            )
            for attributes in users
        ]

    return asyncio.run(ask())


@dataclass(kw_only=True)
class NodeJob:
    """What one process of Node is asked, and answers."""

    payloads: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    users: Sequence[Attributes] = ()
    conditions: Sequence[dict[str, Any]] = ()
    attributes: Sequence[Attributes] = ()

    def done(
        self, node: dict[str, str], folder: Path
    ) -> tuple[list[tuple[list[Answer], list[Answer]]], list[str]]:
        """Return what both classes say of each payload, and a digit a set for each condition."""
        asked, answered = folder / "job.json", folder / "answer.json"
        job = {
            "payloads": [{"features": f, "feature": name} for f, name in self.payloads],
            "users": self.users,
            "conditions": self.conditions,
            "attributes": self.attributes,
        }
        asked.write_text(json.dumps(job))
        command = ["node", str(AGENT), str(asked), str(answered)]
        subprocess.run(command, env=node, capture_output=True, check=True, timeout=120)
        answer = json.loads(answered.read_text())
        payloads = [(_read(one), _read(many)) for one, many in answer["payloads"]]
        return payloads, answer["conditions"]


def _read(answers: list[Any]) -> list[Answer]:
    return [(value, tuple((key, arm) for key, arm in seen)) for value, seen in answers]
