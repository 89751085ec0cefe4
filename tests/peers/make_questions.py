"""Write `questions.json`: the samples, counts and plans that every peer is asked about.

Run once: `.venv/bin/python -m tests.peers.make_questions`, then `record_answers` likewise. A new
numpy may draw other numbers from the same seeds, which is why the questions themselves are kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

QUESTIONS = Path(__file__).with_name("questions.json")
Arm = dict[str, list[float]]


def rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in values]


def steady(rng: np.random.Generator, n: int, effect: float) -> Arm:
    """Bell-shaped values, and a steadier account of the same units before the test."""
    level = rng.normal(20.0, 2.0, n)
    parts = rng.integers(1, 6, n)
    return {
        "value": rounded(level + effect + rng.normal(0.0, 2.0, n)),
        "pre": rounded(level + rng.normal(0.0, 1.5, n)),
        "parts": rounded(parts),
    }


def skewed(rng: np.random.Generator, n: int, effect: float) -> Arm:
    """Money: most spend little, a few a lot."""
    level = rng.normal(1.0, 0.6, n)
    parts = 1 + rng.poisson(2.0, n)
    return {
        "value": rounded(np.exp(level + effect + rng.normal(0.0, 0.4, n)) * parts),
        "pre": rounded(np.exp(level + rng.normal(0.0, 0.4, n))),
        "parts": rounded(parts),
    }


def rare(rng: np.random.Generator, n: int, effect: float) -> Arm:
    """Counts, most of them 0."""
    rate = rng.gamma(0.8, 0.5, n)
    return {
        "value": rounded(rng.poisson(rate + effect)),
        "pre": rounded(rng.poisson(rate)),
        "parts": rounded(1 + rng.poisson(3.0, n)),
    }


def sample(
    draw: Callable[[np.random.Generator, int, float], Arm],
    *,
    seed: int,
    sizes: tuple[int, int],
    effect: float,
) -> dict[str, Arm]:
    rng = np.random.default_rng(seed)
    return {"control": draw(rng, sizes[0], 0.0), "treatment": draw(rng, sizes[1], effect)}


def latencies(seed: int, sizes: tuple[int, int]) -> dict[str, list[float]]:
    rng = np.random.default_rng(seed)
    return {
        "control": rounded(rng.lognormal(5.0, 0.5, sizes[0])),
        "treatment": rounded(rng.lognormal(5.1, 0.5, sizes[1])),
    }


def questions() -> dict[str, object]:
    return {
        "samples": {
            "steady": sample(steady, seed=1, sizes=(40, 40), effect=0.8),
            "skewed": sample(skewed, seed=2, sizes=(60, 45), effect=0.2),
            "rare": sample(rare, seed=3, sizes=(80, 80), effect=0.15),
            "small arm": sample(steady, seed=4, sizes=(90, 12), effect=-1.0),
        },
        "counts": {  # successes and units, control first
            "common": [[52, 120], [71, 118]],
            "many": [[480, 10_000], [545, 10_000]],
            "scarce": [[3, 2_000], [9, 1_500]],
            "equal": [[50, 100], [50, 100]],
        },
        "splits": {
            "even": {"counts": [5_050, 4_880], "shares": [0.5, 0.5]},
            "small arm": {"counts": [1_060, 3_990], "shares": [0.2, 0.8]},
            "three": {"counts": [260, 231, 540], "shares": [0.25, 0.25, 0.5]},
            "broken": {"counts": [1_200, 1_000], "shares": [0.5, 0.5]},
            "few": {"counts": [70, 46], "shares": [0.5, 0.5]},
            "few in a small arm": {"counts": [95, 305], "shares": [0.2, 0.8]},
        },
        "p_values": {
            "spread": [0.001, 0.2, 0.03, 0.04, 0.5],
            "tied": [0.012, 0.04, 0.012, 0.9],
            "one": [0.03],
            "near": [0.021, 0.022, 0.023, 0.024, 0.025],
        },
        "plans": {  # shares of the planned information, and the power of the spending
            "five even": {"fractions": [0.2, 0.4, 0.6, 0.8, 1.0], "rho": 2.0},
            "uneven": {"fractions": [0.1, 0.35, 0.4, 0.8, 1.0], "rho": 3.0},
            "twenty": {"fractions": [round(0.05 * look, 2) for look in range(1, 21)], "rho": 2.0},
            "unfinished": {"fractions": [0.3, 0.5, 0.7], "rho": 1.0},
        },
        "latencies": {
            "even": latencies(5, (400, 400)),
            "small arm": latencies(6, (900, 150)),
        },
        "alphas": [0.05, 0.01],
        "tunings": [60, 5_000],
        "quantiles": [0.5, 0.9],
    }


if __name__ == "__main__":
    QUESTIONS.write_text(json.dumps(questions(), indent=1, sort_keys=True) + "\n")
