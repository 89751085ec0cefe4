"""The whole copy to a real `mlflow server`, and what a copy asks of the network."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from expplat.adapters.tracking.compare_view import ADDRESS_KEY, TAG_PREFIX
from expplat.adapters.tracking.models import model_name
from tests.adapters.tracking.full_report import full_report, samples_of
from tests.adapters.tracking.local_store import Store
from tests.adapters.tracking.mlflow_server import mlflow_server

pytestmark = pytest.mark.long

WATCHED = """
import sys
from pathlib import Path

asked = []

def watch(event, arguments):
    if event == "socket.getaddrinfo" or event == "socket.connect":
        asked.append((event, arguments[-2:] if event == "socket.connect" else arguments[:2]))

sys.addaudithook(watch)
from tests.adapters.tracking.full_report import full_report, samples_of
from tests.adapters.tracking.local_store import Store
one = full_report("quiet")
Store(Path(sys.argv[1])).copy(one, samples_of(one))
import time
time.sleep(3)  # what telephones home does so from a thread, a moment later
sys.exit(f"asked the network: {asked}" if asked else 0)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("server")
    with mlflow_server(folder) as uri:
        yield Store(folder, uri)


def test_everything_of_a_copy_reaches_a_server_and_once(server: Store) -> None:
    one = full_report("served")
    first = server.copy(one, samples_of(one))

    address = server.copy(one, samples_of(one))

    runs = server.runs("served")
    experiment_id = server.experiment_id("served")
    tags = runs["verdict"].data.tags
    assert address == first
    assert address.startswith(f"{server.uri}/#/experiments/{experiment_id}/runs?")
    assert [name for name in tags if name.startswith("expplat.warning")] == []
    assert tags["expplat.traces"] == "20 of 20"
    key = TAG_PREFIX + address.partition(f"{ADDRESS_KEY}=")[2]
    assert key in server.client.get_experiment(experiment_id).tags
    assert len(server.client.search_traces(locations=[experiment_id], max_results=100)) == 20
    model = server.client.get_registered_model(model_name("served"))
    assert set(model.aliases) == {"champion", "challenger"}
    for run in runs.values():
        (used,) = run.inputs.dataset_inputs
        assert used.dataset.digest == one.plan.log_sha256[:36]
        assert [(tag.key, tag.value) for tag in used.tags] == [("mlflow.data.context", "replay")]


def test_a_server_adds_at_most_five_seconds_to_a_replay(server: Store) -> None:
    server.copy(full_report("warm"))
    one = full_report("timed")

    started = time.monotonic()
    server.copy(one)

    assert time.monotonic() - started < 5


def test_a_copy_to_a_local_store_asks_nothing_of_the_network(tmp_path: Path) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}

    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        env=kept,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr[-2000:]
