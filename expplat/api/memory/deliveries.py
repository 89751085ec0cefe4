"""What each client key is served of the newest flags: made once a revision, for all its clients."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from expplat.adapters.growthbook.encryption import encrypt
from expplat.adapters.growthbook.payload import Payload, encrypted_body, etag_of
from expplat.flow.ports import AccessKey

log = logging.getLogger("expplat.api")

MAX_STREAMED_BYTES = 100_000
"""Some SDKs lose their stream for good on a longer line, so they are told to poll instead."""

MAX_LINE_BYTES = 500_000
"""Every SDK that was measured loses its stream on a longer line; those that listen nevertheless
are only told that something changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One payload, as the clients of one key are served it."""

    revision: int
    body: bytes
    etag: str
    message: bytes
    """What a stream says of it, ready to send."""

    is_streamed: bool
    """Whether clients are told that there is a stream."""


class Deliveries:
    """Asked by the event loop alone."""

    def __init__(self, payload: Callable[[], Payload]) -> None:
        self._newest = payload
        self._payload = payload()
        self._made: dict[tuple[str, str | None], Delivery] = {}
        self._warned: set[str] = set()

    def of(self, key: AccessKey) -> Delivery:
        """Return what the clients of a client key are served now.

        The same object until something changes, so that a stream knows what it has sent.
        """
        payload = self._newest()
        if payload is not self._payload:
            self._payload, self._made = payload, {}
        manner = (key.delivery, key.payload_key)
        if manner not in self._made:
            self._made[manner] = _delivery(payload, key)
        delivery = self._made[manner]
        if not delivery.is_streamed and key.connection not in self._warned:
            self._warned.add(key.connection)
            log.warning(
                "The flags of the client key %s… have %d bytes: its clients are told to poll, for "
                "streams carry %d at most.",
                key.prefix, len(delivery.body), MAX_STREAMED_BYTES,
            )  # fmt: skip
        return delivery


def _delivery(payload: Payload, key: AccessKey) -> Delivery:
    body = _body(payload, key)
    return Delivery(
        revision=payload.revision,
        body=body,
        etag=payload.etag if body is payload.body else etag_of(payload.revision, body),
        message=_message(payload.revision, body),
        is_streamed=len(body) <= MAX_STREAMED_BYTES,
    )


def _body(payload: Payload, key: AccessKey) -> bytes:
    if key.delivery == "remote":
        return b""
    if key.payload_key is None:
        return payload.body
    sections = (payload.features, payload.experiments, payload.saved_groups)
    return encrypted_body(payload, [encrypt(section, key.payload_key) for section in sections])


def _message(revision: int, body: bytes) -> bytes:
    # One line of data, whatever the length: some SDKs read only the last of several.
    if 0 < len(body) <= MAX_LINE_BYTES:
        return b"id: %d\nevent: features\ndata: %b\n\n" % (revision, body)
    return b"id: %d\nevent: features-updated\ndata: \n\n" % revision
