"""MLflow: a finished replay as three runs side by side. A copy; no decision ever reads it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from expplat.adapters.mlflow_store import (
    artifact_root,
    is_server,
    open_store,
    public_base,
    quiet_mlflow,
    store_lock,
)
from expplat.adapters.tracking_content import (
    RunContent,
    content_sha256,
    run_contents,
)
from expplat.adapters.tracking_names import safe_name
from expplat.domain.proposal import Proposal
from expplat.domain.replay import ReplayReport
from expplat.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Item = TypeVar("Item")

METRICS_IN_A_BATCH = 1000
PARAMS_IN_A_BATCH = 100
"""What MLflow takes at once, of params and of tags."""


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

    def probe(self) -> str:
        """Say where the runs go, or raise TrackingError; see the port `Tracking`."""
        with _errors_of(self._uri), store_lock(self._uri, self._state_dir):
            self._connected().search_experiments(max_results=1)
        return public_base(self._uri) or "the local database"

    def _connected(self) -> MlflowClient:
        if self._client is None:
            self._client = open_store(self._uri)
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


def compare_fragment(experiment_id: str, replay_id: str) -> str:
    """Return the place in MLflow's UI that charts the runs of a replay side by side.

    The runs are named by the replay, not by their ids, so the address outlives a copy that is
    written anew.
    """
    chosen = quote(f"tags.`expplat.replay_id` = '{replay_id}'", safe="")
    return f"#/experiments/{experiment_id}/runs?compareRunsMode=CHART&searchFilter={chosen}"


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
    """Say what happened without a traceback, and without a password that an address may hold."""
    lines = re.sub(r"//[^/@\s]+@", "//", str(error)).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _write_once(
    client: MlflowClient, experiment_id: str, report: ReplayReport, content: RunContent
) -> None:
    finished, broken = _existing(client, experiment_id, report, content.role)
    for run in broken:
        client.delete_run(run.info.run_id)
    if not finished:
        _write(client, experiment_id, report, content)
        finished, _ = _existing(client, experiment_id, report, content.role)
    # Two machines that copy to one server at the same time agree on which run stays.
    for run in finished[1:]:
        client.delete_run(run.info.run_id)


def _existing(
    client: MlflowClient, experiment_id: str, report: ReplayReport, role: str
) -> tuple[list[Run], list[Run]]:
    """Return the finished runs of this very report, by run id, and all other runs of its replay."""
    found = client.search_runs(
        [experiment_id],
        filter_string=(
            f"tags.`expplat.replay_id` = '{report.plan.replay_id}' "
            f"and tags.`expplat.role` = '{role}'"
        ),
    )
    digest = content_sha256(report)
    finished: list[Run] = []
    broken: list[Run] = []
    for run in sorted(found, key=lambda run: str(run.info.run_id)):
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
    metrics = [Metric(key, value, at, 0) for key, value in content.metrics.items()]
    params = [Param(key, value) for key, value in content.params.items()]
    tags = [RunTag(key, value) for key, value in content.tags.items()]
    for some_metrics in _chunks(metrics, METRICS_IN_A_BATCH):
        client.log_batch(run_id, metrics=some_metrics)
    for some_params in _chunks(params, PARAMS_IN_A_BATCH):
        client.log_batch(run_id, params=some_params)
    client.log_batch(run_id, tags=tags)
    for name, text in content.files.items():
        client.log_text(run_id, text, name)
    _log_inputs(client, run_id, report)
    client.set_terminated(run_id, "FINISHED", at)


def _chunks(items: list[Item], size: int) -> Iterator[list[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


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


def _epoch_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
