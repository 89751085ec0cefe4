"""What GrowthBook's REST API takes, as JSON Schemas: of the calls that a push makes.

Written down from the documented fields of version 4.4 and 5.1; a field that is not documented is
refused there, and here.
"""

from __future__ import annotations

from typing import Any

TEXT = {"type": "string"}
YES_NO = {"type": "boolean"}
NUMBER = {"type": "number"}
TEXTS = {"type": "array", "items": TEXT}


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    """Return the schema of an object without further fields."""
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


PREREQUISITES = {"type": "array", "items": closed(["id", "condition"], id=TEXT, condition=TEXT)}
GROUPS = {
    "type": "array",
    "items": closed(
        ["matchType", "savedGroups"],
        matchType={"enum": ["all", "any", "none"]},
        savedGroups=TEXTS,
    ),
}
PHASES = {
    "type": "array",
    "items": closed(
        ["name", "dateStarted"],
        name=TEXT,
        dateStarted={"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"},
        dateEnded=TEXT,
        reasonForStopping=TEXT,
        seed=TEXT,
        coverage={"type": "number", "minimum": 0, "maximum": 1},
        namespace=closed(
            ["namespaceId", "range"],
            namespaceId=TEXT,
            enabled=YES_NO,
            range={"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2},
        ),
        targetingCondition=TEXT,
        condition=TEXT,
        prerequisites=PREREQUISITES,
        reason=TEXT,
        savedGroupTargeting=GROUPS,
        variationWeights={"type": "array", "items": NUMBER},
    ),
}
_EXPERIMENT = {
    "name": TEXT,
    "status": {"enum": ["draft", "running", "stopped"]},
    "owner": TEXT,
    "tags": TEXTS,
    "hashAttribute": TEXT,
    "hashVersion": {"enum": [1, 2]},
    "disableStickyBucketing": YES_NO,
    "trackingKey": TEXT,
    "variations": {
        "type": "array",
        "minItems": 2,
        "items": closed(["key", "name"], id=TEXT, key=TEXT, name=TEXT, description=TEXT),
    },
    "phases": PHASES,
}
POST_EXPERIMENT = closed(["trackingKey", "name", "variations"], **_EXPERIMENT)
CHANGE_EXPERIMENT = closed([], **_EXPERIMENT)
START = closed([], skipChecklist=YES_NO)
STOP = closed(
    [],
    results={"enum": ["dnf", "won", "lost", "inconclusive"]},
    winnerVariationId=TEXT,
    releasedVariationId=TEXT,
    enableTemporaryRollout=YES_NO,
    reason=TEXT,
    analysis=TEXT,
    dateEnded=TEXT,
)

_RULE = {
    "id": TEXT, "description": TEXT, "enabled": YES_NO, "condition": TEXT,
    "prerequisites": PREREQUISITES, "savedGroupTargeting": GROUPS,
    "scheduleRules": {"type": "array"}, "allEnvironments": YES_NO, "environments": TEXTS,
}  # fmt: skip
RULES = {
    "type": "array",
    "items": {
        "oneOf": [
            closed(["type", "value"], type={"const": "force"}, value=TEXT, **_RULE),
            closed(
                ["type", "value", "coverage", "hashAttribute"],
                type={"const": "rollout"},
                value=TEXT,
                coverage=NUMBER,
                hashAttribute=TEXT,
                **_RULE,
            ),
            closed(
                ["type", "experimentId", "variations"],
                type={"const": "experiment-ref"},
                experimentId=TEXT,
                variations={
                    "type": "array",
                    "items": closed(["value", "variationId"], value=TEXT, variationId=TEXT),
                },
                **_RULE,
            ),
        ]
    },
}
ENVIRONMENTS = {"type": "object", "additionalProperties": closed([], enabled=YES_NO)}
_FEATURE = {
    "description": TEXT, "archived": YES_NO, "owner": TEXT, "project": TEXT, "defaultValue": TEXT,
    "tags": TEXTS, "rules": RULES, "environments": ENVIRONMENTS, "prerequisites": TEXTS,
}  # fmt: skip
POST_FEATURE = closed(
    ["id", "valueType", "defaultValue"],
    id={"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
    valueType={"enum": ["boolean", "string", "number", "json"]},
    **_FEATURE,
)
CHANGE_FEATURE = closed([], **_FEATURE)
TOGGLE = closed(
    ["environments"],
    reason=TEXT,
    environments={"type": "object", "additionalProperties": YES_NO},
)
