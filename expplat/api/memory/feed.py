"""What is served from memory: the flags and the keys, kept current beside the requests."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from expplat.adapters.growthbook.payload import Payload, UpstreamFlags, render
from expplat.adapters.growthbook.served_file import ServedFile
from expplat.adapters.growthbook.upstream import GrowthBookUpstream
from expplat.domain.poc import Poc
from expplat.domain.proposal import Proposal
from expplat.errors import ConfigurationError, DependencyError, InputError
from expplat.flow.flags import flag_states, proposals_needed
from expplat.flow.keys import key_id_of
from expplat.flow.ports import AccessKey, Brake, Flags, SpecReader, UnitOfWork, UnitOfWorkFactory

log = logging.getLogger("expplat.api")


class Feed:
    """The newest payload and the live keys.

    Requests only read; three threads write: one follows the database, one the emergency brake, one
    an upstream if there is any, so that a database that hangs never delays the brake. What was read
    last is served until more can be read.
    """

    def __init__(
        self,
        *,
        uow: UnitOfWorkFactory,
        reader: SpecReader,
        flags: Flags,
        on_change: Callable[[], None],
        served: ServedFile,
        upstream: GrowthBookUpstream | None = None,
    ) -> None:
        self._uow = uow
        self._reader = reader
        self._flags = flags
        self._on_change = on_change
        self._upstream = upstream
        self._upstream_flags: UpstreamFlags | None = None
        self._is_upstream_away = False
        self._lock = threading.Lock()
        self._transitions = -1
        self._pocs: tuple[Poc, ...] = ()
        self._proposals: dict[str, Proposal] = {}
        self._closed: Mapping[str, Brake] = {}
        self._keys: Mapping[str, AccessKey] = {}
        self._revoked: frozenset[str] = frozenset()
        self._read_at = float("-inf")
        self._is_away = False
        self._is_brake_readable = True
        self._file = served
        self._file_lock = threading.Lock()
        self.payload: Payload = render(())
        self._served = self.payload.served

    @property
    def seconds_since_database(self) -> float:
        """How long ago the database answered."""
        return time.monotonic() - self._read_at

    def find_key(self, secret: str) -> AccessKey | None:
        """Return the live key of a secret; None where the memory has none."""
        return self._keys.get(key_id_of(secret))

    def is_revoked(self, key: AccessKey) -> bool:
        """Whether a key that was accepted once no longer is."""
        return key.key_id in self._revoked

    def load(self) -> None:
        """Read everything for the first time.

        Raises:
            DependencyError: If the database or the brake is away: a server without flags must not
                open its port.
        """
        self._closed = self._flags.closed()
        self._served = self._file.read() or self._served
        if self._upstream is not None:
            self._upstream_flags = self._upstream.kept()
            if self._upstream_flags is None:
                # Flags that vanish for a moment at every first start would be worse than a wait.
                self.follow_upstream()
        self._read_database()
        threading.Thread(target=self._warm_up, name="expplat warm-up", daemon=True).start()

    def follow_database(self) -> None:
        """Read what changed; while the database is away, keep what was read last."""
        try:
            self._read_database()
        except DependencyError as error:
            if not self._is_away:
                log.warning("Serving the last known flags: %s", error.message)
            self._is_away = True
            return
        if self._is_away:
            log.warning("The database is back.")
        self._is_away = False

    def follow_brake(self) -> None:
        """Read which flags are held closed; where that cannot be read, hold all of them."""
        try:
            closed = self._flags.closed()
            is_readable = True
        except DependencyError as error:
            closed = {poc.slug: Brake(poc.newest.at) for poc in self._pocs}
            is_readable = False
            if self._is_brake_readable:
                log.error("Every flag is served closed: %s", error.message)
        self._is_brake_readable = is_readable
        if closed != self._closed:
            with self._lock:
                self._closed = closed
            self._render()

    def follow_upstream(self) -> None:
        """Ask the upstream, if there is any; while it is away, keep what it said last."""
        if self._upstream is None:
            return
        try:
            flags = self._upstream.poll()
        except DependencyError as error:
            if not self._is_upstream_away:
                log.warning("Serving its last known flags: %s %s", error.message, error.hint)
            self._is_upstream_away = True
            return
        if self._is_upstream_away:
            log.warning("The upstream GrowthBook is back.")
        self._is_upstream_away = False
        if flags is not self._upstream_flags:
            with self._lock:
                self._upstream_flags = flags
            self._render()

    def _read_database(self) -> None:
        with self._uow() as uow:
            self._keep_keys(uow.keys.all())
            transitions = uow.pocs.transitions()
            if transitions != self._transitions:
                pocs = uow.pocs.all()
                proposals = self._read_proposals(uow, pocs)
        if transitions != self._transitions:
            with self._lock:
                self._pocs, self._proposals = pocs, proposals
            self._render()
            self._transitions = transitions
        self._read_at = time.monotonic()

    def _warm_up(self) -> None:
        # What reads proposals takes half a second to make, which the first change must not wait.
        with suppress(InputError, ConfigurationError):
            self._reader.thaw("{}")

    def _keep_keys(self, keys: tuple[AccessKey, ...]) -> None:
        revoked = frozenset(key.key_id for key in keys if key.revoked_at is not None)
        self._keys = {key.key_id: key for key in keys if key.revoked_at is None}
        if revoked != self._revoked:
            self._revoked = revoked
            self._on_change()

    def _read_proposals(self, uow: UnitOfWork, pocs: tuple[Poc, ...]) -> dict[str, Proposal]:
        proposals = {}
        for sha256 in proposals_needed(pocs):
            try:
                proposals[sha256] = self._proposals.get(sha256) or self._reader.thaw(
                    uow.proposals.text(sha256)
                )
            except (InputError, ConfigurationError) as error:
                # A file of another version of expplat: its flag is served closed.
                log.error("Proposal %s cannot be read: %s", sha256[:12], error.message)
        return proposals

    def _render(self) -> None:
        with self._lock:
            states = flag_states(self._pocs, self._proposals, self._closed)
            payload = render(states, self._served, self._upstream_flags)
            is_new = payload.etag != self.payload.etag
            self.payload, self._served = payload, payload.served
        if is_new:
            self._on_change()
            with self._file_lock:
                self._file.keep(self._served)
