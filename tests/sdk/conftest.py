from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from expplat.wiring import Platform
from tests.serving import Walk, a_platform, serving

NODE_PACKAGES = ("@growthbook/growthbook@1.8.0", "eventsource@4.1.1")
OPENFEATURE_PACKAGES = (
    "@openfeature/core@1.12.0",
    "@openfeature/server-sdk@1.23.0",
    "@openfeature/ofrep-provider@0.1.3",
    "@openfeature/web-sdk@1.10.0",
    "@openfeature/ofrep-web-provider@0.4.3",
    "eventsource@4.1.1",
)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """A platform on an empty workspace with a SQLite of its own."""
    platform = a_platform(tmp_path / "workspace")
    yield platform
    platform.sql_engine.dispose()


@pytest.fixture
def walk(platform: Platform) -> Walk:
    """Moves POCs of that platform along."""
    return Walk(platform)


@pytest.fixture
def address(platform: Platform) -> Iterator[str]:
    """The address of a server on that platform."""
    with serving(platform) as address:
        yield address


@pytest.fixture(scope="session")
def node() -> dict[str, str]:
    """The environment in which `node tests/sdk/agent.mjs` finds the official SDK."""
    return _with_packages("expplat_node_sdk_1_8_0", NODE_PACKAGES)


@pytest.fixture(scope="session")
def node_openfeature() -> dict[str, str]:
    """The environment in which `node tests/sdk/openfeature.mjs` finds the official providers."""
    return _with_packages("expplat_node_openfeature_1", OPENFEATURE_PACKAGES)


def _with_packages(name: str, packages: tuple[str, ...]) -> dict[str, str]:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = Path(tempfile.gettempdir()) / name
    if not (folder / "node_modules" / "eventsource").is_dir():
        folder.mkdir(exist_ok=True)
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
        done = subprocess.run(
            [*install, *packages], capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"npm could not install them: {done.stderr.strip()[-300:]}")
    return os.environ | {"NODE_SDK_FOLDER": str(folder)}
