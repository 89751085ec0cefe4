"""How far a replay has come: what one engine at a time knows of the journals that workers write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from expplat.adapters.replay.journal_files import claim, journal_path, locked, whole_lines
from expplat.adapters.replay.journal_rows import BROKEN, spent_usd_of
from expplat.adapters.replay.order import Sweep
from expplat.adapters.replay.shard_notes import finished_rows
from expplat.domain.replay import CONTROL, PRODUCTION_LOG, TREATMENT, ReplayPlan
from expplat.domain.request import logged_system

ENGINE_WAIT_S = 2.0
"""How long an engine waits for another one that runs the same replay."""


class Progressed:
    """Counts the rows of a journal while others write it, reading every byte once."""

    def __init__(self, plan: ReplayPlan) -> None:
        self._plan = plan
        self._seen: dict[int, tuple[int, int]] = {}

    def rows(self, shard: int) -> int:
        """Return how many rows the shard has now."""
        offset, count = self._seen.get(shard, (0, 0))
        try:
            with journal_path(self._plan, shard).open("rb") as file:
                file.seek(offset)
                for line in file:
                    if line.endswith(b"\n"):
                        offset += len(line)
                        count += 1
        except FileNotFoundError:
            return 0
        self._seen[shard] = (offset, count)
        return count

    def count(self, shards: Iterable[int]) -> None:
        """Look at these shards anew."""
        for shard in shards:
            self.rows(shard)

    def unfinished(self, sweep: Sweep) -> list[int]:
        """Return the shards that this sweep is not finished in."""
        return [shard for shard in range(self._plan.shards) if not self._is_done(shard, sweep)]

    def total(self) -> int:
        """Return how many rows were counted so far, in all shards that were looked at."""
        return sum(count for _, count in self._seen.values())

    def spent_usd(self) -> Decimal:
        """Return what the journalled calls cost; a broken line is for the reader to complain of."""
        variants = {CONTROL: self._plan.control, TREATMENT: self._plan.treatment}
        logged = {
            arm for arm, variant in variants.items() if logged_system(variant.use) is not None
        }
        unpaid = logged | {PRODUCTION_LOG}
        spent = Decimal(0)
        for shard in range(self._plan.shards):
            for line in whole_lines(journal_path(self._plan, shard)):
                try:
                    spent += spent_usd_of(line, unpaid)
                except BROKEN:
                    continue
        return spent

    def _is_done(self, shard: int, sweep: Sweep) -> bool:
        marked = finished_rows(self._plan, shard, sweep)
        return self.rows(shard) >= marked if marked is not None else False


@contextmanager
def held(plan: ReplayPlan) -> Iterator[Progressed]:
    """Hold the folder of a replay for one engine; give what its journal holds already.

    Raises:
        ConflictError: If the folder holds another plan's journal.
        TryLaterError: If another process runs the same replay.
    """
    with locked(Path(plan.folder) / "engine.lock", wait_s=ENGINE_WAIT_S):
        claim(plan)
        yield Progressed(plan)
