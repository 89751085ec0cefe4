"""One real MLflow database for all tests of the copy: making one takes seconds."""

from __future__ import annotations

import pytest

from tests.adapters.pages.example_stories import report
from tests.adapters.tracking.local_store import Store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A local store that holds a copy already; each test uses a slug of its own."""
    made = Store(tmp_path_factory.mktemp("state"))
    made.copy(report("first"))
    return made
