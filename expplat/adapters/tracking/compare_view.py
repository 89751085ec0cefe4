"""The view of MLflow's page that a link opens: treatment against control, metric by metric.

MLflow keeps a saved view as a tag of the experiment: JSON with a name, two moments and the state of
the page, deflated and in base64. None of that is documented, so all of it is here, and a test holds
it against the page of the installed MLflow. A version that is not known to read it gets a plain
link, and so does a store that does not take the tag.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

KNOWN_VERSIONS = frozenset({"3.17", "3.18"})
"""Versions in which the view was opened in a browser and seen to be right."""

TAG_PREFIX = "mlflow.sharedViewState."
ADDRESS_KEY = "viewStateShareKey"
DEFLATED = "deflate;"

LONGEST_TAG = 5000
"""What MLflow takes as a tag of an experiment."""

SECTION = "Treatment against control; up is good in better/…"
TITLE = "better/… is in percent of control, up is good"

ROW_PX = 33
"""Height of a line of the chart; measured in the browser."""

TALLEST_PX = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareView:
    """What the link opens."""

    replay_id: str
    control_run_id: str
    """The baseline: MLflow's own choice would be whatever run is listed last."""

    columns: Sequence[str]
    """Metrics that the table of runs shows; it shows none unless it is told."""

    rows: int
    """Lines of the chart: metrics and params of both variants."""

    at_ms: int
    """When the replay ended, in ms since 1970."""

    @property
    def key(self) -> str:
        """The same for every copy of a replay, so that a copy written anew keeps its address."""
        return f"expplat-{self.replay_id}"


def is_known(version: str) -> bool:
    """Whether this MLflow was seen to read the view."""
    return ".".join(version.split(".")[:2]) in KNOWN_VERSIONS


def plain_fragment(experiment_id: str, replay_id: str) -> str:
    """Return the place in MLflow's page that charts the runs of a replay side by side.

    The runs are named by the replay, not by their ids, so the address outlives a copy that is
    written anew.
    """
    chosen = quote(f"tags.`expplat.replay_id` = '{replay_id}'", safe="")
    return f"#/experiments/{experiment_id}/runs?compareRunsMode=CHART&searchFilter={chosen}"


def view_fragment(experiment_id: str, view: CompareView) -> str:
    """Return the place that opens the view.

    It must name no filter and no order of its own: beside one, MLflow leaves the view aside.
    """
    return (
        f"#/experiments/{experiment_id}/runs"
        f"?compareRunsMode=CHART&{ADDRESS_KEY}={quote(view.key, safe='')}"
    )


def view_tag(view: CompareView) -> tuple[str, str] | None:
    """Return the tag of the experiment that holds the view; None where MLflow would refuse it."""
    value = encode_view(f"Replay {view.replay_id[:12]}", view.at_ms, _state(view))
    return (TAG_PREFIX + view.key, value) if len(value) <= LONGEST_TAG else None


def encode_view(name: str, at_ms: int, state: dict[str, Any]) -> str:
    """Return a saved view in the form that MLflow's page reads."""
    packed = base64.b64encode(zlib.compress(_json(state).encode(), 9)).decode()
    moments = {"createdAt": at_ms, "updatedAt": at_ms}
    return _json({"name": name, **moments, "state": DEFLATED + packed})


def decode_view(value: str) -> dict[str, Any]:
    """Return the state of the page from a saved view, as MLflow's page reads it.

    Raises:
        ValueError: If it is no saved view.
    """
    packed = str(json.loads(value)["state"]).removeprefix(DEFLATED)
    state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return state


def _state(view: CompareView) -> dict[str, Any]:
    return {
        "searchFilter": (
            f"tags.`expplat.replay_id` = '{view.replay_id}' and tags.`expplat.role` != 'verdict'"
        ),
        # Control stands last, where MLflow takes its baseline from if it does not know the run.
        "orderByKey": "tags.`expplat.role`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [f"metrics.`{name}`" for name in view.columns],
        "runsHiddenMode": "SHOW_ALL",
        "isAccordionReordered": True,
        "compareRunSections": [_section(view.rows)],
        "compareRunCharts": [_difference_chart(view.control_run_id)],
    }


def _section(rows: int) -> dict[str, Any]:
    return {
        "uuid": "expplat-section",
        "name": SECTION,
        "display": True,
        "isReordered": True,
        "deleted": False,
        "isGenerated": False,
        "columns": 1,
        "cardHeight": min(TALLEST_PX, ROW_PX * (rows + 5)),
    }


def _difference_chart(control_run_id: str) -> dict[str, Any]:
    return {
        "uuid": "expplat-difference",
        "type": "DIFFERENCE",
        "metricSectionId": "expplat-section",
        "chartName": TITLE,
        "compareGroups": ["Model metrics", "Parameters"],
        "showChangeFromBaseline": True,
        "showDifferencesOnly": False,
        "baselineColumnUuid": control_run_id,
        "runsCountToCompare": 10,
        "deleted": False,
        "isGenerated": False,
    }


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
