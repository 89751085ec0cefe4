"""The variants of a POC as versions of one registered model: found by their code, without a pickle.

A version points at a model that MLflow calls external: it holds what the variant is made of, and no
file that anybody could load.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from expplat.adapters.tracking.content import RunContent
from expplat.adapters.tracking.names import safe_name
from expplat.adapters.tracking.store import is_server
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
CHALLENGER = "challenger"
CODE = "expplat.code_sha256"
SOURCE = "models:/"


def model_name(slug: str) -> str:
    """Return the name of a POC's registered model."""
    return safe_name(f"expplat.{slug}").replace("/", "_")


def register_variants(
    client: MlflowClient,
    uri: str,
    slug: str,
    arms: Mapping[str, RunContent],
    runs: Mapping[str, Run],
) -> None:
    """Register control as the champion and treatment as the challenger, each with its numbers.

    The same code is one version, however often it is replayed. A treatment that has become the
    champion stays it.

    Args:
        client: Of the store.
        uri: Of the store.
        slug: Of the POC, which has one registered model.
        arms: What each run holds, by arm.
        runs: The finished run by arm.
    """
    name = model_name(slug)
    _ensure_model(client, name, slug)
    numbers: dict[str, str] = {}
    with _found_by_mlflow(uri):
        for arm, content in arms.items():
            version = _version(client, name, str(runs[arm].info.experiment_id), content)
            numbers[arm] = str(version.version)
            _link(client, runs[arm], str(version.source).removeprefix(SOURCE))
    kept = client.get_registered_model(name).aliases
    aliases = {alias: str(version) for alias, version in kept.items()}  # SQL answers in numbers
    if aliases.get(CHALLENGER) != numbers[TREATMENT]:
        client.set_registered_model_alias(name, CHALLENGER, numbers[TREATMENT])
    if aliases.get(CHAMPION) not in numbers.values():
        client.set_registered_model_alias(name, CHAMPION, numbers[CONTROL])


def promote_model(client: MlflowClient, slug: str, code_sha256: str) -> None:
    """Make the version of a variant's code the champion of a POC.

    Raises:
        TrackingError: If that code was never registered.
    """
    name = model_name(slug)
    versions = _versions(client, name, code_sha256)
    if not versions:
        raise TrackingError(
            f"MLflow has no version of {name} for the code {code_sha256[:12]}.",
            hint="`expplat replay --sync` copies what MLflow has not received.",
        )
    client.set_registered_model_alias(name, CHAMPION, versions[0].version)


def _ensure_model(client: MlflowClient, name: str, slug: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, tags={"expplat.slug": slug})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _version(client: MlflowClient, name: str, experiment_id: str, arm: RunContent) -> ModelVersion:
    """Return the version of a variant's code, made unless it is there."""
    code = arm.params["code_sha256"]
    if known := _versions(client, name, code):
        return min(known, key=lambda version: int(version.version))
    model = client.create_logged_model(
        experiment_id,
        name=arm.role,
        tags={"mlflow.model.isExternal": "true", CODE: code},
        params=dict(arm.params),
        model_type="variant",
    )
    client.finalize_logged_model(model.model_id, "READY")
    return client.create_model_version(
        name,
        source=SOURCE + str(model.model_id),
        model_id=model.model_id,
        tags={CODE: code, "expplat.use": arm.params["use"]},
        await_creation_for=0,
    )


def _versions(client: MlflowClient, name: str, code: str) -> list[ModelVersion]:
    return list(client.search_model_versions(f"name = '{name}' and tags.`{CODE}` = '{code}'"))


def _link(client: MlflowClient, run: Run, model_id: str) -> None:
    """Give the model the numbers of its run, and then the run its model.

    In this order a run that has its model needs nothing more.
    """
    from mlflow.entities import LoggedModelOutput, Metric

    outputs = run.outputs.model_outputs if run.outputs else []
    if any(output.model_id == model_id for output in outputs):
        return
    at = int(run.info.end_time)
    client.log_batch(
        run.info.run_id,
        metrics=[
            Metric(key, value, at, 0, model_id=model_id, run_id=run.info.run_id)
            for key, value in run.data.metrics.items()
        ],
    )
    client.log_outputs(run.info.run_id, [LoggedModelOutput(model_id, 0)])


@contextmanager
def _found_by_mlflow(uri: str) -> Iterator[None]:
    """Name a local store in the environment: MLflow's registry looks there for the model's source.

    A server has its own.
    """
    if is_server(uri):
        yield
        return
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        yield
    finally:
        if before is None:
            del os.environ["MLFLOW_TRACKING_URI"]
        else:
            os.environ["MLFLOW_TRACKING_URI"] = before
