"""Who enters an online test, beyond the share of its ramp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from expplat.domain.plain import READ_STRICTLY


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """A range of the units that the other tests of the group leave alone."""

    __pydantic_config__ = READ_STRICTLY

    group: str
    """Name that the tests share: lower-case letters, digits and underscores. Units are hashed with
    it, so that a range means the same units in each of them."""

    from_percent: Annotated[float, Ge(0), Lt(100)]
    """Where the range begins; a multiple of 0.01."""

    to_percent: Annotated[float, Gt(0), Le(100)]
    """Where it ends; another test of the group may begin there. `ramp_percent` is a share of the
    units of the range."""

    def overlaps(self, other: Exclusion) -> bool:
        """Whether a unit may be in both ranges."""
        return (
            self.group == other.group
            and self.from_percent < other.to_percent
            and other.from_percent < self.to_percent
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """Units that stay on control in every test that names it, and after graduation too.

    Against them the sum of all changes can be measured.
    """

    __pydantic_config__ = READ_STRICTLY

    name: str
    """Name that the tests share: lower-case letters, digits and underscores."""

    percent: Annotated[float, Gt(0), Lt(100)]
    """Share of all units that is held out; a multiple of 0.01, and the same in every test."""
