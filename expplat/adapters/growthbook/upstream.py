"""The flags of a team's own GrowthBook: asked for every few seconds, the last good copy kept.

A copy is on disk too, so that a server that starts while the upstream is away serves what it served
before. Whatever an upstream says, no more of it is believed than its form allows.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from expplat.adapters.durable import replace_file
from expplat.adapters.growthbook.encryption import decrypt
from expplat.adapters.growthbook.payload import UpstreamFlags
from expplat.errors import DependencyError

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger("expplat.api")

MAX_BYTES = 5_000_000
"""Of what an upstream says, unpacked."""

CONNECT_S = 3.0
SILENCE_S = 5.0
WHOLE_S = 15.0
"""Seconds for a connection, for the next bytes, and for all of them."""

_SECTIONS = (("features", dict), ("experiments", list), ("savedGroups", dict))
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class GrowthBookUpstream:
    """One SDK connection of a GrowthBook, or of its proxy or CDN."""

    def __init__(
        self, *, host: str, client_key: str, decryption_key: str = "", folder: Path
    ) -> None:
        self._url = f"{host.rstrip('/')}/api/features/{client_key}"
        self._decryption_key = decryption_key
        # Named by its address, so that another upstream's copy is never taken for this one's.
        self._copy = folder / f"{hashlib.sha256(self._url.encode()).hexdigest()[:24]}.json"
        self._etag = ""
        self._newest: UpstreamFlags | None = None

    def kept(self) -> UpstreamFlags | None:
        """Return the copy on disk; None where there is none that can be read."""
        try:
            stored = json.loads(self._copy.read_bytes())
            self._newest = UpstreamFlags(
                features=stored["features"],
                experiments=stored["experiments"],
                saved_groups=stored["savedGroups"],
                changed_at=datetime.fromisoformat(stored["changedAt"]),
            )
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return self._newest

    def poll(self) -> UpstreamFlags:
        """Ask the upstream; return the same object as before where nothing changed.

        Raises:
            DependencyError: If it is away, or what it says is no payload; what it said before is
                still good.
        """
        body = self._fetch()
        if body is None and self._newest is not None:
            return self._newest
        found = self._read(body or b"")
        if self._newest is None or _content(found) != _content(self._newest):
            self._newest = found
            self._keep(found)
        return self._newest

    def _fetch(self) -> bytes | None:
        """Return what it says; None where it says that we have it."""
        import httpx2

        headers = {"If-None-Match": self._etag} if self._etag and self._newest else {}
        timeout = httpx2.Timeout(SILENCE_S, connect=CONNECT_S)
        try:
            with httpx2.stream(
                "GET", self._url, headers=headers, timeout=timeout, follow_redirects=False
            ) as answer:
                if answer.status_code == 304 and headers:
                    return None
                if answer.status_code != 200:
                    raise _useless(f"answered {answer.status_code}")
                body = _whole(answer)
                self._etag = answer.headers.get("etag", "")
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise _useless(f"did not answer ({type(error).__name__})") from error
        return body

    def _read(self, body: bytes) -> UpstreamFlags:
        try:
            document = json.loads(body, parse_constant=_refuse)
            sections = self._sections(document)
            # What cannot be written again would be found out by every client at once.
            json.dumps(sections, allow_nan=False)
        except (ValueError, RecursionError) as error:
            self._etag = ""
            raise _useless("answered something that is no payload of flags") from error
        return UpstreamFlags(
            features=sections["features"],
            experiments=sections["experiments"],
            saved_groups=sections["savedGroups"],
            changed_at=self._changed_at(document.get("dateUpdated")),
        )

    def _sections(self, document: object) -> dict[str, Any]:
        if not isinstance(document, dict):
            raise ValueError("no object")
        sections: dict[str, Any] = {}
        for name, kind in _SECTIONS:
            sealed = document.get(f"encrypted{name[0].upper()}{name[1:]}")
            value = document.get(name, kind() if name != "features" else None)
            if isinstance(sealed, str) and sealed:
                value = json.loads(decrypt(sealed, self._decryption_key), parse_constant=_refuse)
            if not isinstance(value, kind):
                raise ValueError(f"{name} is of the wrong type")
            sections[name] = value
        for feature in sections["features"].values():
            _must_be_feature(feature)
        return sections

    def _changed_at(self, stated: object) -> datetime:
        now = datetime.now(UTC)
        try:
            at = datetime.fromisoformat(stated).astimezone(UTC) if isinstance(stated, str) else now
        except (ValueError, OverflowError):
            at = now
        before = self._newest.changed_at if self._newest else _NEVER
        # A clock that is ahead must not hold up what we change ourselves.
        return max(min(at, now), before + timedelta(milliseconds=1))

    def _keep(self, flags: UpstreamFlags) -> None:
        stored = {
            "features": flags.features,
            "experiments": flags.experiments,
            "savedGroups": flags.saved_groups,
            "changedAt": flags.changed_at.isoformat(),
        }
        try:
            replace_file(self._copy, json.dumps(stored))
        except OSError as error:
            # They are served all the same, until the server ends.
            log.warning("The upstream's flags cannot be kept in %s: %s", self._copy.parent, error)


def _whole(answer: httpx2.Response) -> bytes:
    ends_at = time.monotonic() + WHOLE_S
    body = bytearray()
    for part in answer.iter_bytes():
        body += part
        if len(body) > MAX_BYTES:
            raise _useless(f"answered more than {MAX_BYTES} bytes")
        if time.monotonic() > ends_at:
            raise _useless(f"took more than {WHOLE_S:g} s to answer")
    return bytes(body)


def _must_be_feature(feature: object) -> None:
    rules = feature.get("rules", []) if isinstance(feature, dict) else None
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise ValueError("a feature without rules that can be read")


def _content(flags: UpstreamFlags) -> str:
    # As JSON, in which true and 1 are two values.
    return json.dumps((flags.features, flags.experiments, flags.saved_groups), sort_keys=True)


def _useless(what: str) -> DependencyError:
    return DependencyError(
        f"The upstream GrowthBook {what}.",
        hint="Look at EXPPLAT_UPSTREAM_HOST, EXPPLAT_UPSTREAM_CLIENT_KEY and, where its payload is "
        "encrypted, EXPPLAT_UPSTREAM_DECRYPTION_KEY.",
    )


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
