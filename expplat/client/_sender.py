"""Brings events from the spool to the server: at least once from here, once there, by id."""

from __future__ import annotations

import email.utils
import gzip
import json
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from expplat.client._backoff import Backoff
from expplat.client._guard import Complaints, guarded
from expplat.client._http import Answer, Http, UnreachableError
from expplat.client._parking import park
from expplat.client._private_file import UntrustedFileError
from expplat.client._segment import Segment
from expplat.client._settings import Settings
from expplat.client._signal import Signal
from expplat.client._spool import Spool

MAX_BATCH_EVENTS = 500
MAX_BATCH_BYTES = 900_000
"""Below what the server takes, packed or not."""

LINGER_S = 0.2
"""How long a first event waits for others, to go with them."""

ADOPT_EVERY_S = 5.0
SYNC_EVERY_S = 0.5
LONGEST_RETRY_AFTER_S = 600.0

FAULTS_OF_THE_BODY = frozenset({400, 413, 422})
NOT_NOW = frozenset({408, 425, 429})


class _LaterError(Exception):
    """Nothing was lost, and nothing is sent for a while."""

    def __init__(self, message: str, wait_s: float | None = None, *, refused: bool = False) -> None:
        super().__init__(message)
        self.wait_s = wait_s
        self.refused = refused


class Sender:
    """Two threads: one sends, one makes the disk keep up."""

    def __init__(self, settings: Settings, spool: Spool, complaints: Complaints) -> None:
        self.complaints = complaints
        self.sent = 0
        """Events that the server has acknowledged."""

        self.rejected = 0
        """Of these, events that it put aside with a reason."""

        self.refused = 0
        """Events that it would not even read; they lie in `refused.jsonl`."""

        self.corrupt = 0
        self._settings = settings
        self._spool = spool
        self._refused = settings.cache_dir / "refused.jsonl"
        self.prepare()

    def prepare(self) -> None:
        """Make what a forked process cannot share with its parent."""
        pace = self._settings.pace
        self._http = Http(self._settings.url, pace.connect_s, pace.read_s)
        self._stopping = Signal()
        self._wake = Signal()
        self._hurry = Signal()

    def start(self) -> None:
        """Begin to send, in the background."""
        for work in (self._send_all, self._keep_up):
            threading.Thread(target=work, name=f"expplat{work.__name__}", daemon=True).start()

    def wake(self) -> None:
        """Say that there is something to send."""
        self._wake.set()

    def drain(self, timeout_s: float) -> bool:
        """Send everything at once; false if time was over first."""
        deadline = time.monotonic() + timeout_s
        self._hurry.set()
        self._wake.set()
        while self._spool.unsent_bytes > 0:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return True

    def stop(self) -> None:
        """Let the threads end; does not wait for them."""
        self._stopping.set()
        self._hurry.set()
        self._wake.set()

    @guarded(lambda: None)
    def _keep_up(self) -> None:
        next_adoption = 0.0
        while not self._stopping.wait(SYNC_EVERY_S):
            self._make_durable()
            if time.monotonic() >= next_adoption:
                self._adopt()
                next_adoption = time.monotonic() + ADOPT_EVERY_S

    @guarded(lambda: None)
    def _make_durable(self) -> None:
        self._spool.sync()

    @guarded(lambda: None)
    def _adopt(self) -> None:
        self._spool.adopt()
        if self._spool.unsent_bytes:
            self.wake()

    @guarded(lambda: None)
    def _send_all(self) -> None:
        pace = self._settings.pace
        backoff = Backoff(pace.first_retry_s, pace.longest_retry_s)
        while not self._stopping.is_set():
            self._wake.wait()
            self._hurry.wait(LINGER_S)
            self._wake.clear()
            self._hurry.clear()
            if wait_s := self._send_waiting(backoff):
                self._hurry.wait(wait_s)
                self._wake.set()

    @guarded(lambda: 5.0)
    def _send_waiting(self, backoff: Backoff) -> float:
        """Send until nothing is left; return how long to wait if that failed, else 0."""
        try:
            while not self._stopping.is_set() and (segment := self._spool.first_unsent()):
                self._send_from(segment)
                backoff.succeeded()
        except _LaterError as error:
            self.complaints.about("events away", f"Events wait on disk: {error}.")
            if error.refused:
                return self._settings.pace.refused_retry_s
            # What the server asks for is waited for, whoever is in a hurry.
            self._stopping.wait(error.wait_s or 0.0)
            return backoff.wait_s()
        except OSError as error:
            self.complaints.about("spool", f"Events wait on disk, which fails: {error}.")
            return backoff.wait_s()
        return 0.0

    def _send_from(self, segment: Segment) -> None:
        batch = segment.read(MAX_BATCH_EVENTS, MAX_BATCH_BYTES)
        for kind in ("exposures", "outcomes"):
            events = [event for event_kind, event in batch.events if event_kind == kind]
            if events:
                self._deliver(kind, events)
        if batch.corrupt:
            self.corrupt += batch.corrupt
            message = f"{batch.corrupt} lines of {segment.path} are damaged and were left out."
            self.complaints.about("corrupt", message)
        self.sent += len(batch.events)
        try:
            segment.advance(batch.end)
        except OSError as error:
            message = f"The next start may send again what was sent: {error}."
            self.complaints.about("advance", message)

    def _deliver(self, kind: str, events: Sequence[object]) -> None:
        answer = self._post(kind, events)
        if answer.status in FAULTS_OF_THE_BODY:
            self._send_halves(kind, events, answer)
        elif answer.status in NOT_NOW or answer.status >= 500:
            wait_s = _retry_after_s(answer.headers.get("retry-after", ""))
            raise _LaterError(f"the server answered {answer.status}", wait_s)
        elif answer.status >= 300:
            message = f"the server answered {answer.status}; check the address and the ingest key"
            raise _LaterError(message, refused=True)
        else:
            self._read_receipt(answer, len(events))

    def _post(self, kind: str, events: Sequence[object]) -> Answer:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        body = json.dumps({"batch": events, "sent_at": now}, separators=(",", ":")).encode()
        headers = {
            "Authorization": f"Bearer {self._settings.ingest_key}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
        }
        try:
            return self._http.post(f"/v1/{kind}", headers, gzip.compress(body, 1))
        except UnreachableError as error:
            raise _LaterError(str(error)) from error

    def _send_halves(self, kind: str, events: Sequence[object], answer: Answer) -> None:
        if len(events) > 1:
            middle = len(events) // 2
            self._deliver(kind, events[:middle])
            self._deliver(kind, events[middle:])
        elif _is_our_problem(answer):
            self._park(kind, events[0], answer.status)
        else:
            message = f"somebody before the server answered {answer.status}; check the address"
            raise _LaterError(message, refused=True)

    def _park(self, kind: str, event: object, status: int) -> None:
        limit = self._settings.spool_limit_bytes
        try:
            is_kept = park(self._refused, [status, kind, event], at_most=limit)
        except (OSError, UntrustedFileError) as error:
            raise _LaterError(f"{self._refused} cannot be written: {error}") from error
        self.refused += 1
        what = "it lies in" if is_kept else "it is gone, for there is no more room in"
        message = f"An event was refused with {status}; {what} {self._refused}."
        self.complaints.about("refused", message)

    def _read_receipt(self, answer: Answer, count: int) -> None:
        try:
            receipt = json.loads(answer.body)
            is_ours = receipt["received"] == count
            errors = {str(fault["code"]) for fault in receipt.get("errors", ())}
            rejected = int(receipt.get("rejected", 0))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            is_ours = False
        if not is_ours:
            # A page of somebody in between, perhaps; it has stored nothing.
            raise _LaterError(f"the answer {answer.status} is no receipt")
        self.rejected += rejected
        for code in sorted(errors):
            message = f"The server put events aside, for `{code}`: see `expplat events list`."
            self.complaints.about(f"rejected {code}", message)


def _is_our_problem(answer: Answer) -> bool:
    """Whether expplat itself said what is wrong, and nobody in between."""
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return False
    try:
        document = json.loads(answer.body)
        return bool(document["type"] == f"urn:expplat:problem:{document['code']}")
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _retry_after_s(text: str) -> float | None:
    """Seconds, or a date; None if it says nothing that can be read."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return min(float(text), LONGEST_RETRY_AFTER_S)
    try:
        at = email.utils.parsedate_to_datetime(text)
        wait_s = (at - datetime.now(at.tzinfo)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait_s, 0.0), LONGEST_RETRY_AFTER_S)
