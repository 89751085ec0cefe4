"""What a GrowthBook server holds of a flag of ours: read whole before anything is written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from expplat.adapters.growthbook.rest import GrowthBookRest
from expplat.adapters.growthbook.wanted import MARK, Json, WantedFlag
from expplat.errors import FlagServerError, InputError, NotFoundError

_CHANGED_SHAPE = "The GrowthBook server answered with something else than its documented objects."


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A flag as it is on the server."""

    experiment: Json | None
    feature: Json | None
    older: tuple[Json, ...] = ()
    """Experiments of earlier tests of ours that the feature still refers to."""


class FoundReader:
    """Reads flags of a GrowthBook server."""

    def __init__(self, rest: GrowthBookRest) -> None:
        self._rest = rest

    def read(self, wanted: WantedFlag) -> Found:
        """Return the flag as it is there.

        Raises:
            InputError: If it is there, but not ours.
            FlagServerError: If the server does not answer as GrowthBook does.
        """
        try:
            experiment = self._experiment(wanted)
            feature = self._feature(wanted.slug)
            older = self._older(wanted, feature, experiment)
        except (KeyError, TypeError, AttributeError) as error:
            raise FlagServerError(
                _CHANGED_SHAPE, hint="Is it an older one? v2 is needed."
            ) from error
        return Found(experiment=experiment, feature=feature, older=older)

    def _experiment(self, wanted: WantedFlag) -> Json | None:
        listed = self._rest.get("/v1/experiments", trackingKey=wanted.tracking_key)["experiments"]
        found = [e for e in listed if tracking_key_of(e) == wanted.tracking_key]
        if len(found) > 1:
            raise InputError(
                f"The GrowthBook server has {len(found)} experiments {wanted.tracking_key!r}.",
                hint="Delete there all but the one that runs.",
            )
        if not found:
            return None
        _must_be_ours(found[0], f"experiment {wanted.tracking_key!r}")
        experiment: Json = self._rest.get(f"/v1/experiments/{found[0]['id']}")["experiment"]
        return experiment

    def _feature(self, slug: str) -> Json | None:
        try:
            feature: Json = self._rest.get(f"/v2/features/{slug}")["feature"]
        except NotFoundError:
            return None
        _must_be_ours(feature, f"feature {slug!r}")
        return feature

    def _older(
        self, wanted: WantedFlag, feature: Json | None, current: Json | None
    ) -> tuple[Json, ...]:
        """Return the experiments of ours that the feature still refers to, besides the present."""
        ids = [rule["experimentId"] for rule in rules_of(feature) if is_reference(rule)]
        known = current["id"] if current else None
        found = [self._experiment_of(id_) for id_ in dict.fromkeys(ids) if id_ != known]
        ours = re.compile(rf"{re.escape(wanted.slug)}\.p\d+")
        return tuple(
            e for e in found if e and MARK in e["tags"] and ours.fullmatch(tracking_key_of(e))
        )

    def _experiment_of(self, id_: str) -> Json | None:
        try:
            experiment: Json = self._rest.get(f"/v1/experiments/{id_}")["experiment"]
        except NotFoundError:
            return None
        return experiment


def _must_be_ours(thing: Json, name: str) -> None:
    if MARK not in thing["tags"]:
        raise InputError(
            f"The GrowthBook server has a {name} that is not ours.",
            hint=f"Rename it there; or give it the tag {MARK!r}, and it is ours from then on.",
        )
    if thing["archived"]:
        raise InputError(f"The {name} is archived on the GrowthBook server.", hint="Restore it.")


def tracking_key_of(experiment: Json) -> str:
    """Return the key that SDKs report; older servers say it elsewhere."""
    return str(experiment.get("trackingKey") or experiment["settings"]["experimentId"])


def rules_of(feature: Json | None) -> list[Json]:
    """Return the rules of a feature; none where there is no feature."""
    return feature["rules"] if feature else []


def is_reference(rule: Json) -> bool:
    """Whether a rule hands users over to an experiment."""
    return bool(rule["type"] == "experiment-ref")


def is_ended(experiment: Json, wanted: WantedFlag) -> bool:
    """Whether it is over, with the right result; one that never began needs no end."""
    if experiment["status"] == "draft":
        return True
    summary = experiment.get("resultSummary") or {}
    if experiment["status"] != "stopped":
        return False
    if not wanted.released:
        return bool(summary.get("excludeFromPayload"))
    released = summary.get("releasedVariationId")
    return bool(released == variation_id(experiment, wanted.released))


def variation_id(experiment: Json, key: str) -> str:
    """Return the id that the server gave an arm, or raise InputError."""
    for arm in experiment["variations"]:
        if arm["key"] == key:
            return str(arm["variationId"])
    raise InputError(
        f"{tracking_key_of(experiment)} has no arm {key!r} on the GrowthBook server.",
        hint="Set its arms back there.",
    )
