"""What a client says of itself."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from expplat.client._guard import Complaints
from expplat.client._spool import Spool

if TYPE_CHECKING:
    from expplat.client._flags import Flags
    from expplat.client._sender import Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStats:
    """A snapshot for a health page."""

    flags_origin: str
    """Where the present flags come from: `network`, `disk`, or `none`."""

    flags_updated_at: str | None
    """When they were changed, RFC 3339."""

    flags_confirmed_s_ago: float | None
    """Since the server last said that they are the newest; None if it has not yet."""

    flags: int
    kept: int
    """Events that were put on disk since the start of this process."""

    unsent_bytes: int
    """On disk, not yet acknowledged."""

    sent: int
    """Events that the server has acknowledged."""

    rejected: int
    """Of these, put aside by the server, with a reason: `expplat events list`."""

    refused: int
    """Events that the server could not read; they lie in `refused.jsonl`."""

    dropped: int
    """Events that were never kept: no place on disk, no ingest key, or nothing a server takes."""

    last_error: str | None


def snapshot(
    flags: Flags | None,
    spool: Spool | None,
    sender: Sender | None,
    dropped: int,
    complaints: Complaints,
) -> ClientStats:
    """Return what the parts of a client say of themselves; a part may be missing."""
    present = flags.present if flags is not None else None
    payload = present.payload if present is not None else None
    confirmed_at = flags.confirmed_at if flags is not None else None
    return ClientStats(
        flags_origin=present.origin if present is not None else "none",
        flags_updated_at=payload.updated_at.isoformat() if payload is not None else None,
        flags_confirmed_s_ago=None if confirmed_at is None else time.monotonic() - confirmed_at,
        flags=len(payload.features) if payload is not None else 0,
        kept=spool.appended if spool is not None else 0,
        unsent_bytes=spool.unsent_bytes if spool is not None else 0,
        sent=sender.sent if sender is not None else 0,
        rejected=sender.rejected if sender is not None else 0,
        refused=sender.refused if sender is not None else 0,
        dropped=dropped + (spool.dropped if spool is not None else 0),
        last_error=complaints.newest,
    )
