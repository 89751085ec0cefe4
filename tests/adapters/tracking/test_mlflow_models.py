from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from expplat.adapters.tracking.mlflow_tracking import MlflowTracking
from expplat.adapters.tracking.models import CHALLENGER, CHAMPION, model_name
from expplat.domain.replay import ReplayReport
from expplat.errors import TrackingError
from tests.adapters.pages.example_stories import proposal
from tests.adapters.tracking.full_report import full_report
from tests.adapters.tracking.local_store import PAGE, Store


def with_code(slug: str, control: str, treatment: str, replay_id: str = "aa") -> ReplayReport:
    one = full_report(slug)
    plan = replace(
        one.plan,
        control_sha256=control * 32,
        treatment_sha256=treatment * 32,
        replay_id=replay_id * 12,
    )
    return replace(one, plan=plan)


def versions(store: Store, slug: str) -> dict[str, str]:
    """The version by code."""
    found = store.client.search_model_versions(f"name = '{model_name(slug)}'")
    codes = {version.tags["expplat.code_sha256"][:2]: version.version for version in found}
    assert len(codes) == len(found)
    return codes


def aliases(store: Store, slug: str) -> dict[str, str]:
    """The code by alias."""
    by_version = {str(version): code for code, version in versions(store, slug).items()}
    model = store.client.get_registered_model(model_name(slug))
    return {alias: by_version[str(version)] for alias, version in model.aliases.items()}


def test_the_variants_are_versions_of_one_model_with_an_alias_each(store: Store) -> None:
    store.copy(with_code("models", "c1", "d1"))

    assert set(versions(store, "models")) == {"c1", "d1"}
    assert aliases(store, "models") == {CHAMPION: "c1", CHALLENGER: "d1"}


def test_the_same_code_is_one_version_however_often_it_is_replayed(store: Store) -> None:
    store.copy(with_code("once", "c1", "d1"))
    store.copy(with_code("once", "c1", "d1"))

    store.copy(with_code("once", "c1", "d2", replay_id="bb"))

    assert set(versions(store, "once")) == {"c1", "d1", "d2"}
    assert aliases(store, "once") == {CHAMPION: "c1", CHALLENGER: "d2"}


def test_a_control_against_itself_is_both_champion_and_challenger(store: Store) -> None:
    store.copy(with_code("itself", "c1", "c1"))

    assert aliases(store, "itself") == {CHAMPION: "c1", CHALLENGER: "c1"}


def test_a_version_points_at_a_model_without_files_that_knows_its_numbers(store: Store) -> None:
    store.copy(with_code("numbered", "c1", "d1"))
    client = store.client

    version = client.get_model_version_by_alias(model_name("numbered"), CHALLENGER)
    model = client.get_logged_model(version.source.removeprefix("models:/"))

    run = store.runs("numbered")["treatment"]
    assert {metric.key: metric.value for metric in model.metrics} == run.data.metrics
    assert {metric.run_id for metric in model.metrics} == {run.info.run_id}
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    assert model.params["use"] == "pocs.hybrid_rrf.variants:Hybrid"
    assert client.list_logged_model_artifacts(model.model_id) == []


def test_a_treatment_that_was_promoted_stays_the_champion(store: Store) -> None:
    one = with_code("crowned", "c1", "d1")
    store.copy(one)
    store.tracking.promote_model("crowned", "d1" * 32)

    store.copy(replace(one, measured=9))

    assert aliases(store, "crowned") == {CHAMPION: "d1", CHALLENGER: "d1"}


def test_a_new_control_takes_the_place_of_a_champion_that_is_no_longer_run(store: Store) -> None:
    store.copy(with_code("renewed", "c1", "d1"))

    store.copy(with_code("renewed", "c2", "d1", replay_id="bb"))

    assert aliases(store, "renewed") == {CHAMPION: "c2", CHALLENGER: "d1"}


def test_a_model_that_was_never_copied_cannot_be_promoted(store: Store) -> None:
    with pytest.raises(TrackingError, match=r"expplat\.nobody"):
        store.tracking.promote_model("nobody", "d1")


def test_a_store_without_a_registry_costs_a_tag_and_not_the_copy(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = store.client

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("there is no registry here")

    monkeypatch.setattr(client, "create_registered_model", refuse)
    tracking = MlflowTracking(store.uri, store.folder)
    monkeypatch.setattr(tracking, "_client", client)
    one = full_report("unregistered")
    tracking.copy(one, proposal("unregistered"), PAGE)
    warned = store.runs("unregistered")["verdict"].data.tags

    store.copy(one)

    assert warned["expplat.warning.models"] == "there is no registry here"
    tags = store.runs("unregistered")["verdict"].data.tags
    assert "expplat.warning.models" not in tags


def test_registering_leaves_the_environment_as_it_was(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somewhere.else")

    store.copy(full_report("environment"))

    assert os.environ["MLFLOW_TRACKING_URI"] == "http://somewhere.else"
    assert "expplat.warning.models" not in store.runs("environment")["verdict"].data.tags
