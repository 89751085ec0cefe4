"""Runs of a replay in MLflow: written once, finished last, cleared away where they broke off."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from expplat.adapters.tracking.content import RunContent, content_sha256
from expplat.domain.replay import ReplayReport
from expplat.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Item = TypeVar("Item")

METRICS_IN_A_BATCH = 1000
PARAMS_IN_A_BATCH = 100
"""What MLflow takes at once, of params and of tags."""

METRICS_FIRST = METRICS_IN_A_BATCH - 2 * PARAMS_IN_A_BATCH
"""Metrics that find room beside the first params and the tags."""

WRITER = "expplat.writer"
HEARTBEAT = "expplat.heartbeat"
"""Tags of a run that is being written: host and process, and when it was begun, in ms."""

STALE_MS = 10 * 60 * 1000
"""A run takes a second to write; one that is this old has nobody to finish it."""


def write_once(
    client: MlflowClient, experiment_id: str, report: ReplayReport, content: RunContent
) -> Run:
    """Return the finished run of this very report and role, written unless it is there.

    What broke off, or was written of an earlier measurement, is deleted.
    """
    finished, broken = _existing(client, experiment_id, report, content.role)
    for run in broken:
        client.delete_run(run.info.run_id)
    if not finished:
        _write(client, experiment_id, report, content)
        finished, _ = _existing(client, experiment_id, report, content.role)
    # Two machines that copy to one server at the same time agree on which run stays.
    for run in finished[1:]:
        client.delete_run(run.info.run_id)
    if not finished:
        raise TrackingError(
            f"MLflow's run {content.role} of {report.plan.slug} was deleted while it was written.",
            hint="Run `expplat replay --sync` to write it again.",
        )
    return finished[0]


def reap_orphans(client: MlflowClient) -> None:
    """End the runs that a killed process of ours has left running, in all our experiments.

    They are deleted where a whole copy of the same run exists, else marked as killed.
    """
    ours = client.search_experiments(filter_string="name LIKE 'expplat/%'")
    running = client.search_runs(
        [experiment.experiment_id for experiment in ours],
        filter_string="attributes.status = 'RUNNING' and tags.`expplat.role` != ''",
    )
    for run in running:
        if not _is_being_written(run):
            _end(client, run)


def _end(client: MlflowClient, run: Run) -> None:
    whole = client.search_runs(
        [run.info.experiment_id],
        filter_string=_of_role(
            run.data.tags.get("expplat.replay_id", ""), run.data.tags["expplat.role"]
        )
        + " and attributes.status = 'FINISHED'",
        max_results=1,
    )
    if whole:
        client.delete_run(run.info.run_id)
    else:
        client.set_terminated(run.info.run_id, "KILLED")


def _is_being_written(run: Run) -> bool:
    """Whether another process may be at it: one of this host that lives, or any, a moment ago."""
    begun = run.data.tags.get(HEARTBEAT, "")
    if not begun.isdecimal() or time.time() * 1000 - int(begun) > STALE_MS:
        return False
    host, _, process = run.data.tags.get(WRITER, "").rpartition(" ")
    if host != socket.gethostname() or not process.isdecimal():
        return True
    # Ours are written one after the other, so what we find of our own has broken off.
    return int(process) != os.getpid() and _lives(int(process))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _existing(
    client: MlflowClient, experiment_id: str, report: ReplayReport, role: str
) -> tuple[list[Run], list[Run]]:
    """Return the finished runs of this very report, by run id, and those to clear away."""
    found = client.search_runs([experiment_id], filter_string=_of_role(report.plan.replay_id, role))
    digest = content_sha256(report)
    finished: list[Run] = []
    broken: list[Run] = []
    for run in sorted(found, key=lambda run: str(run.info.run_id)):
        whole = run.info.status == "FINISHED"
        same = run.data.tags.get("expplat.report_sha256") == digest
        if whole and same:
            finished.append(run)
        elif run.info.status != "RUNNING" or not _is_being_written(run):
            broken.append(run)
    return finished, broken


def _of_role(replay_id: str, role: str) -> str:
    return f"tags.`expplat.replay_id` = '{replay_id}' and tags.`expplat.role` = '{role}'"


def _write(
    client: MlflowClient, experiment_id: str, report: ReplayReport, content: RunContent
) -> None:
    """Write one run; it is finished last, so a run that says FINISHED is whole."""
    from mlflow.entities import Metric, Param, RunTag

    told = {key: content.tags[key] for key in ("expplat.replay_id", "expplat.role")}
    told |= {
        WRITER: f"{socket.gethostname()} {os.getpid()}",
        HEARTBEAT: str(int(time.time() * 1000)),
    }
    run = client.create_run(
        experiment_id,
        start_time=epoch_ms(report.started_at),
        tags=told,
        run_name=content.role,
    )
    run_id = str(run.info.run_id)
    at = epoch_ms(report.finished_at)
    metrics = [Metric(key, value, at, 0) for key, value in content.metrics.items()]
    params = [Param(key, value) for key, value in content.params.items()]
    tags = [RunTag(key, value) for key, value in content.tags.items()]
    # Most runs fit into one batch, which is one transaction.
    client.log_batch(
        run_id, metrics=metrics[:METRICS_FIRST], params=params[:PARAMS_IN_A_BATCH], tags=tags
    )
    for some_metrics in _chunks(metrics[METRICS_FIRST:], METRICS_IN_A_BATCH):
        client.log_batch(run_id, metrics=some_metrics)
    for some_params in _chunks(params[PARAMS_IN_A_BATCH:], PARAMS_IN_A_BATCH):
        client.log_batch(run_id, params=some_params)
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


def epoch_ms(moment: datetime) -> int:
    """Return a moment as MLflow counts it, in ms since 1970."""
    return int(moment.timestamp() * 1000)
