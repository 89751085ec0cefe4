"""Everybody who is asked puts a user into the same arm: both SDKs, and the arithmetic on paper."""

from __future__ import annotations

import itertools
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from growthbook import GrowthBook

from expplat.adapters.growthbook.payload import render
from expplat.domain.poc import Stage
from expplat.flow.flags import FlagState

USERS = 10_000
SLUG = "hybrid_rrf"
AGENT = Path(__file__).with_name("agent.mjs")
PERCENTS = (5.0, 20.0, 50.0, 100.0)


def a_payload(percent: float, **changes) -> bytes:
    state = {
        "slug": SLUG,
        "phase": 1,
        "stage": Stage.PROMOTED,
        "traffic_percent": percent,
        "unit": "user_id",
        "changed_at": datetime(2026, 11, 22, tzinfo=UTC),
    }
    return render([FlagState(**state | changes)]).body


def fnv1a_32(text: str) -> int:
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) % 2**32
    return value


def by_hand(percent: float, user: str, phase: int = 1) -> tuple[str, str | None]:
    """Value and tracked arm by the published hash (version 2), with nothing of an SDK."""
    seed = f"{SLUG}.p{phase}"
    bucket = fnv1a_32(str(fnv1a_32(seed + user))) % 10_000
    width = percent * 50
    for arm, start in (("control", 0), ("treatment", 5_000)):
        if start <= bucket < start + width:
            return arm, arm
    return "control", None


def by_python(payload: bytes) -> list[tuple[str, str | None]]:
    features = json.loads(payload)["features"]
    answers = []
    for index in range(USERS):
        sdk = GrowthBook(features=features, attributes={"user_id": f"user-{index}"})
        result = sdk.eval_feature(SLUG)
        seen = result.experimentResult
        answers.append((result.value, seen.key if seen and seen.inExperiment else None))
    return answers


def by_node(payload: bytes, node: dict[str, str], folder: Path) -> list[tuple[str, str | None]]:
    file = folder / "payload.json"
    file.write_bytes(payload)
    command = ["node", str(AGENT), "assign", str(file), SLUG, "user_id", str(USERS)]
    done = subprocess.run(command, env=node, capture_output=True, text=True, check=True, timeout=60)
    return [(value, tracked) for value, tracked, _ in json.loads(done.stdout)]


@pytest.mark.parametrize("percent", [*PERCENTS, 0.0, 33.33, 0.02])
def test_the_python_sdk_and_the_arithmetic_agree_on_every_user(percent):
    answers = by_python(a_payload(percent))

    width = int(percent * 50 + 1e-6) / 50
    expected = [by_hand(width, f"user-{index}") for index in range(USERS)]
    assert sum(got != want for got, want in zip(answers, expected, strict=True)) == 0


@pytest.mark.node
@pytest.mark.parametrize("percent", PERCENTS)
def test_the_node_sdk_and_the_arithmetic_agree_on_every_user(percent, node, tmp_path):
    answers = by_node(a_payload(percent), node, tmp_path)

    expected = [by_hand(percent, f"user-{index}") for index in range(USERS)]
    assert sum(got != want for got, want in zip(answers, expected, strict=True)) == 0


def test_nobody_changes_the_arm_or_falls_out_while_the_test_is_widened():
    steps = [by_python(a_payload(percent)) for percent in PERCENTS]

    for narrow, wide in itertools.pairwise(steps):
        moved = [1 for a, b in zip(narrow, wide, strict=True) if a[1] is not None and a != b]
        assert moved == []
    assert all(tracked is not None for _, tracked in steps[-1])


@pytest.mark.parametrize("percent", PERCENTS)
def test_the_arms_are_of_equal_size_at_every_step(percent):
    tracked = [arm for _, arm in by_python(a_payload(percent))]

    control, treatment = tracked.count("control"), tracked.count("treatment")
    assert chi_square_of_equal(control, treatment) < 10.83  # p > 0.001
    assert control + treatment == pytest.approx(USERS * percent / 100, rel=0.15)


def test_a_new_phase_is_a_new_randomisation():
    first = by_python(a_payload(100.0))
    second = by_python(a_payload(100.0, phase=2))

    moved = sum(a != b for a, b in zip(first, second, strict=True))
    assert moved == pytest.approx(USERS / 2, rel=0.05)


@pytest.mark.node
@pytest.mark.parametrize(
    ("stage", "value"), [(Stage.GRADUATED, "treatment"), (Stage.ROLLED_BACK, "control")]
)
def test_after_the_test_everybody_gets_one_value_and_nobody_is_tracked(
    stage, value, node, tmp_path
):
    payload = a_payload(0.0, stage=stage)

    for answers in (by_python(payload), by_node(payload, node, tmp_path)):
        assert answers == [(value, None)] * USERS


def chi_square_of_equal(a: int, b: int) -> float:
    return (a - b) ** 2 / (a + b)
