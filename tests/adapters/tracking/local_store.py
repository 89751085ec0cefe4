"""A real MLflow database, and what tests read back from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expplat.adapters.tracking.mlflow_tracking import MlflowTracking
from expplat.adapters.tracking.store import open_store
from expplat.domain.replay import ReplayReport, Sample
from tests.adapters.pages.example_stories import proposal

PAGE = "<!doctype html><title>replay</title>"


class Store:
    """An MLflow database, or a server; each test uses a slug of its own."""

    def __init__(self, folder: Path, uri: str = "") -> None:
        self.folder = folder
        self.uri = uri or f"sqlite:///{folder / 'mlflow.db'}"
        self.tracking = MlflowTracking(self.uri, folder)

    def copy(self, one: ReplayReport, samples: Sequence[Sample] = ()) -> str:
        return self.tracking.copy(one, proposal(one.plan.slug), PAGE, samples)

    @property
    def client(self) -> Any:
        return open_store(self.uri)

    def runs(self, slug: str) -> dict[str, Any]:
        """The runs by role; fails where a role has two."""
        experiment = self.client.get_experiment_by_name(f"expplat/{slug}")
        found = self.client.search_runs([experiment.experiment_id])
        by_role = {run.data.tags["expplat.role"]: run for run in found}
        assert len(by_role) == len(found)
        return by_role

    def experiment_id(self, slug: str) -> str:
        return str(self.client.get_experiment_by_name(f"expplat/{slug}").experiment_id)

    def text(self, run: Any, name: str) -> str:
        return Path(self.client.download_artifacts(run.info.run_id, name)).read_text()
