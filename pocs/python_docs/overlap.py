"""How far the questions of the log repeat the words of their answers.

Run `python -m pocs.python_docs.overlap [log]` in the workspace. A log whose questions are made from
the passages' own words would flatter every search by words; this says how far ours is from that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from pocs.python_docs.corpus import passages
from pocs.python_docs.words import stems

LOG = Path("experiments/logs/python_questions.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Shares of one question's content words, 0 to 1."""

    segment: str
    relevant: float
    """Found in the relevant passage that has most of them."""

    other: float
    """Found in the best passage that is not relevant."""


def overlaps(log: Path) -> Iterator[Overlap]:
    """Yield the overlap of each answerable question, in the order of the log."""
    corpus = [
        (passage.document_id, frozenset(stems(f"{passage.title} {passage.text}")))
        for passage in passages()
    ]
    for line in log.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        asked = frozenset(stems(row["input"]["question"]))
        right = frozenset(row["expected"]["relevant_ids"])
        if not asked or not right:
            continue
        shares = [(name in right, len(asked & words) / len(asked)) for name, words in corpus]
        yield Overlap(
            segment=row["segment"]["topic"],
            relevant=max((share for is_right, share in shares if is_right), default=0.0),
            other=max(share for is_right, share in shares if not is_right),
        )


def main() -> None:
    """Print the mean shares, by segment and over all."""
    found = list(overlaps(Path(sys.argv[1]) if len(sys.argv) > 1 else LOG))
    print(f"{'segment':<8} {'questions':>9} {'in the relevant':>16} {'in the best other':>18}")
    for segment in (*sorted({item.segment for item in found}), "all"):
        part = [item for item in found if segment in ("all", item.segment)]
        relevant, other = fmean(item.relevant for item in part), fmean(item.other for item in part)
        print(f"{segment:<8} {len(part):>9} {relevant:>16.3f} {other:>18.3f}")
    harder = fmean(item.other >= item.relevant for item in found)
    print(f"Another passage has at least as many of the words: {harder:.3f} of the questions.")


if __name__ == "__main__":
    main()
