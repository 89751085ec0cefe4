"""reject: stop a POC before it meets users."""

from __future__ import annotations

from expplat.domain.poc import Stage
from expplat.flow.desk import Desk, Step, Stepped, write_step


def reject(slug: str, *, reason: str, desk: Desk) -> Stepped:
    """Stop a proposed or replayed POC, with a reason. Safe to repeat.

    Raises:
        StageError: If the POC has met users; that is what `rollback` is for.
        ConflictError: If the POC has moved on in this moment.
    """
    with desk.uow as uow:
        poc = uow.pocs.get(slug)
    if poc.stage is Stage.REJECTED:
        return Stepped(poc, (), f"{slug} is rejected already.", is_new=False)
    step = Step(stage=Stage.REJECTED, reason=reason, evidence=poc.newest.evidence)
    return Stepped(write_step(poc, step, desk), (), f"{slug} is rejected.", is_new=True)
