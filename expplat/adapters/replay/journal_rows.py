"""A row of the journal as one line of canonical JSON, and back, without the generic way's price.

A million rows are written and read by hand some ten times faster than through `to_plain` and
`from_plain`; tests hold the two forms together, byte by byte.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from expplat.domain.call import Usage
from expplat.domain.replay import CallRecord, ReplayRow
from expplat.domain.request import ErrorKind

BROKEN = (ValueError, TypeError, AttributeError, KeyError, ArithmeticError)
"""What reading a line raises that is no row."""

_KINDS = {kind.value: kind for kind in ErrorKind}


def line_of(row: ReplayRow) -> bytes:
    """Return a row as a line, with its line break.

    Raises:
        ValueError: If a number is not finite.
    """
    return line(
        {
            "position": row.position,
            "repeat": row.repeat,
            "request_id": row.request_id,
            "cluster": row.cluster,
            "segment": dict(row.segment),
            "calls": {arm: _plain_call(call) for arm, call in row.calls.items()},
        }
    )


def row_of(found: bytes) -> ReplayRow:
    """Return the row of a line.

    Raises:
        ValueError, TypeError, AttributeError, KeyError, ArithmeticError: If it is none.
    """
    plain = json.loads(found)
    return ReplayRow(
        position=plain["position"],
        repeat=plain["repeat"],
        request_id=plain["request_id"],
        cluster=plain["cluster"],
        segment=plain["segment"],
        calls={arm: _call(call) for arm, call in plain["calls"].items()},
    )


def key_of(found: bytes) -> tuple[int, int]:
    """Return the position and the repeat of a line's row.

    Raises:
        ValueError, TypeError, AttributeError, KeyError, ArithmeticError: If it is none.
    """
    plain = json.loads(found)
    return plain["position"], plain["repeat"]


def spent_usd_of(found: bytes, unpaid: Collection[str]) -> Decimal:
    """Return what the calls of a line's row cost; kept answers were paid for another time.

    Args:
        found: The line.
        unpaid: Arms that nobody calls, whose costs are those of a recording.

    Raises:
        ValueError, TypeError, AttributeError, KeyError, ArithmeticError: If it is no row.
    """
    calls = json.loads(found)["calls"]
    paid = (call for arm, call in calls.items() if arm not in unpaid and not call["is_kept"])
    return sum((Decimal(call["cost_usd"]) for call in paid), Decimal(0))


def line(plain: Mapping[str, Any]) -> bytes:
    """Return plain values as one line of canonical JSON; half characters are replaced."""
    text = json.dumps(
        plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode("utf-8", "replace") + b"\n"


def _plain_call(call: CallRecord) -> dict[str, Any]:
    return {
        "latency_ms": float(call.latency_ms),
        "cpu_ms": float(call.cpu_ms),
        "cost_usd": format(call.cost_usd, "f"),
        "metrics": {
            name: None if value is None else float(value) for name, value in call.metrics.items()
        },
        "stages_ms": {name: float(spent) for name, spent in call.stages_ms.items()},
        "stages_cpu_ms": {name: float(spent) for name, spent in call.stages_cpu_ms.items()},
        "usages": [
            {
                "model": usage.model,
                "input_tokens": usage.input_tokens,
                "output_tokens": usage.output_tokens,
                "stage": usage.stage,
            }
            for usage in call.usages
        ],
        "refused": call.refused,
        "error": None if call.error is None else call.error.value,
        "error_message": call.error_message,
        "is_timed": call.is_timed,
        "attempts": call.attempts,
        "is_kept": call.is_kept,
    }


def _call(plain: Mapping[str, Any]) -> CallRecord:
    error = plain["error"]
    return CallRecord(
        latency_ms=plain["latency_ms"],
        cpu_ms=plain["cpu_ms"],
        cost_usd=Decimal(plain["cost_usd"]),
        metrics=plain["metrics"],
        stages_ms=plain["stages_ms"],
        stages_cpu_ms=plain["stages_cpu_ms"],
        usages=tuple([Usage(**usage) for usage in plain["usages"]]),
        refused=plain["refused"],
        error=None if error is None else _KINDS[error],
        error_message=plain["error_message"],
        is_timed=plain["is_timed"],
        attempts=plain["attempts"],
        is_kept=plain["is_kept"],
    )
