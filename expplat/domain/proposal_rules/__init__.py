"""Rules across the fields of an experiment file, checked on plain data.

The reader checks the type of every field by itself; these rules ask whether the fields fit
together. They pass over whatever is missing or of the wrong type, so that both lists can be shown
at once and no fault is told twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expplat.domain.proposal_rules.entrance import entrance_faults
from expplat.domain.proposal_rules.finding import (
    FORBIDDEN_CHARACTERS,
    LONGEST_LIST,
    SLUG_HINT,
    SLUG_PATTERN,
    USE_PATTERN,
    VARIANT_PATTERN,
    Finding,
    Findings,
    Path,
    items_of,
    mapping_of,
    shown,
    slug_problem,
)
from expplat.domain.proposal_rules.gates import (
    gate_faults,
    mandatory_faults,
    primary_faults,
    sizing_faults,
    waived,
    waiver_faults,
)
from expplat.domain.proposal_rules.measurement import measurement_faults
from expplat.domain.proposal_rules.metrics import (
    Catalogue,
    declared_metrics,
    offline_metric_faults,
    online_metric_faults,
)
from expplat.domain.proposal_rules.plan import plan_faults
from expplat.domain.proposal_rules.request_log import request_log_faults
from expplat.domain.proposal_rules.subject import (
    paper_faults,
    slug_faults,
    text_faults,
    variant_faults,
)

__all__ = [
    "FORBIDDEN_CHARACTERS",
    "SLUG_HINT",
    "SLUG_PATTERN",
    "USE_PATTERN",
    "VARIANT_PATTERN",
    "Catalogue",
    "Finding",
    "Findings",
    "Path",
    "rule_faults",
    "shown",
    "slug_problem",
    "text_faults",
]


def rule_faults(
    data: Mapping[str, Any], *, catalogue: Catalogue, stem: str | None = None
) -> Findings:
    """Yield every breach of the rules.

    Args:
        data: The file as plain data; anything may be missing or of the wrong type.
        catalogue: The built-in metrics.
        stem: The file's name without its ending; None where the file has no name to compare.
    """
    yield from text_faults(data)
    yield from _length_faults(data)
    yield from slug_faults(data.get("slug"), stem)
    yield from paper_faults(mapping_of(data.get("paper")))
    yield from variant_faults(mapping_of(data.get("variants")))
    if isinstance(data.get("request_log"), Mapping):
        yield from request_log_faults(data["request_log"])
    yield from _offline_faults(data, catalogue)
    yield from _online_faults(data, catalogue)
    yield from waiver_faults(items_of(data.get("waivers")))


def _length_faults(data: Mapping[str, Any]) -> Findings:
    online = mapping_of(data.get("online"))
    lists: list[tuple[Path, object]] = [
        ((name,), data.get(name)) for name in ("metrics", "offline_gates", "waivers")
    ]
    lists += [(("online", name), online.get(name)) for name in ("metrics", "gates", "ramp_percent")]
    for path, value in lists:
        if isinstance(value, list | tuple) and len(value) > LONGEST_LIST:
            yield Finding(
                path,
                f"It has {len(value):,} entries.",
                f"Keep it to {LONGEST_LIST}; no more are read.",
            )


def _offline_faults(data: Mapping[str, Any], catalogue: Catalogue) -> Findings:
    metrics, gates = items_of(data.get("metrics")), items_of(data.get("offline_gates"))
    declared = declared_metrics(metrics, catalogue)
    primary = mapping_of(data.get("problem")).get("primary_metric")
    yield from offline_metric_faults(metrics, catalogue)
    yield from gate_faults(gates, declared, ("offline_gates",))
    yield from mandatory_faults(gates, declared, ("offline_gates",), waived(data, "offline"))
    yield from primary_faults(primary, gates, declared)
    yield from measurement_faults(data, gates, declared)


def _online_faults(data: Mapping[str, Any], catalogue: Catalogue) -> Findings:
    online = mapping_of(data.get("online"))
    metrics, gates = items_of(online.get("metrics")), items_of(online.get("gates"))
    declared = declared_metrics([mapping_of(item) for item in metrics], catalogue)
    yield from online_metric_faults(metrics)
    yield from gate_faults(gates, declared, ("online", "gates"))
    yield from mandatory_faults(gates, declared, ("online", "gates"), waived(data, "online"))
    yield from sizing_faults(online)
    yield from plan_faults(online)
    yield from entrance_faults(online, data.get("slug"))
