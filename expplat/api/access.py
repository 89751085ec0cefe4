"""Who may do what: a key in the header, or for people who only look, in a cookie.

Nothing that changes anything accepts the cookie, because browsers send it by themselves.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
from functools import partial
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.types import Scope

from expplat.api.guarding import guarded
from expplat.api.memory.feed import Feed
from expplat.api.service import Service, ServiceDep
from expplat.errors import KeyRefusedError
from expplat.flow.keys import PREFIXES, check
from expplat.flow.ports import AccessKey

COOKIE = "expplat_key"
"""Holds the secret of an admin key."""

_KINDS = tuple(PREFIXES)


async def identify(service: Service, secret: str | None) -> AccessKey:
    """Return the live key of a secret, from memory; a key younger than that from the database.

    Raises:
        KeyRefusedError: If it is missing, unknown or revoked.
        HTTPException: 429 where the database is asked for more unknown keys than it is to answer.
    """
    if not secret:
        raise KeyRefusedError("This needs a key.", hint="Send it as `Authorization: Bearer <key>`.")
    key = service.feed.find_key(secret)
    if key is not None:
        return key
    service.rates.admit("flags", "unknown keys")
    uow = service.platform.uow(readonly=True)
    return await guarded(service, partial(check, secret, _KINDS, uow))


async def admin_key(request: Request, service: ServiceDep) -> AccessKey:
    """Return the admin key that a reading request came with, in its header or cookie."""
    secret = header_secret(request.headers) or request.cookies.get(COOKIE)
    key = _of_kind("admin", await identify(service, secret))
    service.rates.admit("reads", key.key_id)
    return key


async def ingest_key(request: Request, service: ServiceDep) -> AccessKey:
    """Return the ingest key that a request came with, in its header."""
    return _of_kind("ingest", await identify(service, header_secret(request.headers)))


AdminDep = Annotated[AccessKey, Depends(admin_key)]
IngestDep = Annotated[AccessKey, Depends(ingest_key)]


def may_read(feed: Feed, scope: Scope) -> bool:
    """Whether a request comes with a live admin key, by what the memory knows."""
    headers = Headers(scope=scope)
    cookies = cookie_parser(headers.get("cookie", ""))
    secret = header_secret(headers) or cookies.get(COOKIE)
    key = feed.find_key(secret) if secret else None
    return key is not None and key.kind == "admin"


def header_secret(headers: Headers) -> str | None:
    """Return the secret of a Bearer or Basic header; None where there is none."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip() or None
    if scheme.lower() == "basic":
        return _basic_secret(value.strip())
    return None


def _basic_secret(value: str) -> str | None:
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    # Services send the key as the user, browsers ask people for a password too.
    return user if user.startswith(tuple(PREFIXES.values())) else password or None


def _of_kind(kind: str, key: AccessKey) -> AccessKey:
    if key.kind != kind:
        detail = f"A key of the kind {key.kind} does not open this; it takes one of {kind}."
        raise HTTPException(403, detail)
    return key


class HideKeys(logging.Filter):
    """Takes the secrets of admin and ingest keys out of log lines."""

    _SECRET = re.compile(r"\b(eak_|eik_)[\w%-]+")

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; keep it always."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                self._SECRET.sub(r"\1…", arg) if isinstance(arg, str) else arg
                for arg in record.args
            )
        return True
