"""The hash chain: whatever is changed in a history is found where it was changed."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import fields, replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from expplat.domain.poc import Poc, Stage, Transition
from expplat.flow.audit import Audit, verify
from tests.builders import SLUG, a_poc

TRUE = a_poc(Stage.ROLLED_BACK)
LAST = len(TRUE.history) - 1

ROWS = st.integers(0, LAST)
TEXTS = st.text(max_size=8)
HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)

OTHERS = {
    "slug": TEXTS,
    "position": st.integers(-1, 9),
    "stage": st.sampled_from(Stage),
    "at": st.timedeltas(timedelta(-9), timedelta(9)).map(lambda later: TRUE.newest.at + later),
    "by": TEXTS,
    "reason": TEXTS,
    "proposal_sha256": HASHES,
    "traffic_percent": st.floats(0, 100),
    "phase": st.integers(0, 9),
    "evidence": st.dictionaries(TEXTS, st.none() | st.integers() | TEXTS, max_size=2),
    "previous_sha256": HASHES,
    "sha256": HASHES,
}
"""Another value for every field of a row."""


def audit(*pocs: Poc) -> Audit:
    uow = nullcontext()
    uow.pocs = SimpleNamespace(all=lambda but: pocs, unreadable=tuple)
    return verify(uow=uow)


def found(history: tuple[Transition, ...]) -> list[int]:
    return [finding.position for finding in audit(replace(TRUE, history=history)).findings]


def with_row(row: int, step: Transition) -> tuple[Transition, ...]:
    return (*TRUE.history[:row], step, *TRUE.history[row + 1 :])


def test_a_history_that_nobody_touched_is_intact():
    assert audit(TRUE, a_poc(Stage.GRADUATED, slug="other")) == Audit(2, 8, ())


def test_every_field_of_a_row_is_tried():
    assert set(OTHERS) == {field.name for field in fields(Transition)}


@pytest.mark.parametrize("field", OTHERS)
@given(data=st.data(), row=ROWS)
def test_a_field_that_was_changed_in_any_row_is_found(field, data, row):
    other = data.draw(OTHERS[field])
    assume(other != getattr(TRUE.history[row], field))
    changed = replace(TRUE.history[row], **{field: other})

    assert changed.position in found(with_row(row, changed))


@given(row=st.integers(0, LAST - 1), reason=TEXTS)
def test_a_row_that_was_changed_and_hashed_anew_breaks_the_chain_behind_it(row, reason):
    assume(reason != TRUE.history[row].reason)
    before = TRUE.history[row]
    forged = replace(before, reason=reason).chained(before.previous_sha256)

    assert found(with_row(row, forged)) == [row + 1]


@given(row=st.integers(0, LAST - 1))
def test_a_row_that_was_taken_out_is_found(row):
    rest = (*TRUE.history[:row], *TRUE.history[row + 1 :])

    assert row + 1 in found(rest)


@given(row=ROWS)
def test_a_row_that_was_put_in_twice_is_found(row):
    twice = (*TRUE.history[: row + 1], *TRUE.history[row:])

    assert row in found(twice)


@given(order=st.permutations(TRUE.history))
def test_rows_that_changed_places_are_found(order):
    assume(tuple(order) != TRUE.history)

    assert found(tuple(order))


def test_a_step_that_was_never_open_is_found_even_where_its_hashes_are_right():
    proposed = TRUE.history[0]
    leap = replace(proposed, position=1, stage=Stage.GRADUATED).chained(proposed.sha256)

    (finding,) = audit(replace(TRUE, history=(proposed, leap))).findings

    assert finding == (SLUG, 1, "graduated cannot follow proposed.")
