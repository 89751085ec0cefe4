"""Ask savvi: the sequential multinomial test of a split, in one batch and in several."""

from __future__ import annotations

from typing import Any

import numpy as np
from answering import Questions, answer
from savvi.multinomial import Multinomial

CONCENTRATIONS = (100.0, 1_000.0, 10_000.0)


def tested(split: dict[str, list[float]], k: float, batches: int) -> dict[str, float]:
    """The e-value, which savvi calls odds, and the p-value after so many even batches."""
    test = Multinomial(0.05, np.array(split["shares"]), k)
    counts = np.array(split["counts"], dtype=np.int64)
    for batch in range(batches):
        test.update(counts * (batch + 1) // batches - counts * batch // batches)
    return {"e_value": test.odds, "p": test.calculate_p_value()}


def ask(questions: Questions) -> dict[str, Any]:
    return {
        name: {
            f"{k:g} in {batches}": tested(split, k, batches)
            for k in CONCENTRATIONS
            for batches in (1, 7)
        }
        for name, split in questions["splits"].items()
    }


if __name__ == "__main__":
    answer("savvi", ask)
