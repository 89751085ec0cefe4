from __future__ import annotations

import json
import os
import socket
import socketserver
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from expplat.adapters.tracking.content import run_contents
from expplat.adapters.tracking.metrics import SUMMED_UP
from expplat.adapters.tracking.mlflow_tracking import MlflowTracking
from expplat.adapters.tracking.names import cut, safe_name
from expplat.adapters.tracking.store import public_base, store_lock
from expplat.domain.plain import canonical_json
from expplat.domain.proposal import Variant
from expplat.errors import TrackingError
from expplat.metrics.catalogue import built_in
from tests.adapters.pages.example_stories import proposal, report
from tests.adapters.tracking.local_store import PAGE, Store

ROLES = ("control", "treatment", "verdict")


@pytest.fixture(scope="module", autouse=True)
def elsewhere(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs the tests in a folder of its own, which must stay empty."""
    folder = tmp_path_factory.mktemp("elsewhere")
    before = Path.cwd()
    os.chdir(folder)
    yield
    os.chdir(before)
    assert list(folder.iterdir()) == [], "MLflow wrote into the current folder"


def test_a_replay_becomes_three_flat_runs_that_share_its_id(store: Store) -> None:
    store.copy(report("flat"))

    runs = store.runs("flat")

    assert set(runs) == set(ROLES)
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert {run.info.run_name for run in runs.values()} == set(ROLES)
    assert {run.data.tags["expplat.replay_id"] for run in runs.values()} == {"5e" * 12}
    assert {run.data.tags["expplat.data_sha256"] for run in runs.values()} == {"cd" * 32}
    assert not [run for run in runs.values() if "mlflow.parentRunId" in run.data.tags]


def test_every_number_reads_back_as_it_was_measured(store: Store) -> None:
    one = report("numbers")
    store.copy(one)

    runs = store.runs("numbers")

    for content in run_contents(one, proposal("numbers"), PAGE):
        assert runs[content.role].data.metrics == content.metrics
    control, verdict = runs["control"].data.metrics, runs["verdict"].data.metrics
    assert control["quality/recall_at_5"] == 0.612
    assert control["latency_ms/p95"] == 184.0
    assert control["cost/usd_per_1k"] == pytest.approx(0.1344 / 1200 * 1000)
    assert control["stage/retrieve/p95"] == 22.0
    assert runs["treatment"].data.metrics["errors/fraction"] == 3 / 1200
    assert verdict["delta/recall_at_5"] == 0.041
    assert verdict["delta/recall_at_5/ci_low"] == 0.041 - 0.013
    assert verdict["delta/recall_at_5/ci_high"] == 0.041 + 0.013


def test_no_number_of_a_variant_is_logged_in_two_places() -> None:
    names = ("latency_ms", *sorted(SUMMED_UP))
    metrics = tuple(metric for metric in map(built_in, names) if metric)
    effects = tuple(replace(report().effects[0], metric=name, control=7.5) for name in names)
    one = report("places", effects=effects, plan=replace(report().plan, metrics=metrics))

    control, _, verdict = run_contents(one, proposal("places"), PAGE)

    assert [key for key, value in control.metrics.items() if value == 7.5] == [
        "latency_ms/latency_ms"
    ]
    assert control.metrics["latency_ms/p95"] == 184.0
    assert {f"delta/{name}" for name in names} <= set(verdict.metrics)


def test_every_metric_that_is_summed_up_is_built_in_and_in_the_summary() -> None:
    (control, *_) = run_contents(report("none", effects=()), proposal("none"), PAGE)

    assert all(built_in(name) for name in SUMMED_UP)
    assert {"latency_ms/p50", "latency_ms/p95", "latency_ms/p99", "cost/usd_per_1k"} <= set(
        control.metrics
    )
    assert {"errors/fraction", "refusals/fraction"} <= set(control.metrics)


def test_an_improvement_points_up_also_where_lower_is_better(store: Store) -> None:
    store.copy(report("signs"))

    metrics = store.runs("signs")["verdict"].data.metrics

    assert metrics["delta/latency_p95_ms"] == 31.0
    assert metrics["improvement/latency_p95_ms"] == -31.0
    assert metrics["improvement/recall_at_5"] == metrics["delta/recall_at_5"]


def test_params_tell_the_variants_apart(store: Store) -> None:
    store.copy(report("params"))

    runs = store.runs("params")

    assert runs["control"].data.params["use"] == "pocs.hybrid_rrf.variants:Sparse"
    assert runs["treatment"].data.params["params/rrf_constant"] == "60"
    assert runs["treatment"].data.params["code_sha256"] == "23" * 32


def test_the_verdict_run_explains_itself(store: Store) -> None:
    one = report("explained")
    store.copy(one)

    verdict = store.runs("explained")["verdict"]

    note = verdict.data.tags["mlflow.note.content"]
    assert "claimed nDCG@10" in note
    assert "→ replayed recall" in note
    assert "The gain of recall\\_at\\_5 is significant" in note
    assert store.text(verdict, "report.html") == PAGE
    kept = json.loads(store.text(verdict, "verdict.json"))
    assert kept["verdict_sha256"] == one.verdict_sha256
    assert kept["verdicts"] == json.loads(canonical_json(one.verdicts))
    table = json.loads(store.text(verdict, "paired_deltas.json"))
    assert table["columns"][0] == "request_id"
    assert len(table["data"]) == 6


def test_a_second_copy_changes_nothing(store: Store) -> None:
    address = store.copy(report("twice"))
    before = {role: run.info.run_id for role, run in store.runs("twice").items()}

    again = MlflowTracking(store.uri, store.folder).copy(report("twice"), proposal("twice"), PAGE)

    assert again == address
    assert {role: run.info.run_id for role, run in store.runs("twice").items()} == before


@pytest.mark.parametrize(
    ("call", "nth"),
    [
        ("create_run", 1),
        ("create_run", 2),
        ("log_batch", 1),
        ("log_batch", 2),
        ("log_batch", 3),
        ("log_text", 1),
        ("log_text", 3),
        ("log_inputs", 2),
        ("set_terminated", 1),
        ("set_terminated", 3),
    ],
)
def test_a_copy_that_broke_off_anywhere_is_completed_by_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch, call: str, nth: int
) -> None:
    slug = f"broken_{call}_{nth}"
    client = store.client
    calls = iter(range(1, 100))
    original = getattr(client, call)

    def failing(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == nth:
            raise ConnectionResetError("the other side hung up")
        return original(*args, **kwargs)

    monkeypatch.setattr(client, call, failing)
    broken = MlflowTracking(store.uri, store.folder)
    monkeypatch.setattr(broken, "_client", client)
    with pytest.raises(TrackingError):
        broken.copy(report(slug), proposal(slug), PAGE)

    store.copy(report(slug))

    runs = store.runs(slug)
    for content in run_contents(report(slug), proposal(slug), PAGE):
        assert runs[content.role].info.status == "FINISHED"
        assert runs[content.role].data.metrics == content.metrics


def test_a_replay_that_was_measured_anew_replaces_its_copy(store: Store) -> None:
    store.copy(report("anew"))
    slower = replace(report("anew").arms["control"], latency_p95_ms=999.0)
    arms = {**report("anew").arms, "control": slower}

    store.copy(report("anew", arms=arms))

    assert store.runs("anew")["control"].data.metrics["latency_ms/p95"] == 999.0


def test_an_experiment_that_somebody_deleted_in_mlflow_comes_back(store: Store) -> None:
    store.copy(report("deleted"))
    experiment = store.client.get_experiment_by_name("expplat/deleted")
    store.client.delete_experiment(experiment.experiment_id)

    store.copy(report("deleted"))

    assert set(store.runs("deleted")) == set(ROLES)


def test_names_that_mlflow_refuses_are_made_safe_and_listed(store: Store) -> None:
    names = ("ndcg@10", "../up", "<b>bold</b>", "x" * 300, "a//b", "naïve", "/root")
    effects = tuple(replace(report().effects[0], metric=name) for name in names)

    store.copy(report("names", effects=effects))

    runs = store.runs("names")
    renamed = json.loads(store.text(runs["control"], "names.json"))
    assert {f"quality/{name}" for name in names} <= set(renamed.values())
    assert {
        runs["control"].data.metrics[safe]
        for safe, name in renamed.items()
        if name.startswith("quality/")
    } == {0.612}


def test_what_is_not_finite_never_reaches_mlflow(store: Store) -> None:
    odd = replace(report().effects[0], difference=None, low=None, high=None, p=None, relative=None)

    store.copy(report("finite", effects=(odd,), segments={}))

    metrics = store.runs("finite")["verdict"].data.metrics
    assert set(metrics) == {"gates/pass", "gates/fail", "gates/unknown", "requests/in_log"}


def test_long_and_odd_params_are_cut_with_a_note(store: Store) -> None:
    params = {"prompt": "p" * 7000, "nul": "a\x00b", "list": [1, 2], "dict": {"b": 1, "a": 2}}
    plan = replace(report("long").plan, treatment=Variant(use="pocs.x:Y", params=params))

    store.copy(report("long", plan=plan))

    kept = store.runs("long")["treatment"].data.params
    assert kept["params/prompt"].endswith("(cut; the whole text is 7000 characters)")
    assert len(kept["params/prompt"]) == 6000
    assert kept["params/nul"] == "a b"
    assert kept["params/dict"] == '{"a":2,"b":1}'


def test_more_params_and_metrics_than_mlflow_takes_at_once_are_all_kept(store: Store) -> None:
    params = {f"p{k}": k for k in range(120)}
    plan = replace(report("many").plan, control=Variant(use="pocs.x:Y", params=params))
    effects = tuple(replace(report().effects[0], metric=f"m{k}") for k in range(300))

    store.copy(report("many", plan=plan, effects=effects))

    runs = store.runs("many")
    assert len(runs["control"].data.params) == 122
    deltas = [name for name in runs["verdict"].data.metrics if name.startswith("delta/")]
    assert len(deltas) == 4 * 300


def test_the_store_is_readable_by_its_owner_alone(store: Store) -> None:
    mode = (store.folder / "mlflow.db").stat().st_mode

    assert stat.S_IMODE(mode) == 0o600
    assert (store.folder / "mlflow-artifacts" / "first").is_dir()


def test_the_address_names_the_replay_below_the_experiment(store: Store) -> None:
    address = store.copy(report("address"))

    experiment = store.client.get_experiment_by_name("expplat/address")
    assert address.startswith(f"#/experiments/{experiment.experiment_id}/runs?")
    assert "5e" * 12 in address


def test_a_copy_prints_nothing(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    store.copy(report("quiet"))

    assert capfd.readouterr() == ("", "")


def within_seconds(limit: float, tracking: MlflowTracking) -> str:
    started = time.monotonic()
    with pytest.raises(TrackingError) as caught:
        tracking.copy(report(), proposal(), PAGE)
    assert time.monotonic() - started < limit
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_server_that_refuses_connections_is_given_up_within_five_seconds(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]

    message = within_seconds(5, MlflowTracking(f"http://ana:secret@127.0.0.1:{port}", tmp_path))

    assert "secret" not in message


def test_a_server_that_never_answers_is_given_up_within_five_seconds(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        uri = f"http://127.0.0.1:{listener.getsockname()[1]}"
        within_seconds(5, MlflowTracking(uri, tmp_path))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"I am a teapot, not a web server\r\n\r\n",
        b"",
    ],
    ids=["500", "no HTTP", "hangs up"],
)
def test_a_server_that_is_broken_is_given_up_within_five_seconds(
    tmp_path: Path, answer: bytes
) -> None:
    with serving(answer) as address:
        within_seconds(5, MlflowTracking(address, tmp_path))


@contextmanager
def serving(answer: bytes) -> Iterator[str]:
    """A server that gives the same answer to everyone."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_database_server_that_is_away_is_given_up_within_five_seconds(tmp_path: Path) -> None:
    uri = "postgresql+psycopg://ana:secret@127.0.0.1:1/mlflow"

    assert "secret" not in within_seconds(5, MlflowTracking(uri, tmp_path))


def test_a_file_that_is_no_database_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is a letter to my aunt, not a database " * 50)

    within_seconds(5, MlflowTracking(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path))


def test_a_folder_that_cannot_be_made_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = tmp_path / "file" / "state"

    within_seconds(5, MlflowTracking(f"sqlite:///{state / 'mlflow.db'}", state))


def test_one_process_at_a_time_writes_to_a_local_store(tmp_path: Path) -> None:
    entered = threading.Event()

    def second() -> None:
        with store_lock("sqlite:///x.db", tmp_path):
            entered.set()

    with store_lock("sqlite:///x.db", tmp_path):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not entered.wait(0.3)
    assert entered.wait(5)
    waiting.join()


@pytest.mark.long
def test_processes_that_race_to_create_the_store_all_succeed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from expplat.adapters.tracking.mlflow_tracking import MlflowTracking\n"
        "from tests.adapters.pages.example_stories import proposal, report\n"
        "folder = Path(sys.argv[1])\n"
        "MlflowTracking(f'sqlite:///{folder / \"mlflow.db\"}', folder)"
        ".copy(report('race'), proposal('race'), '')\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]

    racers = [subprocess.Popen(command, cwd=Path(__file__).parents[3]) for _ in range(3)]

    assert [racer.wait(120) for racer in racers] == [0, 0, 0]
    assert set(Store(tmp_path).runs("race")) == set(ROLES)


def test_importing_the_adapter_does_not_import_mlflow() -> None:
    program = (
        "import sys, expplat.adapters.tracking.mlflow_tracking, expplat.api.mlflow_ui;"
        "sys.exit('mlflow' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("name", ["recall_at_5", "stage/retrieve/p95", "a b.c-d:e"])
def test_a_name_that_mlflow_takes_is_left_as_it_is(name: str) -> None:
    assert safe_name(name) == name


def test_two_names_never_become_one() -> None:
    names = ["ndcg@10", "ndcg=10", "ndcg[10", "ndcg_10", "x" * 300, "x" * 301, "", "..", "/"]

    safe = [safe_name(name) for name in names]

    assert len(set(safe)) == len(names)
    assert all(0 < len(name) <= 250 for name in safe)
    assert safe == [safe_name(name) for name in names]


def test_a_text_within_the_limit_is_not_cut() -> None:
    assert cut("x" * 100, 100) == "x" * 100
    assert len(cut("x" * 101, 100)) == 100


def test_the_address_of_a_server_is_shown_without_its_password() -> None:
    assert public_base("https://ana:secret@ml.example:8443/x/") == "https://ml.example:8443/x/"
    assert public_base("sqlite:///x.db") == ""
