"""Takes the pictures of the documentation, from a workspace in which the demo has run.

.venv/bin/python docs/take_screenshots.py demo-workspace

Starts `expplat ui` there on a free port, logs in by the address that it prints, and writes
`docs/images/`. Needs Chromium at /usr/bin/chromium, or where EXPPLAT_CHROMIUM says.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
CHROMIUM = os.environ.get("EXPPLAT_CHROMIUM", "/usr/bin/chromium")
WIDTH, HEIGHT = 1200, 850
START_S = 120.0
TALLEST = 1500
"""A page that is taller is cut off: nobody scrolls through a picture."""


def main(workspace: Path) -> None:
    """Take all pictures."""
    told = json.loads((workspace / "summary.json").read_text(encoding="utf-8"))
    slug = next(poc["slug"] for poc in told if poc["stage"] == "graduated")
    IMAGES.mkdir(exist_ok=True)
    with _served(workspace) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(START_S * 1000)
        page.goto(address)
        _shoot(page, "overview.png")
        page.goto(f"{_root(address)}/pocs/{slug}")
        _shoot(page, "poc.png")
        compare = page.locator("a[href*='compareRunsMode']").first.get_attribute("href")
        _shoot_report(page, workspace, slug)
        _shoot_analysis(page)
        if compare:
            _shoot_comparison(page, _root(address) + "/" + compare.lstrip("/"))
            _shoot_trace(page, _root(address) + "/" + compare.lstrip("/"))
        browser.close()


def _shoot(page: Page, name: str) -> None:
    """Write a picture of the whole page, as far as it is not too tall."""
    height = int(page.evaluate("document.documentElement.scrollHeight"))
    page.set_viewport_size({"width": WIDTH, "height": min(height, TALLEST)})
    page.screenshot(path=IMAGES / name)
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    print(f"written: {IMAGES / name}")


def _shoot_report(page: Page, workspace: Path, slug: str) -> None:
    """Write a picture of the replay's page, as it lies beside MLflow's run of the verdict."""
    found = sorted((workspace / ".expplat" / "mlflow-artifacts" / slug).rglob("*.html"))
    page.goto(found[-1].absolute().as_uri())
    _shoot(page, "report.png")


def _shoot_analysis(page: Page) -> None:
    """Write a picture of the page that `expplat analyze` makes of the how-to's own table."""
    told = (IMAGES.parent / "how-to" / "analyze-a-test-run-elsewhere.md").read_text("utf-8")
    code = re.search(r"<!-- file: make_table.py -->\n```python\n(.*?)```", told, re.DOTALL)
    asked = (
        "analyze checkout.csv --variant variant --control old --unit user_id --look day "
        "--metric bought=proportion --metric revenue=mean --metric answer=mean:answer_ms:lower "
        "--margin answer=20 --covariate visits_before --report found.html"
    )
    with tempfile.TemporaryDirectory() as folder:
        for words in (["-c", code[1] if code else ""], ["-m", "expplat", *asked.split()]):
            subprocess.run([sys.executable, *words], cwd=folder, check=False)  # noqa: S603
        page.goto((Path(folder) / "found.html").as_uri())
        _shoot(page, "analysis.png")


def _shoot_comparison(page: Page, address: str) -> None:
    """Write a picture of MLflow's saved view: treatment's differences from control."""
    page.set_viewport_size({"width": 1500, "height": 1000})
    page.goto(address)
    page.get_by_text("better/").first.wait_for()
    _close_the_assistant(page)
    page.wait_for_timeout(8000)  # its charts are drawn after the runs; its network never rests
    page.screenshot(path=IMAGES / "mlflow_compare.png")
    print(f"written: {IMAGES / 'mlflow_compare.png'}")


def _shoot_trace(page: Page, address: str) -> None:
    """Write a picture of the first trace in MLflow: the call that treatment lost most on."""
    page.goto(address.split("/runs?", 1)[0] + "/traces?startTimeLabel=ALL")
    told = page.get_by_role("button", name="Got it")
    told.or_(page.get_by_text("ms").first).first.wait_for()
    if told.count():
        told.first.click()
    page.get_by_role("row").nth(1).get_by_role("cell").nth(2).click()
    page.get_by_text("Inputs / Outputs").wait_for()
    _close_the_assistant(page)
    page.wait_for_timeout(4000)
    page.screenshot(path=IMAGES / "mlflow_trace.png")
    print(f"written: {IMAGES / 'mlflow_trace.png'}")


def _close_the_assistant(page: Page) -> None:
    """Close a panel that has nothing to do with a replay, and hides half of the page."""
    beside = page.locator("[data-component-id='mlflow.assistant.chat_panel.close']")
    if beside.count():
        beside.first.dispatch_event("click")


def _root(address: str) -> str:
    return address.split("/?", 1)[0]


@contextmanager
def _served(workspace: Path) -> Iterator[str]:
    """Run `expplat ui`; give the address with the key that it prints."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EXPPLAT_")}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(  # noqa: S603  (our own interpreter, our own arguments)
            [sys.executable, "-u", "-m", "expplat", "ui", "--port", port],
            cwd=workspace,
            env=kept,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            yield _login_address(process, said.fileno(), port)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _login_address(process: subprocess.Popen[bytes], said: int, port: str) -> str:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        found = re.search(rb"http://\S+/\?key=\S+", os.pread(said, 100_000, 0))
        if found and _listens(int(port)):
            return found.group().decode()
        time.sleep(0.2)
    sys.exit(f"expplat ui did not start: {os.pread(said, 2000, 0).decode()}")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
