"""Tables that tests of `analyze` and `compare` share, and how they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from expplat.adapters.table import DuckTables
from expplat.domain.analysis import Analysis, Comparison, Finding
from expplat.domain.question import Question, Standard
from expplat.flow.analyze import analyze
from expplat.flow.asking import Words, asked_metrics
from expplat.flow.compare import compare

WORDS = frozenset(Words._fields)
QUESTION = frozenset(Question.__slots__)


def question(*metrics: str, **more: Any) -> Question:
    words = {name: more.pop(name) for name in WORDS & set(more)}
    settings = {"variant": "variant", "control": "control", "unit": "user"} | more
    return Question(metrics=asked_metrics(Words(metrics, **words)), **settings)


def analyzed(frame: Any, *metrics: str, **more: Any) -> Analysis:
    """Ask `analyze` of a frame; further words are of the metrics, the question or the standard."""
    asked = {name: more.pop(name) for name in (QUESTION | WORDS) & set(more)}
    return analyze(question(*metrics, **asked), Standard(**more), opened(frame))


def compared(frame: Any, *metrics: str, **more: Any) -> Analysis:
    """Ask `compare` of a frame."""
    asked = {name: more.pop(name) for name in (QUESTION | WORDS) & set(more)}
    asked = {"unit": "request"} | asked
    return compare(question(*metrics, **asked), Standard(**more), opened(frame))


def opened(frame: Any) -> Any:
    return DuckTables(threads=1).open_frame(frame)


def of(found: Analysis, metric: str, variant: str | None = None) -> Comparison:
    (one,) = [
        row for row in found.comparisons if row.metric == metric and variant in (None, row.variant)
    ]
    return one


def check(found: Analysis, name: str) -> Finding:
    (one,) = [row for row in found.health if row.check == name]
    return one


def checks(found: Analysis) -> dict[str, str]:
    return {row.check: str(row.ruling) for row in found.health}


def users(n: int = 600, *, seed: int = 0, lift: float = 0.0, arms: Sequence[str] = ("b",)) -> Any:
    """Return one row a user: spent and bought, with what was known before."""
    draw = np.random.default_rng(seed)
    variants = np.array(["control", *arms])[draw.integers(0, 1 + len(arms), n)]
    before = draw.normal(10, 2, n)
    spent = before + draw.gamma(2, 1, n) + lift * (variants != "control")
    return pd.DataFrame({
        "user": np.arange(n),
        "variant": variants,
        "before": before,
        "spent": spent,
        "bought": draw.random(n) < 0.3 + lift / 10 * (variants != "control"),
        "clicks": draw.poisson(3, n).astype(float),
        "views": draw.poisson(9, n) + 1.0,
        "day": draw.integers(1, 6, n),
    })  # fmt: skip


def requests(n: int = 300, *, seed: int = 0, lift: float = 0.0) -> Any:
    """Return rows of requests: each user has several, and one variant."""
    draw = np.random.default_rng(seed)
    user = draw.integers(0, n // 5, n)
    of_user = draw.permutation(n // 5) % 2
    treated = of_user[user] == 1
    own = draw.normal(0, 1, n // 5)
    return pd.DataFrame({
        "request_id": [f"r{place}" for place in range(n)],
        "user": user,
        "variant": np.where(treated, "b", "control"),
        "spent": 5 + own[user] + draw.normal(0, 0.3, n) + lift * treated,
        "good": draw.random(n) < 0.5,
        "clicks": draw.poisson(2, n).astype(float),
        "views": draw.poisson(6, n) + 1.0,
    })  # fmt: skip


def pairs(n: int = 120, *, seed: int = 0, lift: float = 0.0) -> Any:
    """Return recorded outputs of two systems on the same requests."""
    draw = np.random.default_rng(seed)
    hard = draw.normal(0, 1, n)
    parts = []
    for variant, gain in (("control", 0.0), ("b", lift)):
        parts.append(
            pd.DataFrame(
                {
                    "request": [f"q{place}" for place in range(n)],
                    "variant": variant,
                    "score": hard + draw.normal(0, 0.3, n) + gain,
                    "right": (hard + draw.normal(0, 0.5, n) + gain > 0).astype(int),
                    "ms": np.exp(5 + 0.3 * hard + draw.normal(0, 0.1, n) - gain),
                    "usd": 0.01 + 0.002 * draw.random(n) - 0.002 * gain,
                    "error": "",
                    "topic": np.arange(n) % 40,
                    "kind": np.where(np.arange(n) % 2, "long", "short"),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
