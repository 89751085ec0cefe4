"""Which files are the workspace's own, and where in them somebody else's exception was raised."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

MESSAGE_CHARACTERS = 300
"""Length to which the message of somebody else's exception is cut."""


def workspace_files(workspace: Path) -> tuple[str, ...]:
    """Return the workspace's source files that are imported now; expplat's own are not counted."""
    files = {
        str(module.__file__)
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] not in {"expplat", "__main__"}
        and _is_own(getattr(module, "__file__", None), workspace)
    }
    return tuple(sorted(files))


def place_in(workspace: Path, filename: str) -> str:
    """Return a file's path relative to the workspace; its bare name where it is elsewhere."""
    path = Path(filename)
    return path.relative_to(workspace).as_posix() if path.is_relative_to(workspace) else path.name


def _place(error: BaseException, workspace: Path) -> str:
    """Return file and line of the innermost frame that is the workspace's own."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{place_in(workspace, error.filename)}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_own(frame.filename, workspace)]
    return f"{place_in(workspace, own[-1].filename)}:{own[-1].lineno}" if own else ""


def _is_own(filename: str | None, workspace: Path) -> bool:
    """Return whether a file is the workspace's own: not hidden in it, nor installed there."""
    if not filename or not Path(filename).is_relative_to(workspace):
        return False
    parts = Path(filename).relative_to(workspace).parts
    return not any(part.startswith(".") or part == "site-packages" for part in parts)


def last_words(error: BaseException, workspace: Path) -> str:
    """Return an exception in one line: type, message, and the last place in the workspace."""
    cut = _message_of(error).encode("utf-8", "replace").decode()[:MESSAGE_CHARACTERS]
    place = _place(error, workspace)
    words = f"{type(error).__name__}: {cut}" if cut else type(error).__name__
    return f"{words} ({place})" if place else words


def _message_of(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())
    except Exception:  # noqa: BLE001  (guards user code: an exception's own __str__ may raise)
        return ""
