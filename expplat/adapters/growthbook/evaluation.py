"""Flags evaluated here, by the official GrowthBook SDK, for clients that do not see the rules."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any

from growthbook.common_types import (
    EvaluationContext,
    Experiment,
    Feature,
    FeatureResult,
    GlobalContext,
    Options,
    Result,
    StackContext,
    UserContext,
    features_from_dict,
)
from growthbook.core import eval_feature

from expplat.adapters.growthbook.payload import Payload, with_date

log = logging.getLogger("expplat.api")

_PATTERN = re.compile(rb'"\$(?:r|notR)egexi?":')
"""Operators of regular expressions. A careless one, over a text that somebody sends, would hold up
every thread for minutes."""

_GROUP = b'"$savedGroups":'

_FAULTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What the SDK raises over rules of an upstream, or attributes, that it did not expect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who is evaluated: decoded JSON, whatever the attributes are."""

    attributes: Mapping[str, Any]
    url: str = ""
    forced_variations: Mapping[str, int] = field(default_factory=dict)
    """Index of the variation by tracking key; such users are not tracked."""

    forced_features: Mapping[str, Any] = field(default_factory=dict)
    """Values by flag, whatever its rules say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A user was put into an experiment: what an exposure says."""

    flag: str
    tracking_key: str
    variation: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One flag for one user."""

    flag: str
    value: Any
    """None where the flag has no value for the user, so that the fallback of the code counts."""

    reason: str
    """`SPLIT`, `TARGETING_MATCH`, `DEFAULT`, `STATIC`, `DISABLED` or `UNKNOWN`."""

    variant: str
    """The arm; of a value that no arm gave, the value's own name."""

    tracking_key: str | None
    """Of the experiment that gave the value."""

    shown: tuple[Shown, ...]
    """Every experiment that the user was put into on the way."""


_Tracked = tuple[Experiment[Any], Result[Any]]

_REASONS = {"experiment": "SPLIT", "force": "TARGETING_MATCH", "prerequisite": "DISABLED"}


class Evaluator:
    """The flags of one payload, ready to be evaluated in any thread; nothing is ever fetched."""

    def __init__(self, payload: Payload) -> None:
        self._payload = payload
        self._unit_attributes: dict[str, frozenset[str]] = {}
        self._parents: dict[str, tuple[str, ...]] = {}
        self._global = GlobalContext(
            options=Options(), saved_groups=json.loads(payload.saved_groups)
        )
        groups_match = _PATTERN.search(payload.saved_groups)
        known = json.loads(payload.features)
        for flag, rules in known.items():
            told = _json(rules)
            if _PATTERN.search(told) or (groups_match and _GROUP in told):
                log.warning("The flag %r matches a pattern, which only clients evaluate.", flag)
                continue
            try:
                feature = features_from_dict({flag: rules})[flag]
                self._unit_attributes[flag] = _unit_attributes(feature)
                self._parents[flag] = _parents(feature)
            except _FAULTS:
                log.warning("The flag %r has rules that cannot be read; it is not evaluated.", flag)
            else:
                self._global.features[flag] = feature
        self._leave_out_children_of(known.keys() - self._global.features.keys())

    @property
    def flags(self) -> Iterable[str]:
        """The flags that can be evaluated."""
        return self._global.features

    @property
    def slugs(self) -> frozenset[str]:
        """Which of the flags are ours."""
        return self._payload.slugs

    @property
    def etag(self) -> str:
        """Names the payload."""
        return self._payload.etag

    def units_of(self, flag: str) -> frozenset[str]:
        """Return the attributes that the flag hashes, those of its prerequisites included."""
        seen: set[str] = set()
        waiting = [flag]
        while waiting:
            name = waiting.pop()
            if name in seen or name not in self._global.features:
                continue
            seen.add(name)
            waiting += self._parents[name]
        return frozenset().union(*(self._unit_attributes[name] for name in seen))

    def _leave_out_children_of(self, absent: Set[str]) -> None:
        """Leave out what requires a flag that is not evaluated: it would be another variant."""
        while absent:
            absent = {
                flag for flag in self._global.features if not absent.isdisjoint(self._parents[flag])
            }
            for flag in absent:
                log.warning("The flag %r requires one that is not evaluated.", flag)
                del self._global.features[flag]

    def evaluate(self, flag: str, user: User) -> Evaluation | None:
        """Return what a flag is for a user; None where its rules cannot be read."""
        tracked: list[_Tracked] = []
        result = self._result(flag, user, self._global, tracked)
        if result is None:
            return None
        is_split = result.source == "experiment"
        seen = result.experimentResult if is_split else None
        experiment = result.experiment if is_split else None
        return Evaluation(
            flag=flag,
            value=result.value,
            reason=_REASONS.get(result.source) or self._resting_reason(flag, result.source),
            variant=seen.key if seen else _name_of(result.value),
            tracking_key=experiment.key if experiment else None,
            shown=tuple(_shown(*pair) for pair in tracked),
        )

    def reduced(self, user: User) -> bytes:
        """Return a payload in which every flag is what it is for this user, and nothing else."""
        known = self._global.features
        forced = {f: Feature(v) for f, v in user.forced_features.items() if f in known}
        context = replace(self._global, features=known | forced) if forced else self._global
        features = {}
        for flag in known:
            tracked: list[_Tracked] = []
            result = self._result(flag, user, context, tracked)
            if result is not None:
                features[flag] = _reduced(result, tracked)
        # The experiments of a visual editor run on rules in the browser, and are left out.
        sections = b'"features":%b,"experiments":[],"savedGroups":{}' % _json(features)
        return with_date(self._payload.revision, sections)

    def _result(
        self,
        flag: str,
        user: User,
        context: GlobalContext,
        tracked: list[_Tracked],
    ) -> FeatureResult[Any] | None:
        evaluation = EvaluationContext(
            user=UserContext(
                url=user.url,
                attributes=dict(user.attributes),
                forced_variations=dict(user.forced_variations),
            ),
            global_ctx=context,
            stack=StackContext(),
            tracking_cb=lambda experiment, result, _: tracked.append((experiment, result)),
        )
        try:
            return eval_feature(flag, evaluation)
        except _FAULTS as error:
            log.debug("The flag %s cannot be evaluated: %s", flag, type(error).__name__)
            return None

    def _resting_reason(self, flag: str, source: str) -> str:
        if source != "defaultValue":
            return "UNKNOWN"
        return "DEFAULT" if self._global.features[flag].rules else "STATIC"


def _unit_attributes(feature: Feature) -> frozenset[str]:
    names: set[str] = set()
    for rule in feature.rules:
        is_hashed = rule.variations or rule.coverage is not None or rule.range
        names |= {rule.hashAttribute} if is_hashed else set()
        names |= {part.get("attribute") or "id" for part in rule.filters or ()}
    return frozenset(name for name in names if isinstance(name, str))


def _parents(feature: Feature) -> tuple[str, ...]:
    parents = [parent for rule in feature.rules for parent in rule.parentConditions or ()]
    return tuple(str(parent.get("id")) for parent in parents)


def _shown(experiment: Experiment[Any], result: Result[Any]) -> Shown:
    return Shown(
        flag=result.featureId or "",
        tracking_key=experiment.key,
        variation=result.key,
        unit=str(result.hashValue),
    )


def _name_of(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if isinstance(value, str) else "default"


def _reduced(result: FeatureResult[Any], tracked: list[_Tracked]) -> dict[str, Any]:
    feature: dict[str, Any] = {"defaultValue": result.value}
    # A forced null is a value to some SDKs, and no rule to others.
    if tracked and result.value is not None:
        tracks = [{"experiment": _scrubbed(e, r), "result": r.to_dict()} for e, r in tracked]
        feature["rules"] = [{"force": result.value, "tracks": tracks}]
    return feature


def _scrubbed(experiment: Experiment[Any], result: Result[Any]) -> dict[str, Any]:
    """Return an experiment without what other users are given, and whom it is for."""
    facts = {name: fact for name, fact in experiment.to_dict().items() if fact is not None}
    facts.pop("condition", None)
    facts["variations"] = [
        value if index == result.variationId else {}
        for index, value in enumerate(experiment.variations)
    ]
    return facts


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
