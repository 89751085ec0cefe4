"""Finds ids that stand twice in a log, without holding the ids: seven bytes are kept of each."""

from __future__ import annotations

import hashlib
from typing import Any

FIRST_LOOK = 100_000
"""Ids after which it is asked for the first time how many were repeated; then after twice as many,
and so on: a log that repeats one for ever is stopped."""

MOST = 100
"""Repeated ids after which nobody needs to see the rest of the log."""

_KEPT_BYTES = 6
"""Of each hash, beside the byte that says in which heap they lie."""


class IdHashes:
    """Seven bytes of the hash of every id.

    Different ids may share them (among a million ids, with a chance of 1 in 100,000), so what is
    found here is a suspicion only: the log is read again to see who it was.
    """

    def __init__(self) -> None:
        self._heaps = [bytearray() for _ in range(256)]
        self._ids = 0
        self._next_look = FIRST_LOOK

    def add(self, request_id: str) -> bool:
        """Note an id; False where so many were repeated that the rest does not matter."""
        digest = _digest(request_id)
        self._heaps[digest[0]] += digest[1:]
        self._ids += 1
        if self._ids < self._next_look:
            return True
        self._next_look *= 2
        return sum(len(_repeated(heap)) for heap in self._heaps) < MOST

    def suspects(self) -> frozenset[int]:
        """Return the hashes that came more than once, as `hash_of` gives them."""
        return frozenset(
            (first << 8 * _KEPT_BYTES) + rest
            for first, heap in enumerate(self._heaps)
            for rest in _repeated(heap)
        )


def hash_of(request_id: str) -> int:
    """Return seven bytes of an id's hash, the same in every process."""
    digest = _digest(request_id)
    return (digest[0] << 8 * _KEPT_BYTES) + int.from_bytes(digest[1:], "little")


def _digest(request_id: str) -> bytes:
    content = request_id.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=1 + _KEPT_BYTES).digest()


def _repeated(heap: bytearray) -> Any:
    """Return which of the hashes in a heap come more than once."""
    import numpy as np

    thirds = np.frombuffer(heap, dtype="<u2").astype(np.uint64).reshape(-1, _KEPT_BYTES // 2)
    hashes = np.sort(
        thirds[:, 0] + (thirds[:, 1] << np.uint64(16)) + (thirds[:, 2] << np.uint64(32))
    )
    return hashes[1:][hashes[1:] == hashes[:-1]].tolist()
