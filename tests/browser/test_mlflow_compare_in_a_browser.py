"""The saved view as MLflow's own page shows it, below our address and on a server of its own."""

from __future__ import annotations

import importlib
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, sync_playwright

from expplat.adapters.tracking.mlflow_tracking import MlflowTracking
from expplat.api.mlflow_ui import mount_mlflow
from tests.adapters.pages.example_stories import proposal
from tests.adapters.tracking.full_report import full_report, samples_of
from tests.adapters.tracking.mlflow_server import mlflow_server
from tests.serving import eventually, free_port

CHROMIUM = Path("/usr/bin/chromium")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no Chromium at /usr/bin/chromium"),
]

PAGE = "<!doctype html><title>replay</title>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def below_our_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where `expplat ui` shows the comparison."""
    folder = tmp_path_factory.mktemp("state")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    environment = dict(os.environ)
    one = full_report("compared")
    tracking = MlflowTracking(uri, folder)
    fragment = tracking.copy(one, proposal("compared"), PAGE, samples_of(one))
    app = FastAPI()
    # A process serves one store; an earlier test may have mounted another one in this process.
    handlers = importlib.import_module("mlflow.server.handlers")
    for kept in ("_tracking_store", "_model_registry_store", "_artifact_repo"):
        setattr(handlers, kept, None)
    mount_mlflow(app, uri, folder, lambda scope: True)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started, within_s=20)
    yield f"http://127.0.0.1:{port}/mlflow/{fragment}"
    server.should_exit = True
    thread.join(10)
    os.environ.clear()
    os.environ.update(environment)


@contextmanager
def opened(browser: Browser, address: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1500, "height": 1700})
    page.set_default_timeout(90_000)
    page.goto(address)
    page.get_by_text("better/recall_at_5", exact=False).first.wait_for()
    yield page
    page.close()


def changes(page: Page) -> dict[str, str]:
    """What the chart says of treatment, by what it says of control: value and change."""
    told = {}
    for row in page.get_by_role("row").all():
        cells = [cell.inner_text().split() for cell in row.get_by_role("cell").all()]
        words = [" ".join(cell) for cell in cells if cell]
        if len(words) == 3:
            told[words[0]] = f"{words[1]} | {words[2]}"
    return told


def the_chart_compares_treatment_with_control(page: Page) -> None:
    # Rows appear one by one; those that are asked for are not the last to do so.
    wanted = {"stage/fuse/mean", "params/rrf_constant"}
    eventually(lambda: wanted <= changes(page).keys(), within_s=60)
    told = changes(page)

    assert told["better/recall_at_5_percent"] == "0.00 | 6.70 +6.70"
    assert told["better/latency_p95_ms_percent"] == "0.00 | -16.85 -16.85"
    assert told["latency_ms/p95"] == "184.00 | 215.00 +31.00"
    assert told["stage/fuse/mean"] == "0.00 | 12.00 +12.00"
    assert told["params/rrf_constant"] == "- | 60"


def test_the_link_opens_the_differences_of_treatment_from_control(
    browser: Browser, below_our_address: str, tmp_path: Path
) -> None:
    with opened(browser, below_our_address) as page:
        page.screenshot(path=tmp_path / "compare.png")

        the_chart_compares_treatment_with_control(page)
        runs = page.get_by_role("link", name=re.compile("^(control|treatment|verdict)$"))
        assert sorted(runs.all_inner_texts()) == ["control", "treatment"]


def test_what_is_better_points_up_in_green_and_what_is_worse_down_in_red(
    browser: Browser, below_our_address: str
) -> None:
    with opened(browser, below_our_address) as page:
        recall = page.get_by_role("row").filter(has_text="better/recall_at_5_percent")
        latency = page.get_by_role("row").filter(has_text="better/latency_p95_ms_percent")

        assert recall.get_by_test_id("positive-cell-direction").count() == 1
        assert latency.get_by_test_id("negative-cell-direction").count() == 1


@pytest.mark.long
def test_the_link_opens_the_same_on_an_mlflow_server(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("server")
    one = full_report("served")
    with mlflow_server(folder) as uri:
        address = MlflowTracking(uri, folder).copy(one, proposal("served"), PAGE)

        with opened(browser, address) as page:
            the_chart_compares_treatment_with_control(page)
