"""Settings: what differs between two machines. What differs between two POCs is in their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
        return cls(
            workspace=workspace,
            state_dir=state_dir,
            database_url=env.get("EXPPLAT_DATABASE_URL") or _embedded_database(state_dir),
            tracking_uri=env.get("MLFLOW_TRACKING_URI") or f"sqlite:///{state_dir / 'mlflow.db'}",
            ray_address=env.get("EXPPLAT_RAY_ADDRESS", ""),
            host=env.get("EXPPLAT_HOST") or "127.0.0.1",
            port=_port(env.get("EXPPLAT_PORT") or "8787"),
            allowed_hosts=_names(env.get("EXPPLAT_ALLOWED_HOSTS", "")),
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


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise ConfigurationError(
        f"EXPPLAT_PORT is {text!r}, which is not a port.", hint="Use 1 to 65535."
    )
