"""Workspaces and POCs are made whole or not at all, and never over anything that is there."""

from __future__ import annotations

import errno
import importlib.util
import json
import multiprocessing
import os
import re
from pathlib import Path
from types import ModuleType

import pytest

from expplat import Call, Request
from expplat.adapters import scaffold
from expplat.adapters.prices_file import PricesFile
from expplat.adapters.scaffold import new_poc, new_workspace
from expplat.adapters.spec_file import SpecFile, json_schema, read_document
from expplat.errors import InputError
from expplat.settings import Settings


@pytest.fixture
def workspace(tmp_path):
    new_workspace(tmp_path / "work")
    return tmp_path / "work"


def content_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("scaffolded_variants", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def requests_of(workspace: Path) -> list[Request]:
    lines = (workspace / "experiments" / "logs" / "requests.jsonl").read_text().splitlines()
    return [Request(**json.loads(line)) for line in lines]


def test_a_new_workspace_is_found_and_its_prices_are_read(tmp_path):
    made = new_workspace(tmp_path / "a" / "b")
    folder = tmp_path / "a" / "b"

    assert Settings.from_env({}, folder / "experiments" / "logs").workspace == folder
    assert PricesFile().read(folder).models == {}
    assert all(path.is_file() for path in made)
    assert set(content_of(folder)) == {
        "experiments", "experiments/README.md", "experiments/prices.yaml", "experiments/logs",
        "experiments/logs/requests.jsonl", "pocs", "pocs/README.md",
    }  # fmt: skip


def test_a_new_workspace_keeps_the_code_that_is_there(tmp_path):
    (tmp_path / "pocs").mkdir()
    (tmp_path / "pocs" / "mine.py").write_text("x = 1")

    assert len(new_workspace(tmp_path)) == 3
    assert [path.name for path in (tmp_path / "pocs").iterdir()] == ["mine.py"]


def test_a_workspace_is_not_made_over_experiments_that_are_there(tmp_path):
    (tmp_path / "experiments").mkdir()

    with pytest.raises(InputError, match="exists already"):
        new_workspace(tmp_path)
    assert content_of(tmp_path) == {"experiments": b""}


def test_a_new_poc_is_proposed_without_a_fault_as_it_stands(workspace):
    spec, code = new_poc(workspace, "hybrid_rrf")
    proposal = SpecFile().read(spec.read_bytes(), str(spec))

    assert proposal.slug == "hybrid_rrf"
    assert proposal.variants.control.use == "pocs.hybrid_rrf.variants:Control"
    assert (workspace / proposal.request_log.path).is_file()
    assert code == workspace / "pocs" / "hybrid_rrf" / "variants.py"


def test_both_scaffolded_variants_answer_every_sample_request(workspace):
    _, code = new_poc(workspace, "hybrid_rrf")
    module = loaded(code)
    answers = {
        variant.__name__: [
            variant(top=3)(request, Call()).retrieved for request in requests_of(workspace)
        ]
        for variant in (module.Control, module.Treatment)
    }

    assert all(len(found) == 3 for name in answers for found in answers[name])
    assert answers["Control"] != answers["Treatment"]


def test_every_field_of_a_proposal_stands_in_the_scaffold_under_a_comment(workspace):
    spec, _ = new_poc(workspace, "hybrid_rrf")
    text = spec.read_text()
    schema = json_schema()
    absent = [
        name
        for definition in (*schema["$defs"].values(), schema)
        for name in definition.get("properties", {})
        if not re.search(rf"\b{name}\b", text)
    ]
    document = read_document(spec.read_bytes(), "x")
    lines = ["", *text.splitlines()]
    bare = [
        name
        for name in (
            "slug",
            "owner",
            "problem",
            "paper",
            "variants",
            "metrics",
            "waivers",
            "online",
        )
        if not lines[document.lines[name,] - 1].strip().startswith("#")
    ]

    assert set(absent) <= {"alpha", "strict", "use", "worst", "expected_sd"}
    assert bare == []


@pytest.mark.parametrize(
    "slug",
    ["", "../x", "a/b", "A", "1a", "_a", "-a", "a-b", "a b", "a\n", "a\0", "é", "a" * 64, "class",
     "\x1b[2J", "a\u202e", "a.yaml", "a" * 100_000],
)  # fmt: skip
def test_what_is_not_a_slug_touches_no_path(workspace, slug):
    before = content_of(workspace.parent)

    with pytest.raises(InputError) as caught:
        new_poc(workspace, slug)
    assert content_of(workspace.parent) == before
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("taken", ["experiments/abc.yaml", "pocs/abc/mine.py", "pocs/abc"])
def test_a_poc_is_never_made_over_what_is_there(workspace, taken):
    (workspace / taken).parent.mkdir(exist_ok=True)
    (workspace / taken).write_text("mine")
    before = content_of(workspace)

    with pytest.raises(InputError, match="exists already"):
        new_poc(workspace, "abc")
    assert content_of(workspace) == before


def test_a_link_that_leads_nowhere_is_something_that_is_there(workspace):
    (workspace / "experiments" / "abc.yaml").symlink_to(workspace.parent / "elsewhere")

    with pytest.raises(InputError, match="exists already"):
        new_poc(workspace, "abc")
    assert not (workspace.parent / "elsewhere").exists()


def test_a_poc_that_was_cut_off_before_its_file_is_finished_by_the_next_call(workspace):
    spec, _ = new_poc(workspace, "abc")
    spec.unlink()

    assert new_poc(workspace, "abc")[0].is_file()


STEPS = ("rename", "link", "fsync", "mkdir")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("failing", range(6))
def test_a_full_disk_at_any_step_leaves_nothing_behind(workspace, monkeypatch, step, failing):
    before = content_of(workspace)
    works = getattr(os, step)
    calls = iter(range(1000))

    def full(*args: object, **options: object) -> object:
        if next(calls) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        return works(*args, **options)

    monkeypatch.setattr(os, step, full)
    try:
        new_poc(workspace, "abc")
    except InputError as error:
        told = error.message
    else:
        told = ""
    monkeypatch.undo()

    assert ("No space" in told) == (content_of(workspace) == before)
    assert not list(workspace.glob(".expplat-new-*"))


def test_a_workspace_that_is_not_there_is_an_error_with_a_reason(tmp_path):
    with pytest.raises(InputError, match="could not be written"):
        new_poc(tmp_path / "nowhere", "abc")


def tries(folder: Path) -> bool:
    try:
        new_poc(folder, "abc")
    except InputError:
        return False
    return True


def test_of_many_calls_at_once_exactly_one_makes_the_poc(workspace):
    with multiprocessing.get_context("fork").Pool(8) as pool:
        for _ in range(10):
            won = pool.map(tries, [workspace] * 8, chunksize=1)
            spec = workspace / "experiments" / "abc.yaml"
            SpecFile().read(spec.read_bytes(), spec.name)

            assert sum(won) == 1
            assert (workspace / "pocs" / "abc" / "variants.py").is_file()
            (workspace / "pocs" / "abc" / "variants.py").unlink()
            (workspace / "pocs" / "abc").rmdir()
            spec.unlink()


def test_every_template_is_used():
    names = {path.name.removesuffix(".template") for path in scaffold.TEMPLATES.iterdir()}
    code = Path(scaffold.__file__).read_text()

    assert {"experiment.yaml", "prices.yaml", "variants.py"} <= names
    assert [name for name in names if f'"{name}"' not in code] == []
