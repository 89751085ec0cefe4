"""What a variant receives and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One recorded production request, with the references that it is judged against."""

    request_id: str
    """Unique in its log."""

    input: Mapping[str, Any]
    """What production was asked, such as `{"question": "…"}`."""

    expected: Mapping[str, Any] = field(default_factory=dict)
    """References: `relevant_ids` (a list, or ids with grades), `answer` (right answers)."""

    answerable: bool | None = None
    """False where no right answer exists, so that a refusal is right; None if not known."""

    cluster: str | None = None
    """Requests that belong together (one user, one document); they never count as independent."""

    segment: Mapping[str, str] = field(default_factory=dict)
    """Such as `{"topic": "syntax"}`; deltas are shown for each value."""

    logged: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What systems have answered before, by their name; `production` is what users were shown.
    Each holds fields of `Output`, and may hold `latency_ms`, `cost_usd`, `stages_ms`, `error`."""


PRODUCTION = "production"
"""Name of the logged system that users were shown."""


def logged_system(use: str) -> str | None:
    """Return the system whose recorded answers a variant's `use` names; None where it names code.

    `logged` is what production answered, `logged:reader_a` what that system did.
    """
    name, colon, system = use.partition(":")
    if name != "logged":
        return None
    return system if colon else PRODUCTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a variant answers to one request."""

    text: str = ""
    """The answer, where the variant writes one."""

    retrieved: tuple[str, ...] = ()
    """Ids of what was found, best first."""

    refused: bool = False
    """True where the variant says that it does not know."""

    confidence: float | None = None
    """0 to 1, where the variant states one."""


class ErrorKind(StrEnum):
    """The closed list of what can go wrong in a call; an error never leaves the denominator."""

    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    PROVIDER_ERROR = "provider_error"
    BAD_OUTPUT = "bad_output"
    VARIANT_BUG = "variant_bug"
    BUDGET = "budget"
    CANCELLED = "cancelled"
