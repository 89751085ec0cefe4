"""Long: a replay that is read five times, through the paired statistics and the gates themselves.

Each share is printed with 1.96 of its Monte Carlo error.
"""

import math
from typing import NamedTuple

import numpy as np
import pytest

from expplat.domain.gate import Effect, Gate, GateKind, Ruling
from expplat.domain.replay import joint_ruling
from expplat.gates import judge
from expplat.stats import paired
from expplat.stats.early_stop import nominal_alpha

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_800)]

N = 500
LOOKS = tuple(N * look // 5 for look in range(1, 6))
ALPHA = 0.05
MARGIN = 0.05
TINY = 1e-9


class Replay(NamedTuple):
    """Differences of two metrics, request by request: what should gain, what should not lose."""

    gains: np.ndarray
    losses: np.ndarray
    clusters: np.ndarray | None = None


class Ended(NamedTuple):
    ruling: Ruling
    share: float


def draw(generator, *, gain, loss, clustered=False):
    """Skewed differences whose means are gain and −loss; with clusters, five alike requests."""
    noise = generator.exponential(0.2, N) - 0.2
    other = generator.normal(0, 0.3, N)
    if not clustered:
        return Replay(gain + noise, other - loss)
    clusters = np.arange(N) // 5
    return Replay(
        gain + noise / 2 + generator.normal(0, 0.1, N)[clusters],
        other - loss + generator.normal(0, 0.1, N)[clusters],
        clusters,
    )


def verdict_on(gate, found, sign=1):
    effect = Effect(
        metric="m",
        unit="",
        sign=sign,
        control=0.0,
        treatment=found.estimate,
        difference=found.estimate,
        low=found.low,
        high=found.high,
        p=found.p,
        n_control=found.n,
        n_treatment=found.n,
        method=found.method,
    )
    return judge(gate, effect)


def verdict(gate, differences, clusters, alpha):
    zeros = np.zeros(len(differences))
    return verdict_on(gate, paired.mean_difference(zeros, differences, clusters, alpha))


def run(replay, gates, looks=LOOKS):
    """Read the replay at each look until its gates have all passed, or one has failed."""
    ruling, n = Ruling.UNKNOWN, 0
    for look, n in enumerate(looks):
        alpha = nominal_alpha([one / N for one in looks[: look + 1]], ALPHA)
        clusters = None if replay.clusters is None else replay.clusters[:n]
        columns = (replay.gains[:n], replay.losses[:n])
        verdicts = tuple(
            verdict(gate, column, clusters, alpha)
            for gate, column in zip(gates, columns, strict=True)
        )
        ruling = joint_ruling(verdicts)
        if ruling is not Ruling.UNKNOWN:
            break
    return Ended(ruling, n / N)


def superiority(min_effect, *, strict=False):
    return Gate(kind=GateKind.SUPERIORITY, metric="m", min_effect=min_effect, strict=strict)


NO_HARM = Gate(kind=GateKind.NON_INFERIORITY, metric="m", margin=MARGIN)


def passes(what, replays, gates, looks=LOOKS):
    """Print and return how often the replays pass, and the share of the requests that they take."""
    ended = [run(replay, gates, looks) for replay in replays]
    share = np.mean([one.ruling is Ruling.PASS for one in ended])
    used = np.mean([one.share for one in ended])
    error = 1.96 * math.sqrt(share * (1 - share) / len(ended))
    print(f"{what}: passes {share:.4f} ± {error:.4f}, takes {used:.3f} of the requests")
    return share, used


def draws(seed, runs, **asked):
    generator = np.random.default_rng(seed)
    return (draw(generator, **asked) for _ in range(runs))


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize(
    ("what", "gain", "loss", "gates"),
    [
        ("no gain", 0.0, -0.2, (superiority(TINY), NO_HARM)),
        ("harm at the margin", 0.5, MARGIN, (superiority(TINY), NO_HARM)),
        ("strict, a gain of min_effect", 0.05, -0.2, (superiority(0.05, strict=True), NO_HARM)),
    ],
)
def test_a_replay_that_deserves_no_pass_gets_one_no_more_often_than_it_may(
    what, gain, loss, gates, clustered
):
    runs = 10_000

    share, _ = passes(what, draws(1, runs, gain=gain, loss=loss, clustered=clustered), gates)

    assert share <= ALPHA / 2 + 3 * math.sqrt(ALPHA / 2 * (1 - ALPHA / 2) / runs)


def test_rare_and_large_losses_pass_a_little_too_often_as_they_do_at_one_look():
    generator, runs = np.random.default_rng(3), 10_000
    replays = [Replay(-draw(generator, gain=0, loss=0).gains, np.ones(N)) for _ in range(runs)]
    gates = (superiority(TINY), NO_HARM)

    five, _ = passes("skewed losses, five looks", replays, gates)
    once, _ = passes("skewed losses, one look", replays, gates, (N,))

    assert five <= once + 0.01 <= 0.05


def test_a_p95_that_is_as_much_slower_as_is_allowed_passes_no_more_often_than_it_may():
    generator, runs, slower = np.random.default_rng(4), 600, 1.2
    margin = (slower - 1) * math.exp(1.6448536 * math.hypot(0.7, 0.4))
    gate = Gate(kind=GateKind.NON_INFERIORITY, metric="m", margin=margin)
    hits = 0
    for _ in range(runs):
        base = generator.lognormal(0, 0.7, N)
        control, treatment = (base * generator.lognormal(0, 0.4, N) for _ in range(2))
        for look, n in enumerate(LOOKS):
            alpha = nominal_alpha([one / N for one in LOOKS[: look + 1]], ALPHA)
            columns = control[:n], slower * treatment[:n]
            found = paired.quantile_difference(*columns, 0.95, alpha=alpha, seed=7)
            ruling = verdict_on(gate, found, sign=-1).ruling
            if ruling is not Ruling.UNKNOWN:
                hits += ruling is Ruling.PASS
                break

    print(f"p95 at its margin: passes {hits / runs:.4f} of {runs}")
    assert hits / runs <= ALPHA / 2 + 3 * math.sqrt(ALPHA / 2 * (1 - ALPHA / 2) / runs)


MIN_EFFECT = 0.2 * 3.24 / math.sqrt(N)
"""That one look at all requests tells from nothing in nine of ten replays."""


@pytest.mark.parametrize(
    ("times", "most_used", "least_power"),
    [(0, 0.75, 0), (1, 0.8, 0.55), (2, 0.5, 0.99), (3, 0.45, 0.99)],
)
def test_a_clear_answer_saves_more_than_half_of_the_calls(times, most_used, least_power):
    gates = (superiority(MIN_EFFECT), NO_HARM)
    asked = {"gain": times * MIN_EFFECT, "loss": -0.03}

    share, used = passes(f"{times} x min_effect, five looks", draws(2, 4_000, **asked), gates)
    once, _ = passes(f"{times} x min_effect, one look", draws(2, 4_000, **asked), gates, (N,))

    assert used <= most_used
    assert share >= max(least_power, once - 0.02)
