"""rollback: serve control to everyone, at once, and write down why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expplat.domain.poc import Stage
from expplat.flow.desk import Desk, Step, Stepped, write_step


def rollback(
    slug: str, *, reason: str, desk: Desk, evidence: Mapping[str, Any] | None = None
) -> Stepped:
    """Close the flag first, then commit; anyone may, no gate is asked.

    The brake closes the flag even while the database is away, and stays on until the next test is
    promoted. Safe to repeat.

    Raises:
        StageError: If users are not in a test of the POC, nor served its treatment.
        DatabaseError: If the commit failed; the flag is closed all the same.
    """
    with desk.uow as uow:
        poc = uow.pocs.get(slug)
    if poc.stage is Stage.ROLLED_BACK:
        return Stepped(poc, (), f"{slug} is rolled back already.", is_new=False)
    poc.must_be_open_for(Stage.ROLLED_BACK)
    desk.flags.close(slug, desk.now())
    step = Step(stage=Stage.ROLLED_BACK, reason=reason, evidence=evidence or {})
    poc = write_step(slug, step, desk)
    return Stepped(poc, (), f"{slug} is rolled back; everyone is served control.", is_new=True)
