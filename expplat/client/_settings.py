"""What a client is told: its arguments, the environment for those left out, and defaults."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from expplat.client._guard import Complaints


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a client waits for things, in seconds."""

    poll_s: float = 60.0
    """Between two looks at the flags beside the stream, which may be dead without a word."""

    silence_s: float = 35.0
    """How long the stream may say nothing; the server pings every 15 seconds."""

    first_retry_s: float = 0.5
    """The widest wait before the first new attempt; it doubles with each, and is drawn evenly
    from what the server asks for at least up to it, so that a crowd of clients is spread."""

    longest_retry_s: float = 30.0
    connect_s: float = 2.0
    read_s: float = 5.0
    refused_retry_s: float = 60.0
    """Between two attempts to send events that the server refuses because of the key."""

    exit_s: float = 5.0
    """How long the end of the process may be held up to send events; the rest stays on disk."""


class ClientOptions(TypedDict, total=False):
    """The options of `Client`, each optional."""

    client_key: str | None
    """Opens the flags, `sdk-…`; EXPPLAT_CLIENT_KEY."""

    ingest_key: str | None
    """Lets events in, `eik_…`; EXPPLAT_INGEST_KEY. Without it no event is kept."""

    cache_dir: str | Path | None
    """A folder of this service's own for the last good flags and unsent events;
    EXPPLAT_CLIENT_DIR. By default one in the user's state folder, named by address and keys."""

    decryption_key: str | None
    """Reads encrypted flags; EXPPLAT_DECRYPTION_KEY."""

    start_timeout_s: float
    """How long the constructor may wait for the first flags where no copy is on disk; 1.0."""

    handle_sigterm: bool
    """Send what is waiting when SIGTERM comes, where nobody else handles it; True."""

    prices: Mapping[str, tuple[float, float]]
    """US dollars per million input and output tokens of each model, for `cost_usd`."""

    sync: bool
    """Wait for the disk at each event, so that a power cut loses none either; False, and the disk
    is waited for within a second, in the background."""

    spool_limit_bytes: int
    """How many bytes of unsent events are kept; 256 MB. Beyond it the newest are dropped."""

    pace: Pace


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options with every default filled in."""

    url: str
    client_key: str
    ingest_key: str = field(repr=False)
    decryption_key: str = field(repr=False)
    cache_dir: Path
    start_timeout_s: float
    handle_sigterm: bool
    prices: Mapping[str, tuple[float, float]]
    sync: bool
    spool_limit_bytes: int
    pace: Pace

    @property
    def flags_identity(self) -> str:
        """What flags belong to: one server and one client key."""
        return _digest(self.url, self.client_key)


def read_settings(
    url: str | None, options: ClientOptions, env: Mapping[str, str], complaints: Complaints
) -> Settings:
    """Return the settings of these options; the environment fills in what is left out.

    An option of a wrong type is left out too, with a complaint: the service goes on without it.

    Raises:
        TypeError: If there is no option of a name.
    """
    if unknown := options.keys() - ClientOptions.__annotations__.keys():
        raise TypeError(f"Client has no option {', '.join(sorted(unknown))}.")
    given = _Given({"url": url} | options, complaints)
    # A secret that is mounted as a file ends with a line break.
    address = (given.text("url") or env.get("EXPPLAT_URL", "").strip()).rstrip("/")
    client_key = given.text("client_key") or env.get("EXPPLAT_CLIENT_KEY", "").strip()
    ingest_key = given.text("ingest_key") or env.get("EXPPLAT_INGEST_KEY", "").strip()
    decryption_key = given.text("decryption_key") or env.get("EXPPLAT_DECRYPTION_KEY", "").strip()
    folder = given.one("cache_dir", (str, Path), env.get("EXPPLAT_CLIENT_DIR", ""))
    own = _state_folder(env) / _digest(address, client_key, ingest_key)
    return Settings(
        url=address,
        client_key=client_key,
        ingest_key=ingest_key,
        decryption_key=decryption_key,
        cache_dir=Path(folder) if folder else own,
        start_timeout_s=given.one("start_timeout_s", (int, float), 1.0),
        handle_sigterm=bool(given.one("handle_sigterm", int, True)),
        prices=given.one("prices", Mapping, {}),
        sync=bool(given.one("sync", int, False)),
        spool_limit_bytes=given.one("spool_limit_bytes", (int, float), 256_000_000),
        pace=given.one("pace", Pace, Pace()),
    )


class _Given:
    """Options as they were given, which may be of any type; None is as good as left out."""

    def __init__(self, options: Mapping[str, object], complaints: Complaints) -> None:
        self._options = options
        self._complaints = complaints

    def text(self, name: str) -> str:
        text: str = self.one(name, str, "")
        return text.strip()

    def one(self, name: str, kind: type | tuple[type, ...], default: Any) -> Any:
        value = self._options.get(name)
        if value is None or isinstance(value, kind):
            return default if value is None else value
        # Without the value, which may be a key.
        message = f"`{name}` of the client is of a wrong type, {type(value).__name__}; left out."
        self._complaints.about(f"option {name}", message)
        return default


def _state_folder(env: Mapping[str, str]) -> Path:
    home = env.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(home) / "expplat" / "client"


def _digest(*parts: str) -> str:
    # Bytes of the environment that are no text come as halves of characters.
    return hashlib.sha256("\n".join(parts).encode(errors="surrogatepass")).hexdigest()[:16]
