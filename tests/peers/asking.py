"""Where the questions and the peers' answers lie, and how a peer is asked anew."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ANSWERS = HERE / "answers"
PEERS_PYTHON = HERE.parents[1] / ".venv-peers" / "bin" / "python"
PEERS = ("gbstats", "savvi", "spotify_confidence", "tea_tasting")

RELATIVE = 1e-9
"""What the same method must agree to, unless a peer itself computes to less."""

long_and_with_peers = [
    pytest.mark.long,
    pytest.mark.skipif(
        not PEERS_PYTHON.exists(), reason="the peers' environment is missing: make peers"
    ),
]


def questions() -> Any:
    return json.loads((HERE / "questions.json").read_text())


def recorded(peer: str) -> Any:
    """Return what a peer said when it was last asked."""
    return json.loads((ANSWERS / f"{peer}.json").read_text())["answers"]


def ask(peer: str) -> str:
    """Return what a peer says now; needs `make peers`."""
    with (HERE / "questions.json").open() as asked:
        done = subprocess.run(
            [PEERS_PYTHON, "-W", "ignore", HERE / f"ask_{peer}.py"],
            stdin=asked,
            capture_output=True,
            text=True,
            check=True,
            timeout=250,
        )
    return done.stdout


def as_recorded(peer: str) -> Any:
    """Return what a peer is recorded to say, to be held against what it says now."""
    return _approximate(json.loads((ANSWERS / f"{peer}.json").read_text()))


def agrees(number: float) -> Any:
    """Return what equals a number to within the agreement that is asked of the same method."""
    return pytest.approx(number, rel=RELATIVE, abs=0)


def _approximate(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _approximate(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_approximate(inner) for inner in value]
    return pytest.approx(value, rel=1e-11, abs=1e-300) if isinstance(value, float) else value
