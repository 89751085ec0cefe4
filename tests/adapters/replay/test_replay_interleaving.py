"""The order of the calls."""

from __future__ import annotations

from collections import Counter

import pytest

from expplat.adapters.replay.order import Interleaving
from expplat.domain.proposal import Measurement
from expplat.domain.replay import CONTROL, CONTROL_AGAIN, TREATMENT


def order(requests: int, **measurement: int) -> list[tuple[str, ...]]:
    interleaving = Interleaving(Measurement(**measurement), requests)
    return [interleaving.arms(position) for position in range(requests)]


@pytest.mark.parametrize("seed", [1, 7, 8])
def test_the_pair_alternates_request_by_request(seed):
    arms = order(40, seed=seed, aa_requests=0)

    assert {arms[0], arms[1]} == {(CONTROL, TREATMENT), (TREATMENT, CONTROL)}
    assert all(arms[n] == arms[n % 2] for n in range(40))


def test_the_seed_says_who_begins():
    first = {order(1, seed=seed, aa_requests=0)[0][0] for seed in range(20)}

    assert first == {CONTROL, TREATMENT}


def test_every_tenth_of_the_log_has_its_share_of_the_noise_floor():
    arms = order(1000, aa_requests=60)

    tenths = Counter(position // 100 for position in range(1000) if len(arms[position]) == 3)
    assert sum(tenths.values()) == 60
    assert set(tenths.values()) == {6}


def test_control_again_takes_every_place_in_the_order():
    arms = [names for names in order(3000, aa_requests=3000) if len(names) == 3]

    places = Counter(names.index(CONTROL_AGAIN) for names in arms)
    before = sum(names.index(CONTROL) < names.index(CONTROL_AGAIN) for names in arms)
    assert all(900 < count < 1100 for count in places.values())
    assert 1350 < before < 1650


def test_a_short_log_is_answered_twice_as_a_whole():
    assert all(len(names) == 3 for names in order(5, aa_requests=60))


def test_the_same_plan_gives_the_same_order():
    assert order(100, seed=3, aa_requests=10) == order(100, seed=3, aa_requests=10)
    assert order(100, seed=3, aa_requests=10) != order(100, seed=4, aa_requests=10)
