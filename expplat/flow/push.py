"""push: flags as they are served here, brought to a flag server that services already ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from expplat.domain.proposal import Proposal
from expplat.errors import ConfigurationError, DriftError, InputError, NotFoundError
from expplat.flow.flags import FlagState, flag_states, proposals_needed
from expplat.flow.ports import Flags, SpecReader, UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What became of one flag."""

    slug: str
    sentence: str
    """What it serves."""

    writes: tuple[str, ...] = ()
    """What was written, or would be; empty where it was served so already."""

    is_dry_run: bool = False
    fault: str = ""
    """Why it could not be pushed; empty where it was."""

    hint: str = ""
    exit_status: int = 0


class FlagServer(Protocol):
    """A server of flags that others run."""

    def push(self, state: FlagState, *, is_dry_run: bool = False) -> Pushed:
        """Bring a flag to what it serves here, or only say what that would take.

        Raises:
            InputError: If the flag cannot be pushed, or is not ours on the server.
            DriftError: If the server holds something else than was written.
            ConfigurationError: If we may not do this.
            FlagServerError: If the server does not answer.
        """


def served_flags(*, uow: UnitOfWork, reader: SpecReader, flags: Flags) -> tuple[FlagState, ...]:
    """Return what every flag serves now, by slug.

    Raises:
        DependencyError: If the database or the emergency brake cannot be read.
    """
    with uow:
        pocs = uow.pocs.all()
        texts = {sha256: uow.proposals.text(sha256) for sha256 in proposals_needed(pocs)}
    return flag_states(pocs, _readable(texts, reader), flags.closed())


def _readable(texts: Mapping[str, str], reader: SpecReader) -> dict[str, Proposal]:
    proposals = {}
    for sha256, text in texts.items():
        # A file of another version of expplat: its flag is served closed.
        with suppress(InputError, ConfigurationError):
            proposals[sha256] = reader.thaw(text)
    return proposals


def push_flags(
    slugs: Sequence[str],
    states: Sequence[FlagState],
    *,
    server: FlagServer,
    is_dry_run: bool = False,
) -> Iterator[Pushed]:
    """Push flags one by one, and say of each what became of it; those that close come first.

    A flag that cannot be pushed does not keep the others; a server that is away does.

    Args:
        slugs: Which; none for all.
        states: Every flag.
        server: Where to.
        is_dry_run: Whether to write nothing.

    Raises:
        NotFoundError: If there is no flag of one of these names; then nothing is pushed.
        ConfigurationError: If we may not do this.
        FlagServerError: If the server does not answer.
    """
    unknown = sorted(set(slugs) - {state.slug for state in states})
    if unknown:
        raise NotFoundError(
            f"There is no flag {unknown[0]!r}.", hint="`expplat flags show` lists them."
        )
    for state in _in_order(states):
        if slugs and state.slug not in slugs:
            continue
        try:
            yield server.push(state, is_dry_run=is_dry_run)
        except (InputError, DriftError) as error:
            yield Pushed(
                slug=state.slug,
                sentence="",
                is_dry_run=is_dry_run,
                fault=error.message,
                hint=error.hint,
                exit_status=error.exit_status,
            )


def _in_order(states: Sequence[FlagState]) -> list[FlagState]:
    """Return those that close first, and every flag after the one that it requires."""
    required = {state.slug: state.requires for state in states}

    def depth(state: FlagState) -> int:
        above, steps = state.requires, 0
        while above in required and steps < len(states):
            above, steps = required[above], steps + 1
        return steps

    return sorted(states, key=lambda s: (s.is_test or s.is_graduated, depth(s), s.slug))
