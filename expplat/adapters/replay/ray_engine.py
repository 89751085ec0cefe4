"""Runs a replay on Ray: actors that each stand beside one worker process, as supervisors.

Ray core alone, not `ray.data`: nothing of the log passes through the driver, and a worker's journal
is what it has done, whatever becomes of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import expplat
from expplat.adapters.clean_stdout import stdout_kept_clean
from expplat.adapters.replay.local_engine import LocalCrew
from expplat.adapters.replay.progress import Progressed
from expplat.adapters.replay.ray_crew import RayCrew
from expplat.adapters.replay.ray_session import close_session, ensure_session
from expplat.adapters.replay.sweeps import (
    MACHINE_CLOCK,
    ClockSource,
    Crew,
    hosting_of,
    run_sweeps,
)
from expplat.adapters.replay.worker_child import Hosting
from expplat.domain.replay import Limits, ReplayPlan
from expplat.errors import EngineError, ExpplatError
from expplat.flow.ports import IsEnough, Progress, never


class RayEngine:
    """The engine `ray`: actors on this machine, or on the cluster at `address`.

    On a cluster, the workspace and expplat are sent along; the state folder, which holds the
    shards and the journal, must be the same folder on every node (a shared file system). What
    `EXPPLAT_PASS_ENV` names is sent to the workers from the environment of the command.

    An actor that is lost, with its node perhaps, is replaced, and its shard goes on where the
    journal ends. Without an address, where no Ray can be started on this machine, the same workers
    run without it: then `name` is `local`, and `notice` says why.
    """

    def __init__(
        self, address: str, state_dir: Path, *, clock: ClockSource = MACHINE_CLOCK
    ) -> None:
        self._address = address
        self._state_dir = state_dir
        self._clock = clock
        self.name = "ray"
        """Where the newest run took place: `ray`, or `local`."""

        self.notice = ""
        """Why it was not Ray, for people; empty where it was."""

    def run(
        self,
        plan: ReplayPlan,
        progress: Progress,
        limits: Limits,
        is_enough: IsEnough = never,
    ) -> str:
        """Complete the journal of the plan; what it holds is not called again. See `Engine`.

        Returns:
            The budget that ended it, in a sentence; empty where none did.

        Raises:
            ConflictError: If the folder holds another plan's journal.
            EngineError: If the cluster at the address is out of reach, a variant cannot be set up
                or ends its processes too often; what was journalled stays.
            InputError: If a variant used a model without a price.
            TryLaterError: If another process runs the same replay.
        """
        self.name, self.notice = "ray", ""
        with stdout_kept_clean():
            return run_sweeps(
                plan, progress, is_enough, lambda found: self._hired(plan, limits, found)
            )

    @contextmanager
    def _hired(self, plan: ReplayPlan, limits: Limits, found: Progressed) -> Iterator[Crew]:
        hosting = hosting_of(plan, limits, found, self._clock)
        try:
            ensure_session(
                address=self._address,
                state_dir=self._state_dir,
                workers=plan.measurement.workers,
                code=(Path(plan.workspace), Path(str(expplat.__file__)).parent),
            )
        except EngineError as error:
            if self._address:
                raise
            self.name, self.notice = "local", f"{error.message} The replay ran without it."
            with LocalCrew(hosting) as local:
                yield local
            return
        with self._on_ray(hosting) as crew:
            yield crew

    @contextmanager
    def _on_ray(self, hosting: Hosting) -> Iterator[Crew]:
        is_sound = False
        crew = RayCrew(hosting, is_remote=bool(self._address))
        try:
            with crew:
                yield crew
            is_sound = True
        except ExpplatError:
            is_sound = True
            raise
        finally:
            if not is_sound or crew.losses:
                # Ray reports dead workers on stdout, late: it must not outlive this block.
                close_session()
