"""The JSON Schema of an experiment file, for editors."""

from __future__ import annotations

from typing import Any

import pydantic

from expplat.domain.gate import METRIC_GATES
from expplat.domain.proposal import Proposal
from expplat.domain.proposal_rules import SLUG_PATTERN, VARIANT_PATTERN

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12); its descriptions are the docstrings of the proposal.

    A file that breaks it is refused. The rules across fields are not in it: a file that
    keeps it may still have faults.
    """
    schema = pydantic.TypeAdapter(Proposal).json_schema()
    definitions = schema["$defs"]
    schema["properties"]["slug"]["pattern"] = SLUG_PATTERN
    definitions["Metric"]["properties"]["name"]["pattern"] = SLUG_PATTERN
    definitions["Variant"]["properties"]["use"]["pattern"] = VARIANT_PATTERN
    definitions["Exclusion"]["properties"]["group"]["pattern"] = SLUG_PATTERN
    definitions["Holdout"]["properties"]["name"]["pattern"] = SLUG_PATTERN
    definitions["GateKind"]["enum"] = sorted(METRIC_GATES)
    definitions["GateKind"]["description"] = "How the metric is judged."
    del definitions["Gate"]["properties"]["threshold"]
    schema.update({"$schema": DIALECT, "title": "expplat experiment file"})
    return schema
