"""The arms of a replay in one worker: imported, set up, timed while that is done, and closed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from expplat.adapters.replay.answering import Answering, Ground, answering_of
from expplat.adapters.replay.failures import Failure
from expplat.adapters.replay.variant_loading import (
    CodeError,
    is_asynchronous,
    made,
    takes_context,
)
from expplat.domain.call import SetupContext
from expplat.domain.proposal import Variant
from expplat.domain.replay import CONTROL, CONTROL_AGAIN, TREATMENT, ReplayPlan
from expplat.domain.request import ErrorKind, logged_system
from expplat.errors import EngineError

SETUP_TIMEOUT_S = 600.0
"""After which the `setup` of a variant counts as hung."""

CLOSE_TIMEOUT_S = 10.0
"""Time that the `close` of a variant is given."""


class Arms:
    """Who answers in which arm: code, or the log."""

    def __init__(self, plan: ReplayPlan, workspace: Path, ground: Ground) -> None:
        self._variants: Mapping[str, Variant] = {CONTROL: plan.control, TREATMENT: plan.treatment}
        self._workspace = workspace
        self._ground = ground
        self._made: dict[str, Any] = {}
        self.setups_ms: dict[str, float] = {}
        """Wall time by arm, from before the import to the end of `setup`."""

        self.answering: dict[str, Answering] = {}
        """By arm, where code answers."""

        self.logged: dict[str, str] = {
            arm: system
            for arm, variant in self._variants.items()
            if (system := logged_system(variant.use)) is not None
        }
        """The system whose recorded answers an arm is, where the log answers."""

    def set_up(self) -> None:
        """Import the code of both variants and set them up.

        Raises:
            EngineError: If that fails; it says which variant, and why.
        """
        for arm in (CONTROL, TREATMENT):
            if arm not in self.logged:
                started = time.perf_counter()
                self._set_up(arm, self._variants[arm])
                self.setups_ms[arm] = (time.perf_counter() - started) * 1000
        if CONTROL in self.answering:
            self.answering[CONTROL_AGAIN] = self.answering[CONTROL]

    def close(self) -> None:
        """Close the variants that want to be closed; what goes wrong there changes nothing."""
        for variant in self._made.values():
            close = getattr(variant, "close", None)
            if callable(close):
                self._run(close, CLOSE_TIMEOUT_S)

    def loaded(self, what: str, work: Callable[[], Any]) -> Any:
        """Return what user code gives that is run once.

        Raises:
            EngineError: If it fails; it says of what it was.
        """
        found = self._run(partial(_plainly, work), SETUP_TIMEOUT_S)
        return _sound(what, found)

    def _set_up(self, arm: str, variant: Variant) -> None:
        code = self.loaded(f"{arm} ({variant.use})", partial(made, variant))
        self._made[arm] = code
        setup = getattr(code, "setup", None)
        if callable(setup):
            work = partial(setup, self._context(variant)) if takes_context(setup) else setup
            _sound(f"The setup of {arm} ({variant.use})", self._run(work, SETUP_TIMEOUT_S))
        self.answering[arm] = answering_of(code, self._ground)

    def _context(self, variant: Variant) -> SetupContext:
        assets = {name: self._workspace / path for name, path in variant.assets.items()}
        return SetupContext(workspace=self._workspace, assets=assets)

    def _run(self, work: Callable[..., Any], timeout_s: float) -> Any:
        if is_asynchronous(work):
            return self._ground.loop.run(work, timeout_s=timeout_s)
        return self._ground.guard.run(work, timeout_s=timeout_s)


def _sound(what: str, found: Any) -> Any:
    if isinstance(found, Failure):
        raise EngineError(f"{what[0].upper()}{what[1:]} failed: {found.message}")
    return found


def _plainly(work: Callable[[], Any]) -> Any:
    """Do the work; what is wrong with a `use` is said without naming an exception."""
    try:
        return work()
    except CodeError as error:
        return Failure(ErrorKind.VARIANT_BUG, error.message)
