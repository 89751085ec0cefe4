"""Makes a workspace, or a POC in it: all or nothing, and never over anything that is there."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from string import Template

from expplat.adapters.durable import sync_folder
from expplat.domain.proposal_rules import SLUG_HINT, slug_problem
from expplat.errors import InputError

TEMPLATES = files("expplat.adapters") / "scaffold_files"


def new_workspace(folder: Path) -> tuple[Path, ...]:
    """Make a folder a workspace; a `pocs/` that is there already is kept as it is.

    Returns:
        The files that were made.

    Raises:
        InputError: If there is an `experiments/` already, or the folder cannot be written.
    """
    code = {"README.md": _filled("pocs_readme.md")}
    content = {
        "README.md": _filled("workspace_readme.md"),
        "prices.yaml": _filled("prices.yaml"),
        "logs/requests.jsonl": _filled("requests.jsonl"),
    }
    with _as_input_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_existing(folder / "experiments", "Choose another folder, or work in this one.")
        has_code = (folder / "pocs").is_dir()
        with _workbench(folder) as bench:
            _write(bench / "experiments", content)
            goals = [folder / "experiments"]
            if not has_code:
                _write(bench / "pocs", code)
                goals.insert(0, folder / "pocs")
            _put_in_place(bench, goals)
    made = [folder / "experiments" / name for name in content]
    return (*made, *(folder / "pocs" / name for name in code if not has_code))


def new_poc(workspace: Path, slug: str) -> tuple[Path, ...]:
    """Make an experiment file in which every field is explained, and code that runs.

    The experiment file comes last. A call that was cut off before it is finished by the next.

    Returns:
        The files that were made.

    Raises:
        InputError: If the slug is not one, if there is such a file or folder already, or if the
            workspace cannot be written.
    """
    if problem := slug_problem(slug):
        raise InputError(problem, hint=SLUG_HINT)
    spec, folder = workspace / "experiments" / f"{slug}.yaml", workspace / "pocs" / slug
    code = {"variants.py": _filled("variants.py", slug=slug)}
    with _as_input_errors(workspace):
        _refuse_existing(spec, "Choose another name.")
        is_left_over = _holds_just(folder, code)
        if not is_left_over:
            _refuse_existing(folder, "Choose another name.")
        with _workbench(workspace) as bench:
            _write(bench, {spec.name: _filled("experiment.yaml", slug=slug)})
            goals = [spec]
            if not is_left_over:
                _write(bench / slug, code)
                goals.insert(0, folder)
            _put_in_place(bench, goals)
    return spec, *(folder / name for name in code)


def _filled(name: str, **words: str) -> str:
    text = (TEMPLATES / f"{name}.template").read_text(encoding="utf-8")
    return Template(text).substitute(words) if words else text


@contextmanager
def _as_input_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{str(folder)!r} could not be written: {error.strerror}. Nothing was made.",
            hint="Look at the path, its permissions, and the space that is left.",
        ) from None


@contextmanager
def _workbench(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder beside the goal, so that a rename puts the finished thing there."""
    bench = Path(tempfile.mkdtemp(prefix=".expplat-new-", dir=folder))
    try:
        yield bench
    finally:
        shutil.rmtree(bench, ignore_errors=True)


def _write(folder: Path, content: Mapping[str, str]) -> None:
    for name, text in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)


def _put_in_place(bench: Path, goals: Sequence[Path]) -> None:
    """Move finished things to their goals, in order; on an error the first ones are taken back.

    Where somebody else was faster with the last of them, the others are left: they are the same,
    and are now part of what the other one made.
    """
    moved: list[Path] = []
    try:
        for goal in goals:
            _move(bench / goal.name, goal)
            moved.append(goal)
            sync_folder(goal.parent)
    except OSError as error:
        for goal in reversed(moved) if error.errno not in (errno.EEXIST, errno.ENOTEMPTY) else ():
            _take_back(goal, bench / goal.name)
        raise


def _take_back(goal: Path, source: Path) -> None:
    if goal.is_dir():
        os.rename(goal, source)
    else:  # a rename between two links of one file would do nothing
        goal.unlink()


def _move(source: Path, goal: Path) -> None:
    """Move a file or a folder; unlike a rename, a link never replaces a file that is there."""
    if source.is_dir():
        os.rename(source, goal)
        return
    try:
        os.link(source, goal)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        os.rename(source, goal)


def _refuse_existing(path: Path, hint: str) -> None:
    if os.path.lexists(path):
        raise InputError(f"{str(path)!r} exists already. Nothing was made.", hint=hint)


def _holds_just(folder: Path, content: Mapping[str, str]) -> bool:
    """Tell whether a folder holds what we would write, byte for byte, and nothing else."""
    if not folder.is_dir() or sorted(path.name for path in folder.iterdir()) != sorted(content):
        return False
    return all(
        (folder / name).is_file() and (folder / name).read_bytes() == text.encode()
        for name, text in content.items()
    )
