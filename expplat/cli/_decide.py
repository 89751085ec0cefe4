"""`expplat decide`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expplat.cli._entry import GATE_NOT_PASSED, command, desk, platform
from expplat.cli._say import say, say_json, verdicts
from expplat.cli._words import AsJson
from expplat.errors import InputError

if TYPE_CHECKING:
    from expplat.flow.decide import Decided, Replayed


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "decide")
    def decide_command(
        slug: Annotated[
            str, typer.Argument(help="The POC; with --replay also SLUG/POSITION, from 0.")
        ],
        replay: Annotated[
            bool, typer.Option("--replay", help="Make a stored verdict again, and compare.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Say what the gates say now, or make a stored verdict again.

        Nobody is let in or out. With --replay the verdicts of a step of the history (the newest
        that stands on evidence) are made again from what was stored, and must be identical.
        """
        if replay:
            _replay(slug, as_json=as_json)
        else:
            _decide(slug, as_json=as_json)


def _decide(slug: str, *, as_json: bool) -> None:
    from expplat.domain.decision import Outcome
    from expplat.flow.decide import decide_now

    decided = decide_now(slug, desk=desk(platform()))
    _tell(decided, as_json=as_json)
    if decided.decision.outcome is not Outcome.GRADUATE:
        raise typer.Exit(GATE_NOT_PASSED)


def _tell(decided: Decided, *, as_json: bool) -> None:
    decision, look = decided.decision, decided.look
    if as_json:
        say_json(
            {
                "slug": decided.slug,
                "look": look.position,
                "decision": decision,
                "verdicts": look.verdicts,
            }
        )
        return
    say(f"{decided.slug}: {decision.outcome}. {decision.reason}")
    say(f"  look {look.position + 1} at {look.snapshot.taken_at:%Y-%m-%d %H:%M}")
    verdicts(look.verdicts)
    for reason in decision.reasons[1:]:
        say(f"  also: {reason}")


def _replay(place: str, *, as_json: bool) -> None:
    from expplat.flow.decide import replay_decision

    slug, separator, number = place.partition("/")
    if separator and not (number.isascii() and number.isdigit()):
        raise InputError(f"{number!r} is no position.", hint="Write SLUG/POSITION, such as poc/3.")
    position = int(number) if separator else None
    done = replay_decision(slug, position, desk=desk(platform()))
    if as_json:
        say_json({**done._asdict(), "identical": done.is_identical,
                  "differences": [one._asdict() for one in done.differences]})  # fmt: skip
    else:
        _compare(done)
    if not done.is_identical:
        raise typer.Exit(GATE_NOT_PASSED)


def _compare(done: Replayed) -> None:
    step = f"{done.slug}/{done.position} ({done.stage})"
    if done.is_identical:
        say(f"{step}: identical, sha256 {done.stored_sha256}")
        return
    say(f"{step}: not what was stored.")
    for one in done.differences:
        say(f"  {one.path}: stored {_short(one.stored)}, again {_short(one.again)}")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:99]}…"
