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


@pytest.fixture(scope="module")
def shared_walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """As `walk`, for all tests of a module that do not mind each other; one POC is promoted."""
    platform = a_platform(tmp_path_factory.mktemp("shared") / "workspace")
    walk = Walk(platform)
    walk.promote("hybrid_rrf", 50.0)
    yield walk
    platform.sql_engine.dispose()


@pytest.fixture(scope="module")
def shared_address(shared_walk: Walk) -> Iterator[str]:
    """The address of a server on that platform."""
    with serving(shared_walk.platform) as address:
        yield address


@pytest.fixture
def shared_server(shared_address: str) -> Iterator[httpx2.Client]:
    """A client of that server, without anybody's cookies."""
    with httpx2.Client(base_url=shared_address, timeout=10) as client:
        yield client
