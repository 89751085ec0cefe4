"""Finished replays, and whether MLflow has its copy."""

from __future__ import annotations

import json

from sqlalchemy import Connection, select, update

from expplat.adapters.sql.inserts import insert_or_replace
from expplat.adapters.sql.tables import replays
from expplat.domain.plain import canonical_json, from_plain
from expplat.domain.replay import ReplayReport
from expplat.errors import NotFoundError


class SqlReplays:
    """Reports as canonical JSON, with the address of their copy beside them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, replay_id: str) -> ReplayReport | None:
        """Return the report of that id; None where there is none."""
        wanted = select(replays.c.report).where(replays.c.replay_id == replay_id)
        text = self._connection.scalar(wanted)
        return None if text is None else _report(text)

    def add(self, report: ReplayReport) -> None:
        """Keep a report, as not yet copied to MLflow; the same id again replaces it."""
        row = {
            "replay_id": report.plan.replay_id,
            "slug": report.plan.slug,
            "finished_at": report.finished_at,
            "report": canonical_json(report).decode(),
            "address": None,
        }
        changed = ("slug", "finished_at", "report", "address")
        self._connection.execute(insert_or_replace(self._connection, replays, changed), row)

    def uncopied(self) -> tuple[ReplayReport, ...]:
        """Return the reports that MLflow has not received, oldest first."""
        wanted = select(replays.c.report).where(replays.c.address.is_(None))
        oldest_first = wanted.order_by(replays.c.finished_at, replays.c.replay_id)
        return tuple(_report(text) for text in self._connection.scalars(oldest_first))

    def mark_copied(self, replay_id: str, address: str) -> None:
        """Note that MLflow has it, and where a person can look at it, or raise NotFoundError."""
        own = update(replays).where(replays.c.replay_id == replay_id)
        if self._connection.execute(own.values(address=address)).rowcount == 0:
            raise NotFoundError(f"No replay has the id {replay_id!r}.")

    def address(self, replay_id: str) -> str | None:
        """Return where MLflow shows the replay; None while it has not received it."""
        wanted = select(replays.c.address).where(replays.c.replay_id == replay_id)
        return self._connection.scalar(wanted)


def _report(text: str) -> ReplayReport:
    return from_plain(ReplayReport, json.loads(text))
