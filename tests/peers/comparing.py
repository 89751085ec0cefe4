"""The recorded samples in the shapes that our functions take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from expplat.domain.moments import JointMoments, Moments
from expplat.stats.interval import Interval
from expplat.stats.joint_moments import joint_moments_of, linearised, marginal
from expplat.stats.two_proportions import Counts
from tests.peers.asking import agrees, questions

ASKED = questions()
SAMPLES = ASKED["samples"]
COUNTS = {name: tuple(Counts(*pair) for pair in pairs) for name, pairs in ASKED["counts"].items()}

LARGE_SPLITS = [name for name, split in ASKED["splits"].items() if sum(split["counts"]) >= 1_000]
"""Below, we take the exact binomial test for two variants, as tea-tasting does."""

Shape = TypeVar("Shape")
Arm = Mapping[str, list[float]]


def both(sample: str, shaped: Callable[[Arm], Shape]) -> tuple[Shape, Shape]:
    """Return control and treatment of a sample."""
    return shaped(SAMPLES[sample]["control"]), shaped(SAMPLES[sample]["treatment"])


def mean_of(arm: Arm) -> Moments:
    return marginal(joint_moments_of(arm["value"]))


def with_covariate(arm: Arm) -> JointMoments:
    return joint_moments_of(arm["value"], arm["pre"])


def ratio_of(arm: Arm) -> Moments:
    return marginal(ratio_with_covariate(arm))


def ratio_with_covariate(arm: Arm) -> JointMoments:
    found = linearised(joint_moments_of(arm["value"], arm["parts"], arm["pre"]))
    assert found is not None
    return found


def assert_same(found: Interval, answer: Mapping[str, float]) -> None:
    """Hold every number of ours that a peer names as well against the peer's."""
    ours: dict[str, Any] = {
        "estimate": found.estimate,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "standard_error": found.standard_error,
    }
    shared = {word: number for word, number in ours.items() if word in answer}
    assert len(shared) >= 3
    assert shared == {word: agrees(answer[word]) for word in shared}
