"""`expplat selftest`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from expplat.cli._entry import GATE_NOT_PASSED, command, desk, platform
from expplat.cli._say import progress_bar, say, say_json, table
from expplat.cli._words import AsJson

if TYPE_CHECKING:
    from expplat.flow.selftest_worlds import Rate


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "selftest")
    def selftest_command(
        slug: Annotated[
            str | None, typer.Argument(help="A POC whose plan is tried; else a built-in one.")
        ] = None,
        tests: Annotated[
            int, typer.Option(min=20, max=100_000, help="Simulated tests in each world.")
        ] = 400,
        seed: Annotated[int, typer.Option(min=0, help="The same seed, the same answer.")] = 7,
        as_json: AsJson = False,
    ) -> None:
        """Measure false passes and missed effects.

        Users and requests that do not exist go through the gates: without effect, with a planted
        one, with harm, and with a wrong split. Nothing is written.
        """
        from expplat.flow.selftest import Trials, proposal_of, selftest

        proposal = proposal_of(slug, desk=desk(platform())) if slug else None
        with progress_bar("selftest", quiet=as_json) as progress:
            rates = selftest(proposal, Trials(tests, seed, progress))
        _tell(rates, as_json=as_json)
        if not all(rate.holds for rate in rates):
            raise typer.Exit(GATE_NOT_PASSED)


def _tell(rates: tuple[Rate, ...], *, as_json: bool) -> None:
    if as_json:
        say_json([_plain(rate) for rate in rates])
        return
    table(
        ("world", "counted", "share ± s.e.", "promised", ""),
        [
            (
                rate.world,
                rate.counted,
                f"{100 * rate.rate:.1f} ± {100 * rate.measured_error:.1f} %",
                f"{'≤' if rate.is_ceiling else '≥'} {100 * rate.bound:.3g} %",
                "pass" if rate.holds else "fail",
            )
            for rate in rates
        ],
    )
    outside = sum(not rate.holds for rate in rates)
    if outside:
        say(f"{outside} of {len(rates)} rates are outside their bound by more than 3 s.e.")
    else:
        say(f"All {len(rates)} rates are inside their bounds, give or take 3 s.e.")


def _plain(rate: Rate) -> dict[str, object]:
    return {
        **rate._asdict(),
        "rate": rate.rate,
        "standard_error": rate.measured_error,
        "holds": rate.holds,
    }
