"""The examples run as their pages say, on a real server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import select

from expplat.adapters.sql.tables import exposures, outcomes
from tests.serving import eventually, free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
UNITS = [f"user-{n}" for n in range(20)]


@pytest.fixture
def env(address, walk, tmp_path):
    return os.environ | {
        "EXPPLAT_URL": address,
        "EXPPLAT_CLIENT_KEY": walk.key("client"),
        "EXPPLAT_INGEST_KEY": walk.key("ingest"),
        "EXPPLAT_CLIENT_DIR": str(tmp_path / "client"),
    }


@pytest.fixture
def arms(env):
    """What the official client gives each unit."""
    from growthbook import GrowthBook

    url = f"{env['EXPPLAT_URL']}/api/features/{env['EXPPLAT_CLIENT_KEY']}"
    features = httpx2.get(url).json()["features"]
    assert "hybrid_rrf" in features
    return {
        unit: GrowthBook(features=features, attributes={"user_id": unit}).get_feature_value(
            "hybrid_rrf", "none"
        )
        for unit in UNITS
    }


@contextmanager
def running(command, folder, env, port):
    process = subprocess.Popen(command, cwd=folder, env=env)
    try:
        eventually(lambda: process.poll() is not None or answers(port), within_s=20)
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        process.wait(10)
    finally:
        process.kill()
        process.wait()


def answers(port):
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/health", timeout=1).status_code == 200
    except httpx2.TransportError:
        return False


def rows(platform, table, *columns):
    with platform.sql_engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(*(table.c[c] for c in columns)))]


def test_the_fastapi_service_runs(env, arms, platform):
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "service:app", "--port", str(port)]
    with running(command, EXAMPLES / "fastapi_service", env, port) as service:
        for unit in UNITS:
            headers = {"x-user-id": unit}
            found = httpx2.get(f"{service}/search?q=rotat+my+kee", headers=headers).json()
            assert found["variant"] == arms[unit]
            assert len(found["pages"]) == 2
            assert httpx2.post(f"{service}/helpful", headers=headers).json() == {"kept": True}
        assert httpx2.get(f"{service}/search?q=key").json()["variant"] == "control"
        assert httpx2.get(f"{service}/health").json()["flags_origin"] == "network"

    seen = rows(platform, exposures, "unit", "variant")
    assert sorted(seen) == sorted(arms.items())
    metrics = {metric for (metric,) in rows(platform, outcomes, "metric")}
    assert metrics == {
        "task_success", "latency_ms", "error", "input_tokens", "output_tokens", "cost_usd",
    }  # fmt: skip
    assert len(rows(platform, outcomes, "metric")) == 20 * (1 + 5 + 2)


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory):
    """The Node example with what its package.json asks for."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("node") / "service"
    shutil.copytree(EXAMPLES / "node_service", folder)
    shared = Path(tempfile.gettempdir()) / "expplat_node_sdk_1_8_0" / "node_modules"
    if (shared / "eventsource").is_dir():
        (folder / "node_modules").symlink_to(shared)
        return folder
    command = ["npm", "install", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    if done.returncode != 0:
        pytest.skip("npm could not install the SDK")
    return folder


@pytest.mark.node
def test_the_node_service_runs(node_folder, env, arms, platform):
    port = free_port()
    env = env | {"PORT": str(port)}
    with running(["node", "service.mjs"], node_folder, env, port) as service:
        for unit in UNITS:
            found = httpx2.get(service, headers={"x-user-id": unit}).json()
            assert found == {"variant": arms[unit]}

    seen = [row for row in rows(platform, exposures, "unit", "variant") if row[0]]
    assert sorted(seen) == sorted(arms.items())
    assert len(rows(platform, outcomes, "metric")) == 20


def test_an_openfeature_provider_gets_the_same_variants(env, arms):
    command = [sys.executable, "ask.py", "hybrid_rrf", *UNITS]
    done = subprocess.run(
        command, cwd=EXAMPLES / "openfeature", env=env, capture_output=True, text=True, check=True
    )

    said = dict(line.split()[:2] for line in done.stdout.splitlines())
    assert said == arms
