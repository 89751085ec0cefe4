"""The floors of the house, beyond what the import contracts say."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "expplat"

OWNERS = {
    "alembic": {"expplat.adapters.sql"},
    "bm25s": set(),
    "cryptography": {"expplat.adapters.growthbook.encryption"},
    "duckdb": {"expplat.adapters.table"},
    "fastapi": {"expplat.api"},
    "google": {"expplat.adapters.wire.otlp_messages"},
    "growthbook": {
        "expplat.adapters.growthbook.evaluation",
        "expplat.client._evaluation",
        "expplat.client._payload",
        "expplat.demo",
    },
    "httpx2": {
        "expplat.adapters.growthbook.rest",
        "expplat.adapters.growthbook.upstream",
        "expplat.demo",
    },
    "jinja2": {"expplat.adapters.report.pages"},
    "mlflow": {
        "expplat.adapters.tracking.extras",
        "expplat.adapters.tracking.models",
        "expplat.adapters.tracking.runs",
        "expplat.adapters.tracking.store",
        "expplat.adapters.tracking.traces",
        "expplat.adapters.tracking.mlflow_tracking",
        "expplat.api.mlflow_ui",
    },
    "opentelemetry": {"expplat.adapters.wire.otlp_messages"},
    "pandas": set(),
    "pyarrow": {
        "expplat.adapters.request_log.columns",
        "expplat.adapters.request_log.parquet",
        "expplat.adapters.request_log.store",
        "expplat.adapters.table",
    },
    "psycopg": set(),
    "pydantic": {"expplat.adapters.spec_file"},
    # ray_session imports it by name, again where its environment has changed
    "ray": {"expplat.adapters.replay.ray_crew"},
    "rich": {"expplat.cli"},
    "sklearn": set(),
    # MLflow lets the errors of its own SQLAlchemy through, so its adapter must know their names
    "sqlalchemy": {
        "expplat.adapters.tracking.extras",
        "expplat.adapters.tracking.mlflow_tracking",
        "expplat.adapters.sql",
        "expplat.adapters.table.database",
        "expplat.wiring",
    },
    "typer": {"expplat.cli"},
    "urllib3": {"expplat.client._http"},
    "uvicorn": {"expplat.cli", "expplat.api.limits.patience"},
    "yaml": {"expplat.adapters.spec_file"},
}
"""Who may import a product: a module, or a package with all that is in it."""


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("expplat", include_external_packages=True)


@pytest.mark.parametrize("product", OWNERS)
def test_a_product_is_imported_by_its_owners_alone(graph, product):
    importers = graph.find_modules_that_directly_import(product) if product in graph.modules else ()
    strangers = {
        importer
        for importer in importers
        if not any(f"{importer}.".startswith(f"{owner}.") for owner in OWNERS[product])
    }

    assert strangers == set()


@pytest.mark.parametrize("product", OWNERS)
def test_an_owner_uses_what_it_owns(graph, product):
    importers = graph.find_modules_that_directly_import(product) if product in graph.modules else ()
    idle = {
        owner
        for owner in OWNERS[product]
        if not any(f"{importer}.".startswith(f"{owner}.") for importer in importers)
    }

    assert idle == set()


def test_the_alembic_folder_does_not_hide_the_library():
    assert (ROOT / "alembic" / "env.py").is_file()
    assert list((ROOT / "alembic").rglob("__init__.py")) == []


@pytest.mark.parametrize(
    "forbidden", ["utils", "core", "common", "helpers", "manager", "misc", "base"]
)
def test_no_module_is_called_by_a_word_that_says_nothing(forbidden):
    assert [path.name for path in PACKAGE.rglob(f"{forbidden}*")] == []


def test_nothing_unpickles_and_nothing_imports_ray_data():
    forbidden = {"pickle", "cloudpickle", "dill", "marshal", "ray.data"}
    offences = [
        f"{path.name}: {name}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
        if name in forbidden
    ]

    assert offences == []


def _imported(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Import):
        return tuple(alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return (node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names))
    return ()


def test_every_dependency_is_pinned_with_a_hash_and_no_lock_names_a_host():
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / lock).read_text()
        entries = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]

        assert "://" not in text
        assert entries
        assert all("==" in entry and entry.endswith("\\") for entry in entries)


def test_every_direct_dependency_is_in_the_lock():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = (ROOT / "requirements.lock").read_text()
    for requirement in project["dependencies"]:
        name = requirement.split(">")[0].split("[")[0].lower()

        assert f"\n{name}" in f"\n{locked}", name
