"""Probes the technique code of a workspace.

A probe imports what a proposal names in a process of its own, so that code which hangs, exits or
prints does so there. It makes nothing and runs no `setup`: it imports, and holds the parameters
against the signature. As a program, this module is that process.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from expplat.adapters.replay.variant_loading import (
    CodeError,
    load,
    must_fit,
    must_measure,
)
from expplat.adapters.replay.workspace_sources import (
    MESSAGE_CHARACTERS,
    last_words,
    place_in,
    workspace_files,
)
from expplat.domain.metric import Metric
from expplat.domain.plain import sha256_of, to_plain
from expplat.domain.proposal import Variant, Variants
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.domain.request import logged_system
from expplat.errors import Fault, FaultsError
from expplat.flow.ports import CodeHashes

PROBE_TIMEOUT_S = 120.0
"""After which an import counts as hung."""

Kind = Literal["variant", "metric"]


class WorkspaceCode:
    """Probes technique code."""

    def __init__(self, *, timeout_s: float = PROBE_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s

    def probe(self, workspace: Path, variants: Variants, metrics: Sequence[Metric]) -> CodeHashes:
        """Import both variants and own metrics, each in a process of its own.

        A variant's hash is taken over its `use`, its params, the content of its assets, and the
        path and content of every source file of the workspace that its import pulled in; what own
        metrics pull in counts for both variants. Other files that are opened, and modules that are
        imported within a function, are not seen. Recorded answers are imported from nowhere.

        Raises:
            FaultsError: If one cannot be imported, does not take its params, or lacks an asset;
                all at once.
        """
        targets = [
            _Target(f"variants.{arm}", "variant", variant.use, variant.params)
            for arm, variant in ((CONTROL, variants.control), (TREATMENT, variants.treatment))
        ]
        targets += [
            _Target(f"metrics[{index}]", "metric", metric.use)
            for index, metric in enumerate(metrics)
            if metric.use is not None
        ]
        with ThreadPoolExecutor(max_workers=2) as pool:
            found = list(
                pool.map(lambda target: _probe(target, workspace, self._timeout_s), targets)
            )
        faults = [answer.fault for answer in found if answer.fault is not None]
        pair = (variants.control, variants.treatment)
        assets = [
            _assets(target.path, variant, workspace, faults)
            for target, variant in zip(targets[:2], pair, strict=True)
        ]
        if faults:
            raise FaultsError("The workspace's code", tuple(faults))
        judging = {path: sha for answer in found[2:] for path, sha in answer.sources.items()}
        control, treatment = (
            _sha256(variant, {**answer.sources, **judging}, held)
            for variant, answer, held in zip(pair, found[:2], assets, strict=True)
        )
        return CodeHashes(control_sha256=control, treatment_sha256=treatment)


def _sha256(variant: Variant, sources: Mapping[str, str], assets: Mapping[str, str]) -> str:
    made_of = (variant.use, to_plain(variant.params), sources)
    return sha256_of((*made_of, assets) if assets else made_of)


def _assets(path: str, variant: Variant, workspace: Path, faults: list[Fault]) -> dict[str, str]:
    """Return the hashes of a variant's assets by name; gather what is wrong with them."""
    found = {}
    for name, place in variant.assets.items():
        try:
            with (workspace / place).open("rb") as content:
                found[name] = hashlib.file_digest(content, "sha256").hexdigest()
        except OSError as error:
            faults.append(
                Fault(
                    line=0,
                    field=f"{path}.assets.{name}",
                    message=f"The file {place} cannot be read: {error.strerror or error}.",
                    hint="Name a file, by its path from the workspace's folder.",
                )
            )
    return found


@dataclass(frozen=True, slots=True)
class _Target:
    """One `use` that is probed."""

    path: str
    kind: Kind
    use: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a probe found."""

    fault: Fault | None
    sources: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 by path relative to the workspace."""


def _probe(target: _Target, workspace: Path, timeout_s: float) -> _Answer:
    """Ask a process of its own; its answer comes in a file, what it prints is kept apart."""
    if target.kind == "variant" and logged_system(target.use) is not None:
        return _Answer(None)
    with tempfile.TemporaryDirectory(prefix="expplat-probe-") as folder:
        answer = Path(folder) / "answer.json"
        asked = json.dumps(
            {
                "workspace": str(workspace),
                "kind": target.kind,
                "use": target.use,
                "params": to_plain(target.params),
                "answer": str(answer),
            }
        )
        try:
            with (Path(folder) / "stderr").open("wb") as stderr:
                ended = subprocess.run(
                    [sys.executable, "-m", "expplat.adapters.replay.variant_code"],
                    input=asked.encode(),
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    cwd=workspace,
                    env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
                    timeout=timeout_s,
                    check=False,
                )
        except subprocess.TimeoutExpired:
            return _faulty(target, "use", f"Importing {target.use} takes over {timeout_s:g} s.")
        if not answer.exists():
            words = _last_line(Path(folder) / "stderr")
            return _faulty(
                target,
                "use",
                f"Importing {target.use} ended the process with status {ended.returncode}{words}.",
            )
        return _read(json.loads(answer.read_bytes()), target)


def _read(answer: dict[str, Any], target: _Target) -> _Answer:
    if "message" in answer:
        return _faulty(target, answer["part"], answer["message"], answer["hint"])
    return _Answer(None, answer["sources"])


def _faulty(target: _Target, part: str, message: str, hint: str = "") -> _Answer:
    return _Answer(Fault(line=0, field=f"{target.path}.{part}", message=message, hint=hint))


def _last_line(path: Path) -> str:
    lines = path.read_bytes()[-10_000:].decode("utf-8", "replace").strip().splitlines()
    return f": {lines[-1][:MESSAGE_CHARACTERS]}" if lines else ""


def _answered(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Import what was asked for; return its fault, or the hashes of the sources it pulled in."""
    workspace = Path(asked["workspace"])
    try:
        found = load(asked["use"])
        if asked["kind"] == "metric":
            must_measure(found)
        else:
            must_fit(found, asked["params"])
    except CodeError as error:
        return {"part": error.part, "message": error.message, "hint": error.hint}
    except BaseException as error:  # noqa: BLE001  (guards user code: an import may raise anything)
        return {"part": "use", "message": last_words(error, workspace), "hint": ""}
    sources = {
        place_in(workspace, filename): sha256_of(Path(filename).read_bytes())
        for filename in workspace_files(workspace)
    }
    return {"sources": sources}


def _main() -> None:
    asked = json.load(sys.stdin)
    sys.path.insert(0, asked["workspace"])
    answer = _answered(asked)
    Path(asked["answer"]).write_text(json.dumps(answer), encoding="utf-8")
    os._exit(0)


if __name__ == "__main__":
    _main()
