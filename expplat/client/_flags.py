"""The flags of a client: held in memory, kept up to date by two threads, copied to disk.

One thread asks for the flags and then follows their stream; where it ends it waits and begins
anew. The other asks once a minute whatever the stream says, for a stream can be dead without a
word. What they bring is judged before it takes the place of what is there; nothing ever takes
it away.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, replace

from expplat.client._backoff import Backoff
from expplat.client._cache import FlagCache
from expplat.client._evaluation import Evaluator
from expplat.client._guard import Complaints, guarded
from expplat.client._http import Http, Stream, UnreachableError
from expplat.client._payload import Payload, PayloadError, must_follow, read_payload
from expplat.client._settings import Settings
from expplat.client._stream import EventReader, StreamError


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What is served now."""

    payload: Payload
    evaluator: Evaluator
    origin: str
    """Where it came from: `network` or `disk`."""


def _nothing() -> Present | None:
    return None


class Flags:
    """The newest good flags of one server and client key."""

    def __init__(self, settings: Settings, complaints: Complaints) -> None:
        self.complaints = complaints
        self.confirmed_at: float | None = None
        """When the server last said that these are the newest, on the monotonic clock."""

        self._settings = settings
        self._cache = FlagCache(settings.cache_dir, settings.flags_identity, complaints)
        self.prepare()
        self.present = self._on_disk()

    @guarded(_nothing)
    def _on_disk(self) -> Present | None:
        cached = self._cache.read(self._settings.decryption_key)
        if cached is None:
            return None
        return Present(payload=cached, evaluator=Evaluator(cached), origin="disk")

    def prepare(self) -> None:
        """Make what a forked process cannot share with its parent; it keeps the flags."""
        pace = self._settings.pace
        self._http = Http(self._settings.url, pace.connect_s, pace.read_s)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._arrived = threading.Event()
        self._stream: Stream | None = None

    def start(self) -> None:
        """Begin to follow the server, in the background."""
        for work in (self._follow, self._watch):
            threading.Thread(target=work, name=f"expplat{work.__name__}", daemon=True).start()

    def wait(self, timeout_s: float) -> None:
        """Wait for first flags, where there are none."""
        if self.present is None:
            self._arrived.wait(max(0.0, timeout_s))

    def stop(self) -> None:
        """Let the threads end; does not wait for them."""
        self._stopping.set()
        if (stream := self._stream) is not None:
            stream.cut()

    def offer(self, body: bytes, etag: str | None) -> bool:
        """Judge an answer of the server, and serve it from now on if it is good."""
        with self._lock:
            try:
                is_new = self._judge(body, etag)
            except PayloadError as error:
                message = (
                    f"Flags from {self._settings.url} are refused, the ones before stay: {error}."
                )
                self.complaints.about("payload", message)
                return False
            self.confirmed_at = time.monotonic()
            self._arrived.set()
            if is_new and self.present is not None:
                self._cache.write(self.present.payload)
        return True

    def _judge(self, body: bytes, etag: str | None) -> bool:
        present = self.present
        if present is not None and present.payload.body == body:
            known = replace(present.payload, etag=etag or present.payload.etag)
            self.present = replace(present, payload=known, origin="network")
            return known.etag != present.payload.etag
        new = read_payload(body, etag=etag, decryption_key=self._settings.decryption_key)
        if present is not None:
            must_follow(new, present.payload)
        if new.left_out:
            names = ", ".join(sorted(new.left_out)[:5])
            message = (
                f"Flags with rules that this client cannot judge are served as control: {names}."
            )
            self.complaints.about("left out", message)
        self.present = Present(payload=new, evaluator=Evaluator(new), origin="network")
        return True

    @guarded(lambda: None)
    def _follow(self) -> None:
        pace = self._settings.pace
        backoff = Backoff(pace.first_retry_s, pace.longest_retry_s)
        asked_s = 0.0
        while not self._stopping.is_set():
            if self._poll():
                reader = EventReader()
                if self._read_stream(reader):
                    backoff.lost_stream()
                asked_s = reader.retry_s
            self._stopping.wait(backoff.wait_s(asked_s))

    @guarded(lambda: None)
    def _watch(self) -> None:
        poll_s = self._settings.pace.poll_s
        # Not in step with the clients that were started in the same moment.
        while not self._stopping.wait(poll_s * random.SystemRandom().uniform(0.8, 1.2)):
            self._poll()

    @guarded(lambda: False)
    def _poll(self) -> bool:
        present = self.present
        etag = present.payload.etag if present is not None else None
        headers = {"If-None-Match": etag} if etag else {}
        try:
            answer = self._http.get(f"/api/features/{self._settings.client_key}", headers)
        except UnreachableError as error:
            self.complaints.about("flags away", f"No flags: {error}.")
            return False
        if answer.status == 304 and etag:
            self.confirmed_at = time.monotonic()
            return True
        if answer.status != 200:
            message = f"No flags: {self._settings.url} answered {answer.status}."
            self.complaints.about("flags away", message)
            return False
        return self.offer(answer.body, answer.headers.get("etag"))

    @guarded(lambda: False)
    def _read_stream(self, reader: EventReader) -> bool:
        """Follow the stream to its end; say whether it ever brought flags."""
        path, was_good = f"/sub/{self._settings.client_key}", False
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        try:
            self._stream = self._http.stream(path, headers, self._settings.pace.silence_s)
            while not self._stopping.is_set() and (chunk := self._stream.read()):
                was_good = self._take(chunk, reader) or was_good
        except (UnreachableError, StreamError) as error:
            self.complaints.about(
                "stream", f"The stream of flags ended, and is opened anew: {error}."
            )
        finally:
            if self._stream is not None:
                self._stream.close()
            self._stream = None
        return was_good

    def _take(self, chunk: bytes, reader: EventReader) -> bool:
        events = reader.feed(chunk)
        taken = [self.offer(event.data, None) for event in events if event.name == "features"]
        if any(event.name == "features-updated" for event in events):
            taken.append(self._poll())
        return any(taken)
