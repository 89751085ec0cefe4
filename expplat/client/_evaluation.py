"""Which variant a unit gets: asked of the official GrowthBook SDK, which is used for nothing else.

No client of the SDK is made: those fetch, start threads and keep what they share in the module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from growthbook.common_types import (
    EvaluationContext,
    Experiment,
    Feature,
    GlobalContext,
    Options,
    Result,
    StackContext,
    UserContext,
)
from growthbook.core import eval_feature

from expplat.client._facts import Evaluation, Shown
from expplat.client._payload import Payload


class Evaluator:
    """The flags of one payload, ready to be asked from any thread."""

    def __init__(self, payload: Payload) -> None:
        features = {name: Feature(**feature) for name, feature in payload.features.items()}
        groups = dict(payload.saved_groups)
        self._flags = GlobalContext(options=Options(), features=features, saved_groups=groups)
        self._unit_attributes = {
            name: _unit_attributes(feature) for name, feature in payload.features.items()
        }

    def evaluate(self, flag: str, unit: str, attributes: Mapping[str, Any]) -> Evaluation | None:
        """Return what a flag says of a unit; None where there is no such flag.

        Args:
            flag: Its name.
            unit: Goes into the attribute that the rules of the flag hash.
            attributes: What else is known, for targeting and for prerequisites of other units.
        """
        if flag not in self._flags.features:
            return None
        shown: list[Shown] = []

        def track(experiment: Experiment[Any], result: Result[Any], _user: UserContext) -> None:
            if not _is_holdout(experiment):
                shown.append(_shown(experiment, result))

        everything = {**attributes, **dict.fromkeys(self._unit_attributes[flag], unit)}
        context = EvaluationContext(
            user=UserContext(attributes=everything),
            global_ctx=self._flags,
            stack=StackContext(),
            tracking_cb=track,
        )
        result = eval_feature(flag, context)
        test = None
        if result.experiment is not None and result.experimentResult is not None:
            own = _shown(result.experiment, result.experimentResult)
            test = own if own in shown else None
        return Evaluation(value=result.value, test=test, shown=tuple(shown))


def _shown(experiment: Experiment[Any], result: Result[Any]) -> Shown:
    phase = experiment.phase or ""
    return Shown(
        experiment=experiment.key,
        variation=result.key,
        unit=result.hashValue,
        phase=int(phase) if phase.isascii() and phase.isdigit() and len(phase) < 7 else None,
    )


def _is_holdout(experiment: Experiment[Any]) -> bool:
    return any(meta.get("passthrough") for meta in experiment.meta or ())


def _unit_attributes(feature: Mapping[str, Any]) -> frozenset[str]:
    hashed = (rule.get("hashAttribute", "id") for rule in feature.get("rules", ()))
    return frozenset(hashed)
