"""A flag as objects of GrowthBook's REST API: one feature, and an experiment for each test.

GrowthBook cannot be told the ranges of the arms: its SDKs compute them of coverage and weights,
from the sum of the weights before to that sum plus coverage times weight. At the four decimals that
we serve these are our ranges, at every share of units that we serve. Unrounded, an end may lie
1e-16 above ours, so that the bucket on it, 1 of 10,000, is in the one and out of the other: with
two arms at 414 of the 5,001 shares, with three at nearly all. Nobody is given another arm by that,
and a wider test still moves nobody. SDKs that count in 32-bit floats may differ in 4 buckets.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from expplat.adapters.growthbook.rules import feature, tracking_key
from expplat.errors import InputError
from expplat.flow.flags import FlagState

MARK = "expplat"
"""The tag of features and experiments that are ours; others are never touched."""

_AUDIENCE = {"condition", "parentConditions"}
_TEST = _AUDIENCE | {
    "id", "key", "name", "phase", "variations", "meta", "hashAttribute", "hashVersion", "seed",
    "weights", "coverage", "ranges", "disableStickyBucketing",
}  # fmt: skip
_WINNER = _AUDIENCE | {"id", "force", "hashAttribute"}
"""What of a rule can be said over the REST API; `ranges` is computed there."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Who is meant by a rule."""

    condition: str
    """On the attributes of a unit, as JSON; `{}` for everybody."""

    prerequisites: tuple[tuple[str, str], ...]
    """Flags that must serve something before, each with a condition as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedTest:
    """A running experiment."""

    tracking_key: str
    name: str
    unit: str
    """The attribute that is hashed."""

    seed: str
    arms: tuple[tuple[str, str], ...]
    """Key, which is also the value that is served, and name of each; control first."""

    coverage: float
    """Share of units in the test, 0 to 1."""

    weights: tuple[float, ...]
    """Share of each arm among them; their sum is 1."""

    audience: Audience


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedWinner:
    """A rule that serves what won to those whom the test was about."""

    rule_id: str
    value: str
    audience: Audience


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedFlag:
    """A feature and what its newest experiment should be."""

    slug: str
    tracking_key: str
    """Of the newest test, running or over."""

    default: str
    """The arm of everybody outside the test."""

    is_on: bool
    """Whether it is served at all; a flag that the emergency brake holds is not."""

    released: str
    """The arm that won the test; empty where none has."""

    test: WantedTest | None
    """None where no test runs."""

    winner: WantedWinner | None
    """None where nothing won, or everybody is served it."""

    @property
    def sentence(self) -> str:
        """What it serves, for a person."""
        if not self.is_on:
            return "held closed"
        if self.test is not None:
            return f"a test with {100 * self.test.coverage:g} % of units"
        if self.winner is not None:
            return f"{self.winner.value} for those it was tested on"
        return f"{self.default} for everybody"


def wanted_flag(state: FlagState) -> WantedFlag:
    """Return what a GrowthBook server must serve for this flag.

    Raises:
        InputError: If its rules say more than the REST API can be told without serving other units.
    """
    served = feature(state)
    rule = _one_rule(state.slug, served["rules"])
    return WantedFlag(
        slug=state.slug,
        tracking_key=tracking_key(state.slug, state.phase),
        default=served["defaultValue"],
        is_on=not state.is_closed,
        released=state.winner if state.is_graduated else "",
        test=_test(state.slug, rule) if rule and "force" not in rule else None,
        winner=_winner(rule) if rule and "force" in rule else None,
    )


def _one_rule(slug: str, rules: Sequence[Json]) -> Json | None:
    if len(rules) > 1 or any(meta.get("passthrough") for r in rules for meta in r.get("meta", ())):
        raise _unfit(slug, "it has a holdout, and GrowthBook would hold out other units")
    for rule in rules:
        extra = sorted(rule.keys() - (_WINNER if "force" in rule else _TEST))
        if extra:
            raise _unfit(slug, f"its REST API cannot be told of {', '.join(extra)}")
        return rule
    return None


def _test(slug: str, rule: Json) -> WantedTest:
    if computed_ranges(rule["coverage"], rule["weights"]) != _rounded(rule["ranges"]):
        raise _unfit(slug, "it would assign other units than we do")
    return WantedTest(
        tracking_key=rule["key"],
        name=rule["name"],
        unit=rule["hashAttribute"],
        seed=rule["seed"],
        arms=tuple((arm["key"], arm["name"]) for arm in rule["meta"]),
        coverage=rule["coverage"],
        weights=tuple(rule["weights"]),
        audience=_audience(rule),
    )


def _winner(rule: Json) -> WantedWinner:
    return WantedWinner(rule_id=rule["id"], value=rule["force"], audience=_audience(rule))


def _audience(rule: Json) -> Audience:
    parents = rule.get("parentConditions", ())
    return Audience(
        condition=_json(rule.get("condition", {})),
        prerequisites=tuple((parent["id"], _json(parent["condition"])) for parent in parents),
    )


def _unfit(slug: str, why: str) -> InputError:
    return InputError(
        f"The test of {slug} cannot be pushed to GrowthBook: {why}.",
        hint="Let its SDKs ask expplat, which can add the features of a GrowthBook server.",
    )


def computed_ranges(coverage: float, weights: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """Return the ranges that GrowthBook computes, each end rounded to four decimals.

    Args:
        coverage: 0 to 1.
        weights: Of the arms; their sum is 1.
    """
    ranges = []
    before = 0.0
    for weight in weights:
        ranges.append((before, before + coverage * weight))
        before += weight
    return _rounded(ranges)


def _rounded(ranges: Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((round(start, 4), round(end, 4)) for start, end in ranges)


def experiment_body(test: WantedTest, at: str) -> Json:
    """Return what creates the experiment, as a draft; `at` is when it begins, in ISO 8601."""
    return {
        "trackingKey": test.tracking_key,
        "name": test.name,
        "status": "draft",
        "owner": MARK,
        "tags": [MARK],
        "variations": [{"id": key, "key": key, "name": name} for key, name in test.arms],
    } | experiment_change(test, at)


def experiment_change(test: WantedTest, at: str) -> Json:
    """Return what brings an experiment to what is wanted.

    The phase is always whole: what is left out of it, GrowthBook sets to all units, to equal arms,
    to the tracking key as the seed.
    """
    phase = {
        "name": "Main",
        "dateStarted": at,
        "seed": test.seed,
        "coverage": test.coverage,
        "variationWeights": list(test.weights),
        # It stores the first and answers with the second.
        "condition": test.audience.condition,
        "targetingCondition": test.audience.condition,
        "prerequisites": prerequisites(test.audience),
        "savedGroupTargeting": [],
        "namespace": {"namespaceId": "", "range": [0, 1], "enabled": False},
    }
    return {
        "hashAttribute": test.unit,
        "hashVersion": 2,
        "disableStickyBucketing": True,
        "phases": [phase],
    }


def prerequisites(audience: Audience) -> list[Json]:
    """Return them as the REST API takes them."""
    return [{"id": id_, "condition": text} for id_, text in audience.prerequisites]


def experiment_faults(test: WantedTest, experiment: Json) -> list[str]:
    """Return in what an experiment differs from what is wanted, besides its status."""
    phases = experiment["phases"]
    phase = phases[-1] if phases else {}
    wanted = experiment_change(test, "")["phases"][0]
    pairs = {
        "hashAttribute": (experiment.get("hashAttribute"), test.unit),
        "hashVersion": (experiment.get("hashVersion"), 2),
        "disableStickyBucketing": (experiment.get("disableStickyBucketing"), True),
        "phases": (len(phases), 1),
        "seed": (phase.get("seed"), test.seed),
        "coverage": (phase.get("coverage"), test.coverage),
        "weights": (tuple(w["weight"] for w in phase.get("trafficSplit", ())), test.weights),
        "condition": (parsed(phase.get("targetingCondition")), parsed(test.audience.condition)),
        "prerequisites": (_parsed_prerequisites(phase), _parsed_prerequisites(wanted)),
        "savedGroupTargeting": (phase.get("savedGroupTargeting") or [], []),
        "namespace": (_namespace(phase), ""),
    }
    return [
        f"{name} is {is_}, not {due}" for name, (is_, due) in pairs.items() if not _same(is_, due)
    ]


def rule_essence(rule: Json) -> Json:
    """Return what a rule of a feature serves to whom, without its words; for comparing."""
    arms = [(arm["variationId"], arm["value"]) for arm in rule.get("variations") or ()]
    return {
        "type": rule["type"],
        "value": rule.get("value"),
        "experiment": rule.get("experimentId"),
        "arms": arms,
        "enabled": rule.get("enabled", True),
        "where": "all" if rule.get("allEnvironments", True) else rule.get("environments"),
        "condition": parsed(rule.get("condition")),
        "prerequisites": _parsed_prerequisites(rule),
        "groups": rule.get("savedGroupTargeting") or [],
        "schedule": rule.get("scheduleRules") or [],
    }


def parsed(condition: str | None) -> Any:
    """Return a condition that can be compared; an empty one asks for nothing."""
    try:
        return json.loads(condition or "{}")
    except ValueError:
        return condition


def _parsed_prerequisites(phase: Json) -> list[list[Any]]:
    return [[p["id"], parsed(p["condition"])] for p in phase.get("prerequisites") or ()]


def _namespace(phase: Json) -> str:
    namespace = phase.get("namespace") or {}
    return namespace.get("namespaceId", "") if namespace.get("enabled", True) else ""


def _same(is_: Any, due: Any) -> bool:
    if isinstance(due, tuple) and isinstance(is_, tuple):
        return len(is_) == len(due) and all(map(_same, is_, due))
    if isinstance(due, float) and isinstance(is_, int | float):
        return math.isclose(is_, due, abs_tol=1e-9)
    return bool(is_ == due)


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
