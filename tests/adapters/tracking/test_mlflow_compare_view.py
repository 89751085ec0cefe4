"""Holds the saved view against the page of the installed MLflow: its form is not documented."""

from __future__ import annotations

import json
import re
from importlib.metadata import files, version
from pathlib import Path
from typing import Any

import pytest

from expplat.adapters.tracking import extras as mlflow_extras
from expplat.adapters.tracking.compare_view import (
    ADDRESS_KEY,
    DEFLATED,
    LONGEST_TAG,
    TAG_PREFIX,
    CompareView,
    decode_view,
    encode_view,
    is_known,
    plain_fragment,
    view_fragment,
    view_tag,
)
from expplat.adapters.tracking.mlflow_tracking import MlflowTracking
from tests.adapters.pages.example_stories import proposal
from tests.adapters.tracking.full_report import full_report
from tests.adapters.tracking.local_store import PAGE, Store

VIEW = CompareView(
    replay_id="5e" * 12,
    control_run_id="c" * 32,
    columns=("quality/recall_at_5", "latency_ms/p95"),
    rows=30,
    at_ms=1_790_000_000_000,
)


@pytest.fixture(scope="module")
def script() -> str:
    """All of the program of MLflow's page."""
    found = [file for file in files("mlflow") or () if re.search(r"static/js/.*\.js$", str(file))]
    return "\n".join(Path(str(file.locate())).read_text(errors="replace") for file in found)


def state_of(view: CompareView) -> dict[str, Any]:
    tag = view_tag(view)
    assert tag is not None
    return decode_view(tag[1])


def quoted_list(script: str, first: str) -> set[str]:
    """The longest list of names in the page's program that begins with a name."""
    found = re.findall(rf'\["{first}"(?:,"\w+")+\]', script)
    assert found, f"no list begins with {first}"
    return set(json.loads(max(found, key=len)))


def test_mlflows_page_looks_for_the_tag_and_the_address_that_we_write(script: str) -> None:
    for name in (TAG_PREFIX, ADDRESS_KEY, DEFLATED, "compareRunsMode"):
        assert f'"{name}"' in script


def test_every_part_of_the_state_is_one_that_mlflows_page_takes_over(script: str) -> None:
    facets = quoted_list(script, "searchFilter")
    interface = quoted_list(script, "selectedColumns")

    assert set(state_of(VIEW)) <= facets | interface


def test_the_chart_is_of_a_kind_with_settings_that_mlflows_page_knows(script: str) -> None:
    state = state_of(VIEW)
    (chart,) = state["compareRunCharts"]
    (section,) = state["compareRunSections"]

    assert f'"{chart["type"]}"' in script
    assert f'"{state["runsHiddenMode"]}"' in script
    assert [group for group in chart["compareGroups"] if f'"{group}"' not in script] == []
    assert [name for name in (*chart, *section) if name not in script] == []


def test_the_baseline_is_control_also_where_its_run_is_not_found() -> None:
    state = state_of(VIEW)

    assert state["compareRunCharts"][0]["baselineColumnUuid"] == VIEW.control_run_id
    # MLflow falls back to the run that is listed last; of the two roles that is control.
    assert (state["orderByKey"], state["orderByAsc"]) == ("tags.`expplat.role`", False)


def test_the_address_names_no_filter_because_mlflow_would_leave_the_view_aside(
    script: str,
) -> None:
    address = view_fragment("7", VIEW)

    named = set(re.findall(r"[?&](\w+)=", address))
    assert named == {"compareRunsMode", ADDRESS_KEY}
    assert named.isdisjoint(quoted_list(script, "searchFilter"))


def test_a_view_is_read_back_as_it_was_written() -> None:
    state = {"searchFilter": "tags.x = 'ü'", "compareRunCharts": [{"type": "DIFFERENCE"}]}

    envelope = encode_view("A view", 5, state)

    assert decode_view(envelope) == state
    told = json.loads(envelope)
    assert (told["name"], told["createdAt"], told["updatedAt"]) == ("A view", 5, 5)


def test_a_view_that_is_too_large_for_a_tag_is_not_written() -> None:
    names = tuple(f"quality/{hash(k):x}{k * 7919:x}" for k in range(3000))

    assert view_tag(CompareView(**{**_fields(VIEW), "columns": names})) is None


def _fields(view: CompareView) -> dict[str, Any]:
    return {name: getattr(view, name) for name in CompareView.__slots__}


@pytest.mark.parametrize(
    ("told", "known"),
    [("3.17.2", True), ("3.18.0", True), ("3.170.0", False), ("3.99.1", False), ("", False)],
)
def test_only_versions_that_were_looked_at_get_the_view(told: str, known: bool) -> None:
    assert is_known(told) is known


def test_the_installed_mlflow_gets_the_view(store: Store) -> None:
    address = store.copy(full_report("viewed"))

    experiment = store.client.get_experiment(store.experiment_id("viewed"))
    tag = experiment.tags[TAG_PREFIX + address.partition(f"{ADDRESS_KEY}=")[2]]
    assert is_known(version("mlflow"))
    assert len(tag) < LONGEST_TAG
    state = decode_view(tag)
    runs = store.runs("viewed")
    assert state["compareRunCharts"][0]["baselineColumnUuid"] == runs["control"].info.run_id
    assert "metrics.`quality/recall_at_5`" in state["selectedColumns"]
    assert "metrics.`cost/usd_per_1k`" in state["selectedColumns"]


def test_the_filter_of_the_view_finds_the_two_variants_and_no_other_run(store: Store) -> None:
    store.copy(full_report("filtered"))
    experiment_id = store.experiment_id("filtered")
    state = state_of(VIEW)

    found = store.client.search_runs(
        [experiment_id],
        filter_string=state["searchFilter"],
        order_by=[f"{state['orderByKey']} {'ASC' if state['orderByAsc'] else 'DESC'}"],
    )

    assert [run.info.run_name for run in found] == ["treatment", "control"]


def test_a_store_that_does_not_take_the_tag_gets_the_plain_link(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = store.client

    def refuse(*args: Any) -> None:
        raise PermissionError("you may not write tags")

    monkeypatch.setattr(client, "set_experiment_tag", refuse)
    tracking = MlflowTracking(store.uri, store.folder)
    monkeypatch.setattr(tracking, "_client", client)

    address = tracking.copy(full_report("untagged"), proposal("untagged"), PAGE)

    assert address == plain_fragment(store.experiment_id("untagged"), "5e" * 12)
    warning = store.runs("untagged")["verdict"].data.tags["expplat.warning.view"]
    assert warning == "you may not write tags"


def test_an_mlflow_that_is_not_known_gets_the_plain_link(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_extras, "is_known", lambda _: False)

    address = store.copy(full_report("unknown"))

    assert address == plain_fragment(store.experiment_id("unknown"), "5e" * 12)
    tags = store.client.get_experiment(store.experiment_id("unknown")).tags
    assert [name for name in tags if name.startswith(TAG_PREFIX)] == []
