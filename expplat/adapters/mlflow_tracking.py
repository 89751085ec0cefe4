"""MLflow: a finished replay as three runs side by side. A copy; no decision ever reads it."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

from expplat.adapters.tracking_content import (
    VERDICT,
    RunContent,
    content_sha256,
    run_contents,
    safe_name,
)
from expplat.domain.proposal import Proposal
from expplat.domain.replay import ReplayReport
from expplat.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

QUIET = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Environment that MLflow is imported with, where it does not say otherwise. No retries: MLflow's
own seven hold a caller for four minutes, and a copy that failed is made again later."""

LOCK_WAIT_S = 60.0
"""How long to wait for another process that creates the store or copies."""

NOISY_LOGGERS = ("mlflow", "alembic", "urllib3.connectionpool")


class MlflowTracking:
    """Writes replays to an MLflow server or a local MLflow database."""

    def __init__(self, uri: str, state_dir: Path) -> None:
        self._uri = uri
        self._state_dir = state_dir
        self._client: MlflowClient | None = None

    def copy(self, report: ReplayReport, proposal: Proposal, page: str) -> str:
        """Write the runs control, treatment and verdict of a replay; see the port `Tracking`.

        Safe to repeat: a finished run of this very report is kept, a half-written or outdated one
        is deleted and written anew, so there is one run a role in the end.

        Returns:
            The address where MLflow compares the runs: a fragment such as
            `#/experiments/1/runs?…` for a local store, below the address of MLflow's UI; with
            the server's address in front for an http(s) store.

        Raises:
            TrackingError: If MLflow is out of reach or refuses.
        """
        with _errors_of(self._uri), store_lock(self._uri, self._state_dir):
            client = self._connected()
            experiment_id = self._experiment(client, report.plan.slug)
            for content in run_contents(report, proposal, page):
                _write_once(client, experiment_id, report, content)
        return public_base(self._uri) + compare_fragment(experiment_id, report.plan.replay_id)

    def _connected(self) -> MlflowClient:
        if self._client is None:
            self._client = open_store(self._uri, self._state_dir)
        return self._client

    def _experiment(self, client: MlflowClient, slug: str) -> str:
        name = f"expplat/{safe_name(slug)}"
        found = client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        tags = {"expplat.slug": slug, "mlflow.experimentKind": "custom_model_development"}
        location = None if is_server(self._uri) else self._artifacts(slug)
        return str(client.create_experiment(name, artifact_location=location, tags=tags))

    def _artifacts(self, slug: str) -> str:
        """Where files lie; MLflow's own default is a folder of whatever the current folder is."""
        return (artifact_root(self._state_dir) / safe_name(slug)).absolute().as_uri()


def is_server(uri: str) -> bool:
    """Whether the tracking store is an MLflow server, with a UI of its own."""
    return urlsplit(uri).scheme in {"http", "https"}


def public_base(uri: str) -> str:
    """Return the address of a server's UI, without a password; empty for a local store."""
    if not is_server(uri):
        return ""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/") + "/", "", ""))


def compare_fragment(experiment_id: str, replay_id: str) -> str:
    """Return the place in MLflow's UI that charts the runs of a replay side by side.

    The runs are named by the replay, not by their ids, so the address outlives a copy that is
    written anew.
    """
    chosen = quote(f"tags.`expplat.replay_id` = '{replay_id}'", safe="")
    return f"#/experiments/{experiment_id}/runs?compareRunsMode=CHART&searchFilter={chosen}"


def artifact_root(state_dir: Path) -> Path:
    """Return the folder of a local store's files."""
    return state_dir / "mlflow-artifacts"


def quiet_mlflow() -> None:
    """Keep MLflow from telephoning home, printing and waiting; call it before importing MLflow."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def open_store(uri: str, state_dir: Path) -> MlflowClient:
    """Return a client of the store; a local one is created where there is none.

    Call it under `store_lock`: of two processes that create the same database, one dies.

    Raises:
        TrackingError: If a local database is no database, or cannot be written.
    """
    quiet_mlflow()
    if uri.startswith("sqlite:"):
        _prepare_sqlite(uri)
    from mlflow import MlflowClient

    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def store_lock(uri: str, state_dir: Path) -> Iterator[None]:
    """Let one process of this machine at a time create or write a local store.

    Raises:
        TrackingError: If another process holds it for longer than a minute.
    """
    if is_server(uri):
        yield
        return
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state_dir / "mlflow.lock").open("a") as lock:
        deadline = time.monotonic() + LOCK_WAIT_S
        while not _locked(lock.fileno()):
            if time.monotonic() > deadline:
                raise TrackingError(
                    "Another process has been writing to MLflow for a minute.",
                    hint="Wait for it to end, then run `expplat replay --sync`.",
                )
            time.sleep(0.05)
        yield


def _locked(file_descriptor: int) -> bool:
    try:
        fcntl.flock(file_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _prepare_sqlite(uri: str) -> None:
    """Make the file, readable by its owner alone; MLflow would retry a broken one for minutes."""
    path = Path(urlsplit(uri).path.removeprefix("/"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    with closing(sqlite3.connect(path, timeout=5)) as connection:
        connection.execute("PRAGMA schema_version").fetchone()


@contextmanager
def _errors_of(uri: str) -> Iterator[None]:
    """Turn what MLflow and the layers below it raise into TrackingError."""
    quiet_mlflow()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        place = public_base(uri) or "the local database"
        raise TrackingError(
            f"MLflow at {place} did not take the copy: {_first_line(error)}",
            hint="Nothing is lost; run `expplat replay --sync` when it is back.",
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _write_once(
    client: MlflowClient, experiment_id: str, report: ReplayReport, content: RunContent
) -> None:
    finished, broken = _existing(client, experiment_id, report, content.role)
    for run in (*finished[1:], *broken):
        client.delete_run(run.info.run_id)
    if not finished:
        _write(client, experiment_id, report, content)


def _existing(
    client: MlflowClient, experiment_id: str, report: ReplayReport, role: str
) -> tuple[list[Run], list[Run]]:
    """Return the finished runs of this very report, oldest first, and all other runs of its id."""
    found = client.search_runs(
        [experiment_id],
        filter_string=(
            f"tags.`expplat.replay_id` = '{report.plan.replay_id}' "
            f"and tags.`expplat.role` = '{role}'"
        ),
        order_by=["attributes.start_time ASC"],
    )
    digest = content_sha256(report)
    finished, broken = [], []
    for run in found:
        whole = run.info.status == "FINISHED"
        same = run.data.tags.get("expplat.report_sha256") == digest
        (finished if whole and same else broken).append(run)
    return finished, broken


def _write(
    client: MlflowClient, experiment_id: str, report: ReplayReport, content: RunContent
) -> None:
    """Write one run; it is finished last, so a run that says FINISHED is whole."""
    from mlflow.entities import Metric, Param, RunTag

    run = client.create_run(
        experiment_id,
        start_time=_epoch_ms(report.started_at),
        tags={key: content.tags[key] for key in ("expplat.replay_id", "expplat.role")},
        run_name=content.role,
    )
    run_id = str(run.info.run_id)
    at = _epoch_ms(report.finished_at)
    entities: dict[str, list[Any]] = {
        "metrics": [Metric(key, value, at, 0) for key, value in content.metrics.items()],
        "params": [Param(key, value) for key, value in content.params.items()],
        "tags": [RunTag(key, value) for key, value in content.tags.items()],
    }
    for batch in _batches(entities):
        client.log_batch(run_id, **batch)
    for name, text in content.files.items():
        client.log_text(run_id, text, name)
    _log_inputs(client, run_id, report)
    if content.role == VERDICT:
        _log_requests(client, run_id, report)
    client.set_terminated(run_id, "FINISHED", at)


def _batches(entities: Mapping[str, list[Any]]) -> Iterator[dict[str, list[Any]]]:
    """Cut into batches that MLflow takes: 100 params, 100 tags and 800 metrics at a time."""
    sizes = {"metrics": 800, "params": 100, "tags": 100}
    start = 0
    while any(len(items) > start * sizes[kind] for kind, items in entities.items()):
        yield {
            kind: items[start * sizes[kind] : (start + 1) * sizes[kind]]
            for kind, items in entities.items()
        }
        start += 1


def _log_inputs(client: MlflowClient, run_id: str, report: ReplayReport) -> None:
    """Name the request log as the run's input; MLflow's own digest skips rows and columns."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    digest = report.plan.log_sha256
    log = Dataset(
        name=f"{report.plan.slug} request log, {report.plan.requests} requests",
        digest=digest[:36],
        source_type="expplat",
        source=f'{{"sha256": "{digest}"}}',
    )
    tags = [InputTag("mlflow.data.context", "replay")]
    client.log_inputs(run_id, datasets=[DatasetInput(log, tags)])


def _log_requests(client: MlflowClient, run_id: str, report: ReplayReport) -> None:
    """Keep the requests whose primary metric moved most, as a table of MLflow's artifact view."""
    deltas = [("worst", delta) for delta in report.worst] + [("best", d) for d in report.best]
    if not deltas:
        return
    table = {
        "request_id": [delta.request_id for _, delta in deltas],
        "list": [which for which, _ in deltas],
        "control": [delta.control for _, delta in deltas],
        "treatment": [delta.treatment for _, delta in deltas],
        "difference": [delta.treatment - delta.control for _, delta in deltas],
    }
    client.log_table(run_id, table, "worst_and_best.json")


def _epoch_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
