"""rollback: serve control to everyone, at once, and write down why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expplat.domain.poc import Poc, Stage
from expplat.errors import DependencyError, TryLaterError
from expplat.flow.desk import Desk, Step, Stepped, add_step


def rollback(
    slug: str, *, reason: str, desk: Desk, evidence: Mapping[str, Any] | None = None
) -> Stepped:
    """Close the flag first, then commit; anyone may, no gate is asked.

    The brake closes the flag even while the database is away, and stays on until the next test is
    promoted. Safe to repeat.

    Raises:
        StageError: If users are not in a test of the POC, nor served its treatment.
        DatabaseError: If the database is away; the flag is closed all the same.
    """
    poc = _read(slug, desk)
    if poc.stage is Stage.ROLLED_BACK:
        return Stepped(poc, (), f"{slug} is rolled back already.", is_new=False)
    poc.must_be_open_for(Stage.ROLLED_BACK)
    desk.flags.close(slug, desk.now())
    step = Step(stage=Stage.ROLLED_BACK, reason=reason, evidence=evidence or {})
    with desk.uow as uow:
        poc = add_step(uow.pocs.get(slug), step, desk)  # whatever its test has come to meanwhile
        uow.commit()
    return Stepped(poc, (), f"{slug} is rolled back; everyone is served control.", is_new=True)


def _read(slug: str, desk: Desk) -> Poc:
    """Return the POC; where the database does not answer, close its flag, then complain."""
    try:
        with desk.uow as uow:
            return uow.pocs.get(slug)
    except (DependencyError, TryLaterError) as error:
        desk.flags.close(slug, desk.now())
        raise type(error)(
            error.message,
            hint="The flag is closed here all the same. Roll back again when the database answers.",
        ) from error
