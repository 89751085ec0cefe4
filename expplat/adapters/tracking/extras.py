"""What a copy has beside its three runs: registered models, traces, and a saved view.

Each may fail alone: an MLflow without a registry, a later one whose page or tracer has changed, or
a role that may not write a tag costs that part and a tag that says so, never the copy.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from expplat.adapters.tracking.compare_view import (
    CompareView,
    is_known,
    plain_fragment,
    view_fragment,
    view_tag,
)
from expplat.adapters.tracking.content import VERDICT, RunContent
from expplat.adapters.tracking.models import register_variants
from expplat.adapters.tracking.names import cut, first_line
from expplat.adapters.tracking.runs import epoch_ms
from expplat.adapters.tracking.store import reach
from expplat.adapters.tracking.traces import log_traces, shown_calls
from expplat.domain.replay import CONTROL, TREATMENT, ReplayReport, Sample

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

WARNING = "expplat.warning."
"""Begins the tag of the verdict's run that says why a part is missing."""

TRACES = "expplat.traces"
"""Tag of the verdict's run: how many traces there are, of how many."""

COLUMNS = 12
"""Metrics that the table of runs shows beside the chart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeCopy:
    """A copy whose runs are all written."""

    client: MlflowClient
    uri: str
    experiment_id: str
    report: ReplayReport
    contents: Mapping[str, RunContent]
    """By role."""

    runs: Mapping[str, Run]

    def run_id(self, role: str) -> str:
        """Return the id of a role's run."""
        return str(self.runs[role].info.run_id)


def add_models(copy: WholeCopy) -> None:
    """Register the two variants as versions of the POC's model."""
    with _softly(copy, "models"):
        arms = {arm: copy.contents[arm] for arm in (CONTROL, TREATMENT)}
        register_variants(copy.client, copy.uri, copy.report.plan.slug, arms, copy.runs)


def add_traces(copy: WholeCopy, samples: Sequence[Sample]) -> None:
    """Write calls of the samples as traces, linked to their variant's run."""
    if not samples:
        return
    run_ids = {arm: copy.run_id(arm) for arm in (CONTROL, TREATMENT)}
    with _softly(copy, "traces"):
        calls = shown_calls(copy.report, samples, run_ids)
        replay_id = copy.report.plan.replay_id
        told = log_traces(copy.client, copy.uri, copy.experiment_id, replay_id, calls)
        if copy.runs[VERDICT].data.tags.get(TRACES) != told:
            copy.client.set_tag(copy.run_id(VERDICT), TRACES, told)


def add_view(copy: WholeCopy, version: str) -> str:
    """Save the view that compares treatment with control; return the place that opens it.

    Args:
        copy: Its experiment keeps the view.
        version: Of the MLflow that will show it; a plain link is returned if it is not known.
    """
    plain = plain_fragment(copy.experiment_id, copy.report.plan.replay_id)
    if not is_known(version):
        return plain
    view = _view(copy)
    tag = view_tag(view)
    if tag is None:
        return plain
    with _softly(copy, "view"):
        copy.client.set_experiment_tag(copy.experiment_id, *tag)
        return view_fragment(copy.experiment_id, view)
    return plain


def _view(copy: WholeCopy) -> CompareView:
    arms = [copy.contents[arm] for arm in (CONTROL, TREATMENT)]
    names = {name for arm in arms for name in (*arm.metrics, *arm.params)}
    return CompareView(
        replay_id=copy.report.plan.replay_id,
        control_run_id=copy.run_id(CONTROL),
        columns=_columns(arms[0].metrics),
        rows=len(names),
        at_ms=epoch_ms(copy.report.finished_at),
    )


def _columns(metrics: Mapping[str, float]) -> tuple[str, ...]:
    """Return the metrics that a person looks for first."""
    usual = ("latency_ms/p50", "latency_ms/p95", "cost/usd_per_1k", "errors/fraction")
    quality = [name for name in metrics if name.startswith("quality/")]
    kept = quality[: COLUMNS - len(usual)]
    return (*kept, *(name for name in usual if name in metrics))


@contextmanager
def _softly(copy: WholeCopy, part: str) -> Iterator[None]:
    """Keep the copy where a part of it fails; the verdict's run then says why, until it succeeds.

    Raises:
        OSError: If the server is gone: then nothing more is tried.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    name = WARNING + part
    try:
        yield
        if name in copy.runs[VERDICT].data.tags:
            copy.client.delete_tag(copy.run_id(VERDICT), name)
    except (
        *(MlflowException, SQLAlchemyError, sqlite3.Error, OSError),
        # A later MLflow may have renamed what is not part of its public interface.
        *(ImportError, AttributeError, TypeError, ValueError, NotImplementedError),
    ) as error:
        reach(copy.uri)
        copy.client.set_tag(copy.run_id(VERDICT), name, cut(first_line(error), 500))
