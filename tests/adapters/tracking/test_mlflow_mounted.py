"""Holds `expplat.api.mlflow_ui` against the installed MLflow: private names may change under it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import Scope

from expplat.adapters.tracking.mlflow_tracking import MlflowTracking
from expplat.api.mlflow_ui import LOOPBACK_HOSTS, mlflow_app, mount_mlflow
from expplat.errors import ConfigurationError
from tests.adapters.pages.example_stories import proposal, report
from tests.serving import eventually, free_port

KEY = {"authorization": "Bearer right"}
PAGE = "<p>the report</p>"
SEARCH = "/mlflow/ajax-api/2.0/mlflow/runs/search"


def has_key(scope: Scope) -> bool:
    return (b"authorization", b"Bearer right") in scope["headers"]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    folder = tmp_path_factory.mktemp("state")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    environment = dict(os.environ)
    MlflowTracking(uri, folder).copy(report("mounted"), proposal("mounted"), PAGE)
    made = FastAPI()
    assert mount_mlflow(made, uri, folder, has_key)
    yield made
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture(scope="module")
def client(app: FastAPI) -> TestClient:
    return TestClient(app, base_url="http://localhost:8787")


def test_mlflows_own_page_is_served_below_our_address(client: TestClient) -> None:
    page = client.get("/mlflow/", headers=KEY)

    assert page.status_code == 200
    assert "<title>MLflow</title>" in page.text


def test_the_copied_runs_are_found_through_the_mounted_page(client: TestClient) -> None:
    body = {"experiment_ids": ["1"], "max_results": 10}

    answer = client.post(SEARCH, json=body, headers=KEY)

    names = {run["info"]["run_name"] for run in answer.json()["runs"]}
    assert names == {"control", "treatment", "verdict"}


def test_a_replay_is_copied_to_an_mlflow_server_over_http(
    app: FastAPI, client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "right")
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started, within_s=20)

    tracking = MlflowTracking(f"http://127.0.0.1:{port}/mlflow", tmp_path)
    addresses = {tracking.copy(report("remote"), proposal("remote"), PAGE) for _ in range(2)}
    server.should_exit = True
    thread.join(10)

    assert len(addresses) == 1
    address = addresses.pop()
    assert address.startswith(f"http://127.0.0.1:{port}/mlflow/#/experiments/")
    experiment = address.partition("/experiments/")[2].partition("/")[0]
    runs = client.post(SEARCH, json={"experiment_ids": [experiment]}, headers=KEY).json()["runs"]
    assert sorted(run["info"]["run_name"] for run in runs) == ["control", "treatment", "verdict"]
    assert {run["info"]["status"] for run in runs} == {"FINISHED"}
    assert list(tmp_path.iterdir()) == []


def test_artifacts_are_shown_through_the_mounted_page(client: TestClient) -> None:
    found = client.post(SEARCH, json={"experiment_ids": ["1"]}, headers=KEY).json()["runs"]
    verdict = next(run["info"]["run_id"] for run in found if run["info"]["run_name"] == "verdict")

    query = {"path": "report.html", "run_uuid": verdict}
    artifact = client.get("/mlflow/get-artifact", params=query, headers=KEY)

    assert artifact.text == PAGE


@pytest.mark.parametrize("path", ["/mlflow/", SEARCH, "/mlflow/static-files/x.js"])
def test_nothing_is_shown_without_a_key(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 401
    assert client.get(path, headers={"authorization": "Bearer wrong"}).status_code == 401


def test_a_page_from_another_port_may_not_write(client: TestClient) -> None:
    body = {"name": "planted"}
    create = "/mlflow/ajax-api/2.0/mlflow/experiments/create"

    foreign = client.post(create, json=body, headers=KEY | {"origin": "http://localhost:3000"})
    own = client.post(SEARCH, json={}, headers=KEY | {"origin": "http://localhost:8787"})

    assert foreign.status_code == 403
    assert own.status_code != 403


@pytest.mark.parametrize("host", ["evil.example", "10.evil.example", "192.168.evil.example"])
def test_a_rebound_host_name_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/mlflow/", headers=KEY | {"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:8787", "127.0.0.1:1", "[::1]:8787"])
def test_loopback_names_are_served(client: TestClient, host: str) -> None:
    assert client.get("/mlflow/", headers=KEY | {"host": host}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/mlflow/ajax-api/3.0/mlflow/assistant/config",
        "/mlflow/ajax-api/3.0/jobs/1",
        "/mlflow/gateway/x/mlflow/invocations",
        "/mlflow/ajax-api/2.0/mlflow/gateway-proxy",
        "/mlflow//gateway/x/mlflow/invocations",
        "/mlflow/v1/traces",
    ],
)
def test_the_parts_of_mlflow_that_act_are_closed(client: TestClient, path: str) -> None:
    answer = client.post(path, headers=KEY, json={})

    assert answer.status_code == 404
    assert answer.text == "This part of MLflow is not open here."


def test_a_server_of_its_own_is_not_mounted(tmp_path: Path) -> None:
    app = FastAPI()

    assert not mount_mlflow(app, "https://mlflow.example", tmp_path, has_key)
    assert TestClient(app).get("/mlflow/").status_code == 404


def test_an_mlflow_that_changed_its_private_names_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlflow.server.constants.BACKEND_STORE_URI_ENV_VAR", "", raising=True)
    monkeypatch.delattr("mlflow.server.constants.BACKEND_STORE_URI_ENV_VAR")

    with pytest.raises(ConfigurationError, match="cannot be shown"):
        mlflow_app(f"sqlite:///{tmp_path / 'm.db'}", tmp_path, LOOPBACK_HOSTS)
