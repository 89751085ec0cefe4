"""savvi: the sequential multinomial test of a split, by Lindon and Malek."""

from __future__ import annotations

import json

import pytest

from expplat.stats.srm import sample_ratio
from tests.peers.asking import agrees, as_recorded, ask, long_and_with_peers, questions, recorded

SPLITS = questions()["splits"]
ANSWERS = recorded("savvi")
BATCHES = (1, 7)


@pytest.mark.parametrize("batches", BATCHES)
@pytest.mark.parametrize("k", [100.0, 1_000.0, 10_000.0])
@pytest.mark.parametrize("split", SPLITS)
def test_the_e_value_of_a_split_is_the_same_in_one_batch_and_in_seven(
    split: str, k: float, batches: int
) -> None:
    answer = ANSWERS[split][f"{k:g} in {batches}"]

    found = sample_ratio(SPLITS[split]["counts"], SPLITS[split]["shares"], k)

    assert found.e_value == agrees(answer["e_value"])
    assert found.p == agrees(min(1.0, answer["p"])), "savvi lets a p-value go above 1"


class TestAskedAnew:
    pytestmark = long_and_with_peers

    def test_savvi_says_what_was_recorded(self) -> None:
        assert json.loads(ask("savvi")) == as_recorded("savvi")
