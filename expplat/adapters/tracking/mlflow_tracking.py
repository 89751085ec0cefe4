"""MLflow: a finished replay as three runs side by side. A copy; no decision ever reads it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from expplat.adapters.tracking.content import run_contents
from expplat.adapters.tracking.extras import WholeCopy, add_models, add_traces, add_view
from expplat.adapters.tracking.models import promote_model
from expplat.adapters.tracking.names import first_line, safe_name
from expplat.adapters.tracking.runs import reap_orphans, write_once
from expplat.adapters.tracking.store import (
    artifact_root,
    is_server,
    open_store,
    public_base,
    quiet_mlflow,
    reach,
    store_lock,
)
from expplat.domain.proposal import Proposal
from expplat.domain.replay import ReplayReport, Sample
from expplat.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient


class MlflowTracking:
    """Writes replays to an MLflow server or a local MLflow database."""

    def __init__(self, uri: str, state_dir: Path) -> None:
        self._uri = uri
        self._state_dir = state_dir
        self._client: MlflowClient | None = None

    def copy(
        self, report: ReplayReport, proposal: Proposal, page: str, samples: Sequence[Sample] = ()
    ) -> str:
        """Write the runs control, treatment and verdict of a replay; see the port `Tracking`.

        Safe to repeat: a finished run of this very report is kept, a half-written or outdated one
        is deleted and written anew, so there is one run a role in the end. Traces, registered
        models and the saved view come after the runs; where MLflow does not take one of them, the
        verdict's run has a tag that says why, and the copy stands.

        Returns:
            The address where MLflow compares the runs: a fragment such as
            `#/experiments/1/runs?…` for a local store, below the address of MLflow's UI; with
            the server's address in front for an http(s) store.

        Raises:
            TrackingError: If MLflow is out of reach or refuses.
        """
        version = self._reached()
        with _errors_of(self._uri), store_lock(self._uri, self._state_dir):
            client = self._connected()
            experiment_id = self._experiment(client, report.plan.slug)
            reap_orphans(client)
            contents = run_contents(report, proposal, page, samples)
            runs = {
                content.role: write_once(client, experiment_id, report, content)
                for content in contents
            }
            whole = WholeCopy(
                client=client,
                uri=self._uri,
                experiment_id=experiment_id,
                report=report,
                contents={content.role: content for content in contents},
                runs=runs,
            )
            add_models(whole)
            add_traces(whole, samples)
            fragment = add_view(whole, version)
        return public_base(self._uri) + fragment

    def promote_model(self, slug: str, code_sha256: str) -> None:
        """Make a variant, known by the hash of its code, the champion among a POC's models.

        Raises:
            TrackingError: If MLflow is out of reach, or has no such model.
        """
        self._reached()
        with _errors_of(self._uri), store_lock(self._uri, self._state_dir):
            promote_model(self._connected(), slug, code_sha256)

    def probe(self) -> str:
        """Say where the runs go, or raise TrackingError; see the port `Tracking`."""
        self._reached()
        with _errors_of(self._uri), store_lock(self._uri, self._state_dir):
            self._connected().search_experiments(max_results=1)
        return public_base(self._uri) or "the local database"

    def _reached(self) -> str:
        """Return the version of the MLflow that shows the runs; raise where nobody answers."""
        try:
            return reach(self._uri)
        except OSError as error:
            raise _refused(self._uri, error) from error

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


@contextmanager
def _errors_of(uri: str) -> Iterator[None]:
    """Turn what MLflow and the layers below it raise into TrackingError."""
    quiet_mlflow()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise _refused(uri, error) from error


def _refused(uri: str, error: Exception) -> TrackingError:
    place = public_base(uri) or "the local database"
    return TrackingError(
        f"MLflow at {place} did not take the copy: {first_line(error)}",
        hint="Nothing is lost; run `expplat replay --sync` when it is back.",
    )
