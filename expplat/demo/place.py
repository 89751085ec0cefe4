"""The demo's workspace: a copy of the example experiments and their code."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from expplat.errors import InputError
from expplat.settings import Settings
from expplat.wiring import Platform

MARKER = ".expplat-demo"
"""A file that says: this folder was made by the demo and may be removed by it."""

NOTE = "This is the demo: its online tests were met by simulated users, not by people."
"""Stands on top of every page of the demo's workspace."""

CONTENT = ("experiments", "pocs")


def lay_out(folder: Path, *, fresh: bool) -> Platform:
    """Make the workspace, or go on in the one that an earlier call made.

    Raises:
        InputError: If the folder holds something that is not the demo's.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise InputError(
            f"{folder} is not empty, and not a demo's.", hint="Name a folder that does not exist."
        )
    if fresh and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()
    for name in CONTENT:
        shutil.copytree(
            _content_root() / name,
            folder / name,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    # Embedded, whatever the machine is set to: a demo harms no real database.
    settings = Settings.from_env(_environment(folder), folder)
    settings.state_dir.mkdir(mode=0o700, exist_ok=True)
    settings.note_file.write_text(f"{NOTE}\n", encoding="utf-8")
    return Platform(settings=settings)


def environment(folder: Path) -> dict[str, str]:
    """Return this process's environment for a command that works in the demo's workspace."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EXPPLAT_")}
    kept.pop("MLFLOW_TRACKING_URI", None)
    return {**kept, **_environment(folder)}


def _environment(folder: Path) -> dict[str, str]:
    return {"EXPPLAT_WORKSPACE": str(folder)}


def _content_root() -> Path:
    """Return the folder with experiments/ and pocs/: in the wheel, else in the checkout."""
    packaged = Path(__file__).parent / "workspace"
    return packaged if packaged.is_dir() else Path(__file__).parents[2]
