from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from expplat.wiring import Platform
from tests.serving import Walk, a_platform, serving


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
def server(platform: Platform) -> Iterator[httpx2.Client]:
    """A client of a server on that platform, over a real socket."""
    with serving(platform) as address, httpx2.Client(base_url=address, timeout=10) as client:
        yield client
