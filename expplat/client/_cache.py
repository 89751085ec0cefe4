"""The last good flags on disk, for a start while the server is away.

The file is one line with the SHA-256 of all that follows, one line of JSON about the flags, and
the flags as they were received.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from expplat.client._guard import Complaints
from expplat.client._payload import MAX_BYTES, Payload, PayloadError, read_payload
from expplat.client._private_file import (
    UntrustedFileError,
    make_private_folder,
    read_private,
    write_private,
)


class FlagCache:
    """Keeps the flags of one server and client key; whatever is wrong with it is a warning."""

    def __init__(self, folder: Path, identity: str, complaints: Complaints) -> None:
        self._path = folder / f"flags-{identity}.json"
        self._identity = identity
        self._complaints = complaints

    def read(self, decryption_key: str) -> Payload | None:
        """Return the flags on disk; None if there are none, or none to be believed."""
        try:
            content = read_private(self._path, MAX_BYTES + 10_000)
            return None if content is None else self._payload(content, decryption_key)
        except (OSError, UntrustedFileError, PayloadError) as error:
            message = f"The flags in {self._path} are ignored: {error}."
            self._complaints.about("cache", message)
            return None

    def write(self, payload: Payload) -> None:
        """Keep flags, in the place of those before."""
        about = json.dumps({"identity": self._identity, "etag": payload.etag}).encode()
        rest = about + b"\n" + payload.body
        digest = hashlib.sha256(rest).hexdigest().encode()
        try:
            make_private_folder(self._path.parent)
            write_private(self._path, digest + b"\n" + rest)
        except OSError as error:
            message = f"The flags could not be written to {self._path}: {error}."
            self._complaints.about("cache", message)

    def _payload(self, content: bytes, decryption_key: str) -> Payload:
        digest, _, rest = content.partition(b"\n")
        if hashlib.sha256(rest).hexdigest().encode() != digest:
            raise PayloadError("they are damaged")
        line, _, body = rest.partition(b"\n")
        about = json.loads(line)
        if about.get("identity") != self._identity:
            raise PayloadError("they are of another server or client key")
        return read_payload(body, etag=about.get("etag"), decryption_key=decryption_key)
