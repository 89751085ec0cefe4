"""What `make mutants` found: of how many changes to the code that decides, the tests saw how many.

`python tests/mutation_score.py [FOLDER]`; exit status 1 where a module's score is below `LEAST`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

LEAST = 0.85
SURVIVED = 0
"""Exit status of tests that saw nothing."""


def main(folder: Path) -> int:
    """Print the score of each module and what survived."""
    is_low = False
    for meta in sorted(folder.rglob("*.meta")):
        statuses = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        tried = {name: status for name, status in statuses.items() if status is not None}
        if not tried:
            continue
        survivors = sorted(name for name, status in tried.items() if status == SURVIVED)
        score = 1 - len(survivors) / len(tried)
        is_low |= score < LEAST or len(tried) < len(statuses)
        module = meta.relative_to(folder).with_suffix("")
        print(f"{module}: {len(tried) - len(survivors)} of {len(statuses)} seen, {score:.1%}")
        for name in survivors:
            print(f"    survived: {name}")
    return int(is_low)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "mutants")))
