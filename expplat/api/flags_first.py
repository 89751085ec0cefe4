"""Flags before everything else: nearly every request is a client that asks whether they changed.

Such a request needs nothing of what the routes share, and to be led there takes five times as long
as to answer it. So the answer stands ready, as the messages that the server sends. Whatever is not
plain (another method, a host or a key that is not known, one that asks too often) goes on to the
route, which answers alike.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from expplat.api.cors import CORS
from expplat.api.features import flag_headers, has_it
from expplat.api.guards import SAFE
from expplat.api.memory.deliveries import Delivery
from expplat.api.service import Service

PATH = "/api/features/"
HOST = re.compile(rb"(.+?)(?::\d{1,5})?")
MAX_HOSTS = 100
"""Spellings of host names that are remembered as ours."""

Headers = list[tuple[bytes, bytes]]


class Server(FastAPI):
    """The application; flags are answered before anything else of it runs."""

    flags_first: FlagsFirst | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        ready = self.flags_first.answer(scope) if self.flags_first else None
        if ready is None:
            await super().__call__(scope, receive, send)
            return
        for message in ready:
            await send(message)


class FlagsFirst:
    """Answers to who asks for flags; used by the event loop alone."""

    def __init__(self, service: Service, hosts: Collection[str]) -> None:
        self._service = service
        self._hosts = frozenset(host.lower().encode() for host in hosts)
        self._known_hosts: set[bytes] = set()
        self._ready: dict[int, tuple[Delivery, Headers, Headers]] = {}

    def answer(self, scope: Scope) -> tuple[Message, Message] | None:
        """Return the messages that answer a request; None where the route must."""
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        path: str = scope["path"]
        if not path.startswith(PATH):
            return None
        headers = dict(reversed(scope["headers"]))  # of each name, the first
        if not self._is_ours(headers.get(b"host", b"")):
            return None
        delivery = self._delivery(path[len(PATH) :], scope["client"])
        if delivery is None:
            return None
        _, whole, bodiless = self._ready.get(id(delivery)) or self._make_ready(delivery)
        offered = headers.get(b"if-none-match", b"").decode("latin-1")
        if offered and (offered == delivery.etag or has_it(offered, delivery.etag)):
            return _messages(304, bodiless, b"")
        return _messages(200, whole, delivery.body)

    def _is_ours(self, host: bytes) -> bool:
        if host in self._known_hosts:
            return True
        found = HOST.fullmatch(host)
        if not found or found[1].lower() not in self._hosts:
            return False
        if len(self._known_hosts) < MAX_HOSTS:
            self._known_hosts.add(host)
        return True

    def _delivery(self, secret: str, client: tuple[str, int] | None) -> Delivery | None:
        service = self._service
        key = service.feed.find_key(secret)
        if key is None or key.kind != "client" or key.delivery == "remote":
            return None
        try:
            service.rates.admit("flags", f"{key.key_id} {client[0] if client else ''}")
        except HTTPException:
            return None
        return service.deliveries.of(key)

    def _make_ready(self, delivery: Delivery) -> tuple[Delivery, Headers, Headers]:
        if any(kept.revision != delivery.revision for kept, _, _ in self._ready.values()):
            self._ready.clear()
        bodiless = _encoded(flag_headers(delivery) | CORS | SAFE)
        size = str(len(delivery.body))
        whole = bodiless + _encoded({"content-type": "application/json", "content-length": size})
        self._ready[id(delivery)] = delivery, whole, bodiless
        return self._ready[id(delivery)]


def _messages(status: int, headers: Headers, body: bytes) -> tuple[Message, Message]:
    return (
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": body},
    )


def _encoded(headers: dict[str, str]) -> Headers:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
