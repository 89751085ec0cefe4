from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, sync_playwright
from starlette.responses import HTMLResponse, Response

from expplat.adapters.report.pages import Pages
from expplat.adapters.tracking.mlflow_tracking import MlflowTracking
from expplat.api.mlflow_ui import mount_mlflow
from expplat.api.pages import HEADERS
from tests.adapters.pages.example_stories import all_stories, proposal, report, running_story
from tests.builders import a_proposal
from tests.rich_reports import a_report_of_nothing, a_rich_report, an_extreme_report
from tests.serving import eventually, free_port

CHROMIUM = Path("/usr/bin/chromium")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no Chromium at /usr/bin/chromium"),
]

REPORTS = {
    "everything": a_rich_report,
    "extremes": an_extreme_report,
    "nothing": a_report_of_nothing,
}

SIZES = [(1400, "light"), (1400, "dark"), (400, "light"), (400, "dark")]


@dataclass
class Site:
    address: str
    compare: str
    """Where MLflow shows the copied replay."""


@dataclass
class Watched:
    """What a page did while it was open."""

    page: Page
    errors: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def hear(self, kind: str, text: str) -> None:
        if kind == "error":
            self.errors.append(text)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("state")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    environment = dict(os.environ)
    page = Pages().replay_page(report(), proposal())
    compare = MlflowTracking(uri, folder).copy(report(), proposal(), page)
    app = _app()
    mount_mlflow(app, uri, folder, lambda scope: True)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started, within_s=20)
    yield Site(f"http://127.0.0.1:{port}", f"/mlflow/{compare}")
    server.should_exit = True
    thread.join(10)
    os.environ.clear()
    os.environ.update(environment)


def _app() -> FastAPI:
    pages = Pages()
    app = FastAPI()
    stories = {story.poc.slug: story for story in all_stories()}
    stories["hybrid_rrf"] = running_story()

    @app.get("/")
    def overview() -> Response:
        note = "The users of these tests are simulated."
        return HTMLResponse(pages.overview(all_stories(), note=note), headers=HEADERS)

    @app.get("/pocs/{slug}")
    def poc(slug: str) -> Response:
        return HTMLResponse(pages.poc_page(stories[slug]), headers=HEADERS)

    @app.get("/report/{name}")
    def mailed(name: str) -> Response:
        return HTMLResponse(pages.replay_page(REPORTS[name](), a_proposal()))

    @app.get("/static/expplat.css")
    def style() -> Response:
        return Response(pages.stylesheet(), media_type="text/css")

    return app


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield launched
        launched.close()


@contextmanager
def watching(browser: Browser, width: int, scheme: str) -> Iterator[Watched]:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    seen = Watched(page)
    page.on("console", lambda line: seen.hear(line.type, line.text))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("request", lambda request: seen.asked.append(request.url))
    yield seen
    context.close()


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_the_pages_fit_the_window_and_the_browser_has_nothing_to_complain_of(
    site: Site, browser: Browser, tmp_path: Path, width: int, scheme: str
) -> None:
    widths = {}
    with watching(browser, width, scheme) as seen:
        page = seen.page
        for story in all_stories():
            page.goto(f"{site.address}/pocs/{story.poc.slug}")
            widths[story.poc.slug] = page.evaluate("document.documentElement.scrollWidth")
        page.goto(site.address)
        widths["overview"] = page.evaluate("document.documentElement.scrollWidth")
        page.screenshot(path=tmp_path / "overview.png", full_page=True)

    assert seen.errors == []
    assert {name for name, wide in widths.items() if wide > width} == set()
    assert [url for url in seen.asked if not url.startswith((site.address, "data:"))] == []


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_a_mailed_report_fits_the_window_and_its_own_policy(
    site: Site, browser: Browser, name: str, width: int, scheme: str
) -> None:
    with watching(browser, width, scheme) as seen:
        seen.page.goto(f"{site.address}/report/{name}")
        wide = seen.page.evaluate("document.documentElement.scrollWidth")
        ground = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        inside = seen.page.evaluate(
            """[...document.querySelectorAll('.scroll')]
            .filter(box => box.scrollWidth > box.clientWidth + 1).length"""
        )

    assert wide <= width
    assert inside == 0
    assert ground != "rgba(0, 0, 0, 0)"
    assert seen.errors == []
    assert seen.asked == [f"{site.address}/report/{name}"]


def test_what_is_folded_on_the_screen_is_printed(site: Site, browser: Browser) -> None:
    with watching(browser, 1200, "light") as seen:
        seen.page.emulate_media(media="print")
        seen.page.goto(f"{site.address}/report/everything")
        last = seen.page.get_by_text("req-00119", exact=True)

        assert last.is_visible()


def test_the_style_is_applied_in_both_colour_schemes(site: Site, browser: Browser) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        with watching(browser, 1000, scheme) as seen:
            seen.page.goto(site.address)
            grounds.add(seen.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert len(grounds) == 2
    assert "rgba(0, 0, 0, 0)" not in grounds


def test_a_card_leads_to_its_poc_and_the_poc_to_mlflow(site: Site, browser: Browser) -> None:
    with watching(browser, 1400, "light") as seen:
        seen.page.goto(site.address)
        seen.page.get_by_role("link", name="Reciprocal rank fusion").click()
        title = seen.page.title()
        link = seen.page.get_by_role("link", name="Compare").get_attribute("href")

    assert title == "hybrid_rrf · expplat"
    assert link is not None
    assert link.startswith("/mlflow/#/")


def test_a_mailed_replay_opens_from_a_file_and_asks_for_nothing(
    browser: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "replay.html"
    file.write_text(Pages().replay_page(a_rich_report(), a_proposal()), encoding="utf-8")

    with watching(browser, 1000, "light") as seen:
        seen.page.goto(file.as_uri())
        heading = seen.page.get_by_role("heading", level=1).inner_text()
        bars = seen.page.locator("svg rect").count()

    assert "Reciprocal rank fusion" in heading
    assert bars == 6  # control, four stages, treatment
    assert seen.errors == []
    assert seen.asked == [file.as_uri()]


def test_mlflows_page_charts_both_variants_at_the_address_of_the_copy(
    site: Site, browser: Browser, tmp_path: Path
) -> None:
    with watching(browser, 1400, "light") as seen:
        seen.page.goto(site.address + site.compare)
        for name in ("control", "treatment"):
            seen.page.get_by_role("link", name=name, exact=True).wait_for()
        seen.page.get_by_placeholder("Search metric charts").wait_for()
        seen.page.screenshot(path=tmp_path / "mlflow.png")

    # What is closed or missing on purpose is a 404 that the browser notes; nothing else is.
    assert [line for line in seen.errors if "404 (Not Found)" not in line] == []
    assert [url for url in seen.asked if not url.startswith((site.address, "data:", "blob:"))] == []


def test_mlflow_shows_the_verdict_as_a_table_and_the_report_as_a_page(
    site: Site, browser: Browser, tmp_path: Path
) -> None:
    with watching(browser, 1400, "light") as seen:
        all_runs = site.compare.partition("?")[0]
        seen.page.goto(site.address + all_runs)
        seen.page.get_by_role("link", name="verdict", exact=True).click()
        seen.page.get_by_role("columnheader", name="gate").wait_for()
        seen.page.screenshot(path=tmp_path / "verdict.png")
        sentence = seen.page.get_by_text("The gain of recall_at_5 is significant").count()

    assert sentence == 1
