"""The client: flags from memory, events to disk, everything else in the background."""

from __future__ import annotations

import _thread
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, SupportsFloat, TypeVar, Unpack

from expplat.client import _endings
from expplat.client._events import (
    EventRefusedError,
    OutcomeFacts,
    exposure_line,
    is_unit,
    outcome_line,
)
from expplat.client._exposures import Recorded
from expplat.client._facts import Assignment, Evaluation
from expplat.client._folder import in_a_writable_folder
from expplat.client._guard import Complaints, guarded
from expplat.client._settings import ClientOptions, read_settings
from expplat.client._spool import Spool
from expplat.client._stats import ClientStats, snapshot
from expplat.client._timed import timed
from expplat.client._timing import RequestScope

if TYPE_CHECKING:
    from expplat.client._flags import Flags
    from expplat.client._sender import Sender

P = ParamSpec("P")
T = TypeVar("T")

CONTROL = "control"


def _no_assignment() -> Assignment | None:
    return None


def _start(parts: Sequence[Flags | Sender]) -> None:
    for part in parts:
        part.start()


class Client:
    """What a production service asks for variants and tells outcomes; one a process.

    Every call answers from memory, or writes one line to a local file, and returns: it may be made
    from async code as it is. None of them raises, whatever happens to network, server or disk;
    what goes wrong is logged under `expplat.client`, once a minute, and shown by `stats()`.
    """

    def __init__(self, url: str | None = None, **options: Unpack[ClientOptions]) -> None:
        """Start a client.

        Waits at most `start_timeout_s`, and only where there is no copy of the flags on disk.

        Args:
            url: The address of the expplat server; EXPPLAT_URL.
            **options: See `ClientOptions`; keys and folder come from the environment too.

        Raises:
            TypeError: If there is no option of a name.
        """
        started = time.monotonic()
        self.complaints = Complaints()
        self._flags: Flags | None = None
        self._sender: Sender | None = None
        self._spool: Spool | None = None
        self._recorded = Recorded()
        self._dropped = 0
        self._is_closed = self._is_asleep = False
        self._lock = threading.RLock()
        self._settings = read_settings(url, options, os.environ, self.complaints)
        self._start(started + self._settings.start_timeout_s)

    @guarded(lambda: None)
    def _start(self, deadline: float) -> None:
        # Not before they are needed: the SDK takes a third of a second to import.
        from expplat.client._flags import Flags
        from expplat.client._sender import Sender

        settings = self._settings = in_a_writable_folder(self._settings, self.complaints)
        if not settings.url.startswith(("http://", "https://")):
            self.complaints.about("url", "The client has no address of a server: set EXPPLAT_URL.")
            return
        _endings.watch(self, handle_sigterm=settings.handle_sigterm)
        if settings.ingest_key:
            limit = settings.spool_limit_bytes
            folder = settings.cache_dir / "spool"
            self._spool = Spool(folder, self.complaints, limit_bytes=limit, sync=settings.sync)
            self._sender = Sender(settings, self._spool, self.complaints)
            self._sender.start()
        if settings.client_key:
            self._flags = Flags(settings, self.complaints)
            self._flags.start()
            self._flags.wait(deadline - time.monotonic())

    def variant(self, flag: str, *, unit: str, attributes: Mapping[str, Any] | None = None) -> str:
        """Return the name of the variant that a unit gets; as `assign`."""
        return self.assign(flag, unit=unit, attributes=attributes).variant

    def assign(
        self, flag: str, *, unit: str, attributes: Mapping[str, Any] | None = None
    ) -> Assignment:
        """Return which variant a unit gets, and keep the exposure if it is in the test.

        Args:
            flag: The name of the flag, which is the slug of the POC.
            unit: Who or what is assigned, 1 to 500 characters: the same unit always gets the same.
            attributes: What targeting conditions ask for, such as `{"country": "CH"}`.

        Returns:
            The control, with the source `default`, wherever there is no answer.
        """
        return self._assign(flag, unit, attributes) or Assignment(
            variant=CONTROL, source="default", flag=flag
        )

    @guarded(_no_assignment)
    def _assign(
        self, flag: str, unit: str, attributes: Mapping[str, Any] | None
    ) -> Assignment | None:
        self._awake()
        present = self._flags.present if self._flags is not None else None
        if present is None or not is_unit(unit):
            return None
        evaluation = present.evaluator.evaluate(flag, unit, attributes or {})
        if evaluation is None:
            return None
        if evaluation.value is not None and not isinstance(evaluation.value, str):
            message = f"`{flag}` has values that are no text; it is served as control."
            self.complaints.about("no variant", message)
            return None
        self._expose(flag, evaluation)
        if evaluation.value is None:
            return None
        test = evaluation.test
        return Assignment(
            variant=evaluation.value,
            source="flag" if test is None else "test",
            flag=flag,
            experiment=test.experiment if test is not None else None,
            phase=test.phase if test is not None else None,
        )

    @guarded(lambda: None)
    def _expose(self, flag: str, evaluation: Evaluation) -> None:
        for shown in evaluation.shown:
            if self._recorded.is_new(shown) and not self._keep([exposure_line(shown, flag)]):
                self._recorded.forget(shown)

    def outcome(
        self,
        metric: str,
        value: SupportsFloat = 1.0,
        *,
        unit: str,
        flag: str | None = None,
        properties: Mapping[str, Any] | None = None,
        id: str | None = None,  # noqa: A002  (what the server calls it)
    ) -> bool:
        """Keep what happened to a unit.

        Args:
            metric: Its name, such as `task_success`.
            value: A finite number, also of NumPy or a `Decimal`.
            unit: The unit that was assigned.
            flag: The test it belongs to; None, and it counts for every test that the unit is in.
            properties: Anything else worth keeping, as JSON.
            id: Two outcomes of the same id are one; a new one is drawn where it is left out.

        Returns:
            Whether it is on disk now, from where it reaches the server in time.
        """
        facts = OutcomeFacts(
            metric=metric, value=value, unit=unit, flag=flag, properties=properties, id=id
        )
        return self._keep_outcomes([facts])

    @guarded(lambda: False)
    def _keep_outcomes(self, outcomes: list[OutcomeFacts]) -> bool:
        self._awake()
        try:
            lines = [outcome_line(facts) for facts in outcomes]
        except EventRefusedError as error:
            self._drop(len(outcomes), "outcome", f"An outcome is dropped: {error}.")
            return False
        return self._keep(lines)

    def _keep(self, lines: list[bytes]) -> bool:
        if self._spool is None or self._sender is None:
            message = "Events are dropped: the client has no ingest key; set EXPPLAT_INGEST_KEY."
            self._drop(len(lines), "no spool", message)
            return False
        # After `close` too: what comes late stays on disk for the next start.
        is_kept = self._spool.append(lines)
        self._sender.wake()
        return is_kept

    def _drop(self, count: int, kind: str, message: str) -> None:
        with self._lock:
            self._dropped += count
        self.complaints.about(kind, message)

    def request(self, *, unit: str | None, flag: str | None = None) -> RequestScope:
        """Return a context manager that times what runs inside, and reports it when it ends.

        Outcomes of the unit: `latency_ms`, `error` (1 if an exception left it), and where
        `usage()` was called inside `input_tokens`, `output_tokens` and `cost_usd`. Without a unit
        nothing is reported.
        """
        return RequestScope(self, unit, flag)

    def timed(
        self, *, unit: Callable[..., str | None], flag: str | None = None
    ) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Return a decorator that runs each call of a function, plain or async, as a request.

        A generator, plain or async, is timed from its first step to its last.

        Args:
            unit: Is called with the arguments of the function, and returns the unit.
            flag: As in `request`.
        """
        return timed(lambda value: self.request(unit=value, flag=flag), unit, self)

    def report(self, unit: str, flag: str | None, metrics: Mapping[str, float]) -> None:
        """Keep several outcomes of a unit at once."""
        facts = [
            OutcomeFacts(metric=metric, value=value, unit=unit, flag=flag)
            for metric, value in metrics.items()
        ]
        self._keep_outcomes(facts)

    def price(self, model: str) -> tuple[float, float] | None:
        """Return US dollars per million input and output tokens; None if it was not given."""
        return self._settings.prices.get(model)

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Send every event now; false if that took too long, and the rest stays on disk."""
        return self._flush(timeout_s)

    @guarded(lambda: False)
    def _flush(self, timeout_s: float) -> bool:
        self._awake()
        return self._sender is None or self._sender.drain(timeout_s)

    def close(self) -> None:
        """Send what is waiting, for at most five seconds, and end; the rest stays on disk."""
        _endings.forget(self)
        self.end(self._settings.pace.exit_s)

    def end(self, timeout_s: float) -> None:
        """As `close`, from the end of the process."""
        if not self._is_closed:
            self._is_closed = True
            self._end(min(timeout_s, self._settings.pace.exit_s))

    @guarded(lambda: None)
    def _end(self, timeout_s: float) -> None:
        if self._is_asleep:
            # Forked and never used: no threads, no files, and locks that nobody here gives back.
            return
        if self._flags is not None:
            self._flags.stop()
        if self._sender is not None and self._spool is not None:
            self._sender.drain(timeout_s)
            self._sender.stop()
            self._spool.close()

    async def aclose(self) -> None:
        """As `close`, without holding up the event loop."""
        # A service that has no event loop need not load one.
        import asyncio

        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    @guarded(lambda: None)
    def after_fork(self) -> None:
        """Leave threads and files to the parent process; new ones come with the next call."""
        self._is_asleep = True
        self._lock = threading.RLock()
        self.complaints.release_after_fork()
        self._recorded.release_after_fork()
        if self._spool is not None:
            self._spool.leave_to_parent()

    def _awake(self) -> None:
        if not self._is_asleep:
            return
        with self._lock:
            parts = [part for part in (self._sender, self._flags) if part is not None]
            if self._is_asleep:
                for part in parts:
                    part.prepare()
                if not self._is_closed:
                    # `Thread.start` waits until the thread runs, and the service should not.
                    _thread.start_new_thread(_start, (parts,))
            self._is_asleep = False

    def stats(self) -> ClientStats:
        """Return a snapshot for a health page."""
        return snapshot(self._flags, self._spool, self._sender, self._dropped, self.complaints)
