"""Settings: what differs between two machines. What differs between two POCs is in their files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from expplat.errors import ConfigurationError, InputError

MARKERS = ("experiments", "pocs")
"""A folder that holds both is a workspace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, each with its environment variable; made once, by an entry point."""

    workspace: Path
    """`EXPPLAT_WORKSPACE`; else the nearest folder upwards with `experiments/` and `pocs/`."""

    state_dir: Path
    """`EXPPLAT_STATE_DIR`; else `.expplat` in the workspace: databases, journals, brakes."""

    database_url: str
    """`EXPPLAT_DATABASE_URL`; else SQLite in the state folder."""

    tracking_uri: str
    """`MLFLOW_TRACKING_URI`; else SQLite in the state folder."""

    ray_address: str
    """`EXPPLAT_RAY_ADDRESS`; empty: a Ray of our own on this machine."""

    host: str
    """`EXPPLAT_HOST`; else 127.0.0.1."""

    port: int
    """`EXPPLAT_PORT`; else 8787."""

    allowed_hosts: tuple[str, ...]
    """`EXPPLAT_ALLOWED_HOSTS`, a list with commas: names that the service answers to besides
    loopback and `host`; no page elsewhere may reach it under its own name."""

    max_events_per_second: float = 5_000.0
    """`EXPPLAT_MAX_EVENTS_PER_SECOND`, by connection and process; ten seconds of it may come at
    once. 0 is no limit, here and below."""

    max_flag_reads_per_second: float = 500.0
    """`EXPPLAT_MAX_FLAG_READS_PER_SECOND`, by client key, address and process."""

    max_reads_per_minute: float = 60.0
    """`EXPPLAT_MAX_READS_PER_MINUTE`, by admin key and process: pages and their JSON."""

    max_event_age: timedelta = timedelta(days=30)
    """`EXPPLAT_MAX_EVENT_AGE_DAYS`, 1 to 3650; events that happened longer ago are refused."""

    upstream_host: str = ""
    """`EXPPLAT_UPSTREAM_HOST`: the API of a GrowthBook whose flags are served along with ours."""

    upstream_client_key: str = ""
    """`EXPPLAT_UPSTREAM_CLIENT_KEY`: of one of its SDK connections."""

    upstream_decryption_key: str = ""
    """`EXPPLAT_UPSTREAM_DECRYPTION_KEY`, where that connection is encrypted."""

    upstream_every_s: float = 10.0
    """`EXPPLAT_UPSTREAM_EVERY_S`: seconds between two looks at it."""

    growthbook_url: str = ""
    """`EXPPLAT_GROWTHBOOK_URL`: the GrowthBook server that flags are pushed to; empty: none."""

    growthbook_key: str = ""
    """`EXPPLAT_GROWTHBOOK_KEY`: a secret key of that server."""

    growthbook_environment: str = "production"
    """`EXPPLAT_GROWTHBOOK_ENVIRONMENT`: where on that server flags are served."""

    def __repr__(self) -> str:
        """Leave the passwords of addresses out of logs."""
        return f"Settings(workspace={str(self.workspace)!r})"

    @property
    def is_embedded(self) -> bool:
        """Whether the database is the SQLite file of the state folder."""
        return self.database_url == _embedded_database(self.state_dir)

    @property
    def note_file(self) -> Path:
        """A sentence in it stands on top of every page, such as that the users are simulated."""
        return self.state_dir / "note.txt"

    @classmethod
    def from_env(cls, env: Mapping[str, str], cwd: Path) -> Settings:
        """Read the settings.

        Raises:
            InputError: If there is no workspace here or above.
            ConfigurationError: If a setting is malformed.
        """
        workspace = _workspace(env, cwd)
        state_dir = Path(env.get("EXPPLAT_STATE_DIR") or workspace / ".expplat").absolute()
        if "?" in str(state_dir):
            raise ConfigurationError(
                f"{state_dir} has a question mark, where addresses of databases end.",
                hint="Set EXPPLAT_STATE_DIR to another folder, or rename this one.",
            )
        return cls(
            workspace=workspace,
            state_dir=state_dir,
            database_url=env.get("EXPPLAT_DATABASE_URL") or _embedded_database(state_dir),
            tracking_uri=env.get("MLFLOW_TRACKING_URI") or f"sqlite:///{state_dir / 'mlflow.db'}",
            ray_address=env.get("EXPPLAT_RAY_ADDRESS", ""),
            host=env.get("EXPPLAT_HOST") or "127.0.0.1",
            port=_port(env.get("EXPPLAT_PORT") or "8787"),
            allowed_hosts=_names(env.get("EXPPLAT_ALLOWED_HOSTS", "")),
            max_events_per_second=_rate(env, "EXPPLAT_MAX_EVENTS_PER_SECOND", 5_000.0),
            max_flag_reads_per_second=_rate(env, "EXPPLAT_MAX_FLAG_READS_PER_SECOND", 500.0),
            max_reads_per_minute=_rate(env, "EXPPLAT_MAX_READS_PER_MINUTE", 60.0),
            growthbook_url=env.get("EXPPLAT_GROWTHBOOK_URL", ""),
            growthbook_key=env.get("EXPPLAT_GROWTHBOOK_KEY", ""),
            growthbook_environment=env.get("EXPPLAT_GROWTHBOOK_ENVIRONMENT") or "production",
            **_upstream(env),
            max_event_age=timedelta(days=_days(env.get("EXPPLAT_MAX_EVENT_AGE_DAYS") or "30")),
        )


def _embedded_database(state_dir: Path) -> str:
    return f"sqlite:///{state_dir / 'expplat.db'}"


def _workspace(env: Mapping[str, str], cwd: Path) -> Path:
    named = env.get("EXPPLAT_WORKSPACE")
    if named:
        folder = Path(named).absolute()
        if not folder.is_dir():
            raise ConfigurationError(
                f"EXPPLAT_WORKSPACE names {folder}, which is not a folder.",
                hint="Point it at a folder with experiments/ and pocs/, or unset it.",
            )
        return folder
    for folder in (cwd, *cwd.parents):
        if all((folder / marker).is_dir() for marker in MARKERS):
            return folder
    raise InputError(
        f"{cwd} is not in a workspace: no folder here or above holds experiments/ and pocs/.",
        hint="`expplat init` makes one here; or set EXPPLAT_WORKSPACE.",
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _upstream(env: Mapping[str, str]) -> dict[str, Any]:
    host = env.get("EXPPLAT_UPSTREAM_HOST", "").strip()
    client_key = env.get("EXPPLAT_UPSTREAM_CLIENT_KEY", "").strip()
    if bool(host) != bool(client_key):
        raise ConfigurationError(
            "EXPPLAT_UPSTREAM_HOST and EXPPLAT_UPSTREAM_CLIENT_KEY belong together.",
            hint="Set both, or neither.",
        )
    if host and not _is_http(host):
        raise ConfigurationError(
            "EXPPLAT_UPSTREAM_HOST is no address of a GrowthBook.",
            hint="Use one such as https://cdn.example.com, without user, query or fragment.",
        )
    if not re.fullmatch(r"[\w.~-]*", client_key, re.ASCII):
        raise ConfigurationError(
            "EXPPLAT_UPSTREAM_CLIENT_KEY is no client key.", hint="They look like sdk-aBc123."
        )
    return {
        "upstream_host": host,
        "upstream_client_key": client_key,
        "upstream_decryption_key": env.get("EXPPLAT_UPSTREAM_DECRYPTION_KEY", "").strip(),
        "upstream_every_s": _rate(env, "EXPPLAT_UPSTREAM_EVERY_S", 10.0) or 10.0,
    }


def _is_http(address: str) -> bool:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    is_plain = not (parts.username or parts.password or parts.query or parts.fragment)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and is_plain and port != 0


def _rate(env: Mapping[str, str], name: str, otherwise: float) -> float:
    text = env.get(name) or str(otherwise)
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if math.isfinite(rate) and rate >= 0:
        return rate
    raise ConfigurationError(
        f"{name} is {text!r}, which is no rate.", hint=f"Use {otherwise:g}; 0 for no limit."
    )


def _days(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) <= 3650:
        return int(text)
    raise ConfigurationError(
        f"EXPPLAT_MAX_EVENT_AGE_DAYS is {text!r}, which is no number of days.",
        hint="Use 1 to 3650; 30 unless set.",
    )


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise ConfigurationError(
        f"EXPPLAT_PORT is {text!r}, which is not a port.", hint="Use 1 to 65535."
    )
