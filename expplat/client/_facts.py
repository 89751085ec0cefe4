"""What an evaluation finds out, apart from the SDK that finds it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Which variant a unit gets, and why."""

    variant: str
    """Such as `control` or `treatment`."""

    source: Literal["test", "flag", "default"]
    """`test`: by the hash of the unit, and it is an exposure. `flag`: the same for everybody who
    is not in the test. `default`: there are no flags, no such flag, or no such unit; control."""

    flag: str
    experiment: str | None = None
    """The tracking key of the test, such as `hybrid_rrf.p1`; None outside a test."""

    phase: int | None = None
    """Counted from 1; None outside a test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One test that an evaluation put the unit into."""

    experiment: str
    """Its tracking key, such as `hybrid_rrf.p1`."""

    variation: str
    unit: str
    """The value that was hashed."""

    phase: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What a flag says of a unit."""

    value: object
    """None where the flag stands behind a closed prerequisite."""

    test: Shown | None
    """The test that gave the value; None where it is the same for everybody."""

    shown: tuple[Shown, ...]
    """Every test that the unit is in through this evaluation: those of prerequisites too."""
