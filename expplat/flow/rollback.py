"""rollback: serve control to everyone, at once, and write down why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expplat.domain.poc import Poc, Stage
from expplat.errors import ConfigurationError, DependencyError, ExpplatError, TryLaterError
from expplat.flow.desk import Desk, Step, Stepped, add_step


def rollback(
    slug: str, *, reason: str, desk: Desk, evidence: Mapping[str, Any] | None = None
) -> Stepped:
    """Close the flag first, then commit; anyone may, no gate is asked.

    The brake closes the flag even while the database is away, and does not hold the next test of
    the POC. Safe to repeat.

    Raises:
        StageError: If users are not in a test of the POC, nor served its treatment.
        DatabaseError: If the database is away; the flag is closed all the same.
        ConfigurationError: If it has another schema; the flag is closed all the same.
    """
    poc = _read(slug, desk)
    if poc.stage is Stage.ROLLED_BACK:
        if slug in desk.flags.closed():  # a brake that was pulled in the dark learns of which test
            desk.flags.close(slug, desk.now(), poc.newest.phase)
        return Stepped(poc, (), f"{slug} is rolled back already.", is_new=False)
    poc.must_be_open_for(Stage.ROLLED_BACK)
    desk.flags.close(slug, desk.now(), poc.newest.phase)
    step = Step(stage=Stage.ROLLED_BACK, reason=reason, evidence=evidence or {})
    with desk.uow as uow:
        poc = add_step(uow.pocs.get(slug), step, desk)  # whatever its test has come to meanwhile
        uow.commit()
    return Stepped(poc, (), f"{slug} is rolled back; everyone is served control.", is_new=True)


def _read(slug: str, desk: Desk) -> Poc:
    """Return the POC; where it cannot be read, close its flag, then complain."""
    try:
        with desk.uow as uow:
            return uow.pocs.get(slug)
    except (DependencyError, TryLaterError) as error:
        raise _closed(slug, error, "Roll back again when the database answers.", desk) from error
    except ConfigurationError as error:
        raise _closed(slug, error, error.hint, desk) from error


def _closed(slug: str, error: ExpplatError, advice: str, desk: Desk) -> ExpplatError:
    """Close the flag of a test that cannot be read; return the error that says so."""
    desk.flags.close(slug, desk.now())
    return type(error)(error.message, hint=f"The flag is closed here all the same. {advice}")
