"""What the pages say is there: links, tests, fields, errors, settings, gates, endpoints."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from expplat.adapters.spec_file import SpecFile
from expplat.api.app import create_app
from expplat.domain.gate import GateKind
from expplat.domain.request import ErrorKind
from expplat.errors import ExpplatError
from expplat.metrics import catalogue
from expplat.settings import Settings
from expplat.wiring import Platform
from tests.docs.doc_blocks import ROOT, blocks, pages

REFERENCE = ROOT / "docs" / "reference"
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(#[^)\s]+)?\)")
CITED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
CITED_PATH = re.compile(r"`((?:expplat|tests|docs|alembic)/[\w/.-]+)`")
VARIABLE = re.compile(r"\b(?:EXPPLAT_[A-Z_]*[A-Z]|MLFLOW_TRACKING_URI)\b")

every_page = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    text = _without_code(page)

    broken = [
        f"{target}{anchor}"
        for target, anchor in LINK.findall(text)
        if not _leads_somewhere(page, target, anchor)
    ]

    assert broken == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    page = ROOT / "README.md"
    links = [link for each in pages() for link in LINK.findall(_without_code(each))]

    assert len(links) > 20
    assert _leads_somewhere(page, "docs/tutorial.md", "")
    assert not _leads_somewhere(page, "docs/tutorials.md", "")
    assert not _leads_somewhere(page, "docs/tutorial.md", "#a-heading-that-is-not-there")


@every_page
def test_every_test_and_file_that_is_named_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    missing = [path for path in CITED_PATH.findall(text) if not (ROOT / path).exists()]
    missing += [
        f"{path}::{name}"
        for path, name in CITED_TEST.findall(text)
        if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]

    assert missing == []


@every_page
def test_every_example_can_be_parsed(page: Path) -> None:
    for block in blocks(page):
        if block.language == "json":
            # The tutorial's log has one object a line.
            lines = [block.text] if not block.note.endswith(".jsonl") else block.text.splitlines()
            assert all(isinstance(json.loads(line), dict) for line in lines)
        elif block.language == "yaml":
            assert isinstance(yaml.safe_load(block.text), dict)
        elif block.language == "python":
            ast.parse(block.text)


def test_the_experiment_file_of_the_tutorial_has_no_fault() -> None:
    page = ROOT / "docs" / "tutorial.md"
    text = next(block.text for block in blocks(page) if block.note.endswith(".yaml"))

    proposal = SpecFile().read(text.encode(), "experiments/word_endings.yaml")

    assert proposal.slug == "word_endings"


@every_page
def test_no_page_names_a_place_on_somebodys_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert [folder for folder in ("work", "root", "home") if f"/{folder}/" in text] == []
    assert "TODO" not in text


def test_generated_references_are_up_to_date() -> None:
    maker = _maker()

    stale = [
        page.name
        for page in sorted(REFERENCE.glob("*.md"))
        if maker.renewed(page.read_text(encoding="utf-8")) != page.read_text(encoding="utf-8")
    ]

    assert stale == [], "run .venv/bin/python docs/make_reference.py"


def test_every_generated_part_is_used() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))

    assert [name for name in _maker().MAKERS if f"<!-- generated: {name} -->" not in text] == []


def test_every_error_class_is_documented() -> None:
    text = (REFERENCE / "errors.md").read_text(encoding="utf-8")

    assert [
        kind.__name__ for kind in _classes(ExpplatError) if f"`{kind.__name__}`" not in text
    ] == []
    assert [kind for kind in ErrorKind if f"`{kind}`" not in text] == []


def test_every_setting_is_documented() -> None:
    text = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    sources = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "expplat").rglob("*.py"))

    assert sorted(set(VARIABLE.findall(sources)) - set(VARIABLE.findall(text))) == []


def test_every_setting_that_a_page_names_is_read_somewhere() -> None:
    sources = "".join(
        file.read_text(encoding="utf-8")
        for folder in ("expplat", "docs")
        for file in (ROOT / folder).rglob("*.py")
    )
    named = {
        name for page in pages() for name in VARIABLE.findall(page.read_text(encoding="utf-8"))
    }

    assert sorted(named - set(VARIABLE.findall(sources))) == []


def test_every_gate_kind_and_metric_is_documented() -> None:
    gates = (REFERENCE / "gates.md").read_text(encoding="utf-8")
    metrics = (REFERENCE / "metrics.md").read_text(encoding="utf-8")

    assert [kind for kind in GateKind if f"### `{kind}`" not in gates] == []
    assert [name for name in catalogue._FIXED if f"| `{name}` |" not in metrics] == []
    assert [name for name in catalogue.RANKED if f"| `{name}_at_K` |" not in metrics] == []


def test_every_endpoint_is_documented(tmp_path: Path) -> None:
    text = (REFERENCE / "http-api.md").read_text(encoding="utf-8")
    for name in ("experiments", "pocs"):
        (tmp_path / name).mkdir()

    described = create_app(Platform(settings=Settings.from_env({}, tmp_path))).openapi()

    operations = [
        f"{method.upper()} {path}" for path, ways in described["paths"].items() for method in ways
    ]
    assert operations
    assert [one for one in operations if f"`{one}`" not in text] == []


def test_every_code_of_a_refused_event_is_documented() -> None:
    text = (REFERENCE / "http-api.md").read_text(encoding="utf-8")
    codes = {
        str(node.args[0].value)
        for name in ("event_fields", "event_reading")
        for node in ast.walk(ast.parse((ROOT / f"expplat/flow/{name}.py").read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "EventError"
        and isinstance(node.args[0], ast.Constant)
    }

    assert len(codes) >= 8
    assert (
        sorted(code for code in codes | {"missing_field", "id_required"} if f"`{code}`" not in text)
        == []
    )


def _leads_somewhere(page: Path, target: str, anchor: str) -> bool:
    goal = (page.parent / target).resolve() if target else page
    if not goal.exists():
        return False
    if not anchor or goal.suffix != ".md":
        return True
    headings = re.findall(r"^#+ (.+)$", goal.read_text(encoding="utf-8"), re.MULTILINE)
    return anchor.removeprefix("#") in {_anchor(heading) for heading in headings}


def _anchor(heading: str) -> str:
    """Return the anchor of a heading as GitHub makes it."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def _without_code(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def _classes(kind: type[ExpplatError]) -> Iterator[type[ExpplatError]]:
    yield kind
    for inner in kind.__subclasses__():
        yield from _classes(inner)


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs/make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_constant_that_contributors_are_sent_to_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    sent = re.findall(r"`([A-Z_]{4,})` in `(expplat/[\w/.]+)`", text)

    assert sent
    assert [name for name, path in sent if f"{name}" not in (ROOT / path).read_text()] == []
