import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from expplat.stats.off_policy import (
    decisions,
    doubly_robust,
    inverse_propensity,
    overlap,
    self_normalised,
    unsupported_mass,
)

LOGS = Path(__file__).parents[2].parent / "shared" / "data" / "obd_men"

REWARDS = np.tile([1.0, 0.0, 1.0], 60)
TARGET = np.tile([0.25, 0.5, 1.0], 60)
LOGGING = np.tile([0.5, 0.5, 0.5], 60)
"""Weights of 0.5, 1 and 2, often enough that a normal interval may be asked for."""

BY_HAND = decisions(REWARDS, TARGET, LOGGING)


@pytest.fixture(scope="module")
def logs():
    if not LOGS.is_dir():
        pytest.skip("the logged bandit feedback is not beside this checkout")
    return {name: pd.read_parquet(LOGS / f"{name}.parquet") for name in ("bts", "random")}


def test_a_uniform_policy_from_the_log_of_a_bandit(logs):
    bts = logs["bts"]
    log = decisions(bts["click"], np.full(len(bts), 1 / 34), bts["propensity_score"])

    weighted, normalised, found = inverse_propensity(log), self_normalised(log), overlap(log)

    assert weighted.estimate == pytest.approx(0.003009, abs=5e-7)
    assert weighted.standard_error == pytest.approx(0.000774, abs=5e-7)
    assert normalised.estimate == pytest.approx(0.003189, abs=5e-7)
    assert found.effective == pytest.approx(656, abs=0.5)
    assert found.largest_weight == pytest.approx(178, abs=0.5)


def test_a_bandit_without_context_from_a_random_log(logs):
    bts, random = logs["bts"], logs["random"]
    counts = bts.groupby(["position", "item_id"]).size()
    shares = (counts / counts.groupby("position").transform("sum")).to_dict()
    pairs = zip(random["position"], random["item_id"], strict=True)
    target = [shares.get(pair, 0.0) for pair in pairs]
    log = decisions(random["click"], target, random["propensity_score"])

    weighted, found = inverse_propensity(log), overlap(log)

    assert weighted.estimate == pytest.approx(0.005656, abs=5e-7)
    assert weighted.standard_error == pytest.approx(0.001398, abs=5e-7)
    assert self_normalised(log).estimate == pytest.approx(0.005740, abs=5e-7)
    assert found.effective == pytest.approx(2869, abs=0.5)
    assert found.largest_weight == pytest.approx(7.5, abs=0.05)
    assert weighted.low <= bts["click"].mean() <= weighted.high


def test_a_model_of_one_level_changes_nothing_for_the_policy_that_logged(logs):
    random = logs["random"]
    target = np.full(len(random), 1 / 34)
    log = decisions(random["click"], target, random["propensity_score"])
    level = np.full(len(random), random["click"].mean())

    found = doubly_robust(log, level, level)

    assert found.estimate == pytest.approx(random["click"].mean())


def test_the_sums_are_those_by_hand():
    assert inverse_propensity(BY_HAND).estimate == pytest.approx(2.5 / 3)
    assert self_normalised(BY_HAND).estimate == pytest.approx(2.5 / 3.5)
    assert overlap(BY_HAND).effective == pytest.approx(180 * (3.5 / 3) ** 2 / (5.25 / 3))


def test_what_every_decision_earns_more_moves_the_normalised_mean_by_just_as_much():
    more = decisions(REWARDS + 5, TARGET, LOGGING)

    assert self_normalised(more).estimate == pytest.approx(5 + 2.5 / 3.5)
    assert self_normalised(more).standard_error == pytest.approx(
        self_normalised(BY_HAND).standard_error
    )


def test_the_targets_own_log_gives_the_plain_mean():
    own = decisions(REWARDS, LOGGING, LOGGING)

    assert inverse_propensity(own).estimate == pytest.approx(REWARDS.mean())
    assert inverse_propensity(own).standard_error == pytest.approx(
        REWARDS.std(ddof=1) / math.sqrt(len(REWARDS))
    )


def test_a_model_that_says_nothing_leaves_inverse_propensity():
    nothing = np.zeros(len(REWARDS))

    assert doubly_robust(BY_HAND, nothing, nothing).low == inverse_propensity(BY_HAND).low


def test_an_exact_model_leaves_nothing_to_correct():
    chosen = np.tile([0.2, 0.4, 0.9], 60)

    assert doubly_robust(BY_HAND, REWARDS, chosen).estimate == pytest.approx(0.5)


def test_wrong_propensities_are_mended_by_a_right_model():
    generator = np.random.default_rng(3)
    n = 20_000
    treated = generator.random(n) < 0.3
    rewards = np.where(treated, 0.6, 0.2) + generator.normal(0, 0.1, n)
    log = decisions(rewards, treated.astype(float), np.full(n, 0.5))

    mended = doubly_robust(log, np.where(treated, 0.6, 0.2), np.full(n, 0.6))

    assert mended.low < 0.6 < mended.high
    assert inverse_propensity(log).high < 0.6


@pytest.mark.parametrize("estimate", [inverse_propensity, self_normalised])
def test_a_log_that_saw_too_little_of_the_target_gives_no_number(estimate):
    logging = np.full(10_000, 0.5)
    logging[0] = 1e-6
    log = decisions(np.ones(10_000), np.full(10_000, 0.5), logging)

    found = estimate(log)

    assert found.low is None
    assert "overlap" in found.warnings[0]


def test_the_share_that_is_asked_for_can_be_stated():
    strict = decisions(REWARDS, TARGET, LOGGING, least_effective_share=0.9)

    assert inverse_propensity(strict).low is None
    assert inverse_propensity(BY_HAND).low is not None


def test_a_target_that_does_what_the_log_never_did_is_refused():
    unsupported = unsupported_mass([[0.5, 0.3, 0.2]] * 3, [[0.9, 0.1, 0.0]] * 3)
    log = decisions(REWARDS, TARGET, LOGGING, unsupported=unsupported)

    assert unsupported == pytest.approx(0.2)
    assert "20.00%" in overlap(log).refusal
    assert doubly_robust(log, REWARDS, REWARDS).low is None


@pytest.mark.parametrize(
    ("target", "logging", "word"),
    [(TARGET * 0, LOGGING, "never"), (TARGET, LOGGING * 0, "propensity"),
     (TARGET, LOGGING * math.nan, "propensity"), (TARGET, LOGGING * 3, "propensity")],
)  # fmt: skip
def test_propensities_that_are_none_give_no_number(target, logging, word):
    found = inverse_propensity(decisions(REWARDS, target, logging))

    assert found.low is None
    assert word in found.warnings[0]


def test_a_reward_that_is_missing_gives_no_number():
    rewards = REWARDS.copy()
    rewards[3] = math.nan

    assert self_normalised(decisions(rewards, TARGET, LOGGING)).low is None


@pytest.mark.parametrize(
    "ask",
    [
        lambda: decisions([1.0], [0.5, 0.5], [0.5, 0.5]),
        lambda: decisions([], [], []),
        lambda: decisions(REWARDS, TARGET * 2, LOGGING),
        lambda: decisions(REWARDS, TARGET, LOGGING, unsupported=2.0),
        lambda: doubly_robust(BY_HAND, [1.0], [1.0]),
        lambda: inverse_propensity(BY_HAND, alpha=2.0),
        lambda: unsupported_mass([1.0], [1.0]),
    ],
)
def test_columns_that_do_not_fit_are_refused(ask):
    with pytest.raises(ValueError, match=r".+"):
        ask()


@pytest.mark.long
def test_intervals_hold_the_truth_as_often_as_they_say():
    generator = np.random.default_rng(11)
    n, runs, hits = 4_000, 1_000, np.zeros(3)
    shares, success = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.3])
    wanted = np.array([0.2, 0.2, 0.6])
    truth = float(wanted @ success)
    for _ in range(runs):
        action = generator.choice(3, n, p=shares)
        rewards = (generator.random(n) < success[action]).astype(float)
        log = decisions(rewards, wanted[action], shares[action])
        model = np.array([0.12, 0.18, 0.33])
        robust = doubly_robust(log, model[action], np.full(n, wanted @ model))
        found = (inverse_propensity(log), self_normalised(log), robust)
        hits += [one.low <= truth <= one.high for one in found]

    print("coverage:", hits / runs)
    assert np.all(np.abs(hits / runs - 0.95) < 0.025)
