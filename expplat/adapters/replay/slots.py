"""The slots of a worker: what each of them is doing, and threads for as many as there are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, Self, TypeVar

from expplat.adapters.replay.journal import ShardJournal

T = TypeVar("T")


class Slot:
    """Notes what one of the worker's slots is doing, until it is let go of."""

    def __init__(self, journal: ShardJournal, number: int) -> None:
        self._journal: ShardJournal | None = journal
        self._number = number
        self._lock = threading.Lock()

    def call(self, position: int, repeat: int, arm: str) -> None:
        """Note that a call, or the scoring of its answer, begins."""
        with self._lock:
            if self._journal is not None:
                self._journal.note_call(self._number, position, repeat, arm)

    def rest(self) -> None:
        """Note that no call is under way."""
        with self._lock:
            if self._journal is not None:
                self._journal.note_rest(self._number)

    def let_go(self) -> None:
        """Note nothing more: the journal is about to be closed."""
        with self._lock:
            self._journal = None


class Slots(Generic[T]):
    """Does as many things at once as there are slots, each in a thread; one thread hands them out.

    Within, it is left in order once all that was begun has been waited for. Left by an error, it
    waits for nothing: what still runs is let go of, and notes nothing more.
    """

    def __init__(self, journal: ShardJournal, count: int) -> None:
        self._all = [Slot(journal, number) for number in range(count)]
        self._free = self._all.copy()
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="expplat-slot")
        self._ended: SimpleQueue[Future[T]] = SimpleQueue()
        self._under_way: dict[Future[T], Slot] = {}

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the slots and their threads."""
        for slot in self._all:
            slot.let_go()
        self._pool.shutdown(wait=error is None, cancel_futures=True)

    @property
    def are_full(self) -> bool:
        """Whether no slot is free."""
        return not self._free

    @property
    def are_at_rest(self) -> bool:
        """Whether all slots are free."""
        return not self._under_way

    def begin(self, work: Callable[[Slot], T]) -> None:
        """Do the work in a free slot."""
        slot = self._free.pop()
        future = self._pool.submit(work, slot)
        self._under_way[future] = slot
        future.add_done_callback(self._ended.put)

    def next(self) -> Future[T]:
        """Wait for the next thing that ends, however it ends; its slot is free again."""
        future = self._ended.get()
        self._free.append(self._under_way.pop(future))
        return future
