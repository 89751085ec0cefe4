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
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = Path(tempfile.gettempdir()) / "expplat_node_sdk_1_8_0"
    if not (folder / "node_modules" / "eventsource").is_dir():
        folder.mkdir(exist_ok=True)
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
        done = subprocess.run(
            [*install, *NODE_PACKAGES], capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"npm could not install the SDK: {done.stderr.strip()[-300:]}")
    return os.environ | {"NODE_SDK_FOLDER": str(folder)}
