"""Where a client keeps its files: where it was told to, or where it can."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from expplat.client._guard import Complaints
from expplat.client._private_file import must_be_private_folder
from expplat.client._settings import Settings


def in_a_writable_folder(settings: Settings, complaints: Complaints) -> Settings:
    """Return the settings with a folder that can be written.

    A container may have no home, or a read-only one. Events are kept in the folder for temporary
    files then, from where they are sent as long as the container lives.
    """
    wanted = settings.cache_dir
    try:
        _try(wanted)
    except (OSError, ValueError) as error:
        name = f"expplat-client-{os.geteuid()}-{settings.flags_identity}"
        try:
            instead = Path(tempfile.gettempdir()) / name
            complaints.about("folder", f"{wanted} cannot be written ({error}); {instead} is used.")
            _try(instead)
            must_be_private_folder(instead)
        except OSError as worse:
            complaints.about("no folder", f"Events cannot be kept: {worse}.")
            return settings
        return replace(settings, cache_dir=instead)
    return settings


def _try(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
