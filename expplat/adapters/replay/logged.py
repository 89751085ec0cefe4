"""Answers that nobody has to ask for: what a system has said before, by the log."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from expplat.adapters.replay.calls import Guard, checked
from expplat.adapters.replay.failures import Failure
from expplat.adapters.replay.retries import Answered
from expplat.adapters.replay.variant_output import OUTPUT_FIELDS, BadOutputError
from expplat.domain.call import Call, Usage
from expplat.domain.request import ErrorKind, Request


class Recorded(NamedTuple):
    """A recorded answer, and what was recorded of its clock and its bill."""

    answered: Answered
    is_timed: bool
    """Whether the log says how long it took."""

    cost_usd: Decimal | None
    """None where it follows from the tokens, as of any other call."""


def recorded(request: Request, system: str, guard: Guard) -> Recorded:
    """Return what a frozen log holds of a system's answer; without one, `bad_output`.

    The fields were checked when the log was frozen; how long an answer may be, and what is text, is
    the same for all.
    """
    found = guard.run_own(lambda: _read(request.logged.get(system), system))
    return Recorded(Answered(failure=found), False, None) if isinstance(found, Failure) else found


def _read(entry: Mapping[str, Any] | None, system: str) -> Recorded:
    if entry is None:
        raise BadOutputError(f"The log holds no answer of {system} to it.")
    call = Call()
    call.usages.extend(Usage(**usage) for usage in entry.get("usages", ()))
    call.stages_ms.update(entry.get("stages_ms", {}))
    failure = _failure(entry)
    output = {name: value for name, value in entry.items() if name in OUTPUT_FIELDS}
    looked_at = checked(failure or output, call)
    answered = Answered(
        output=looked_at.output,
        failure=failure,
        latency_ms=float(entry.get("latency_ms", 0.0)),
        stages_ms=looked_at.stages_ms,
        usages=looked_at.usages,
    )
    cost = entry.get("cost_usd")
    return Recorded(
        answered, "latency_ms" in entry, None if cost is None else Decimal(repr(float(cost)))
    )


def _failure(entry: Mapping[str, Any]) -> Failure | None:
    if "error" not in entry:
        return None
    kind = ErrorKind(entry["error"])
    return Failure(kind, entry.get("error_message", f"The log says: {kind}."))
