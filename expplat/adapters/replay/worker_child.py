"""The worker process as its engine sees it: started, told what to do, heard, ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import expplat
from expplat.adapters.replay.worker_environment import allowed
from expplat.domain.plain import to_plain
from expplat.domain.replay import Limits, ReplayPlan

LOG_BYTES = 1 << 20
"""What is kept of all that a worker, and those that took its place, have printed."""

TAIL_BYTES = 4096

END_TIMEOUT_S = 30.0
"""How long the keeper of a worker is given to end what is below it."""

_BOOT = (
    "import sys; sys.path.append(sys.argv[1]); answers = int(sys.argv[2])\n"
    "from expplat.adapters.replay.process_keeper import keep; keep(answers)\n"
    "from expplat.adapters.replay.process import serve; serve(answers)\n"
)
"""The program. The folder that holds expplat comes last on the search path, and hides nothing. The
folder of the replay is there for people who look at a list of processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosting:
    """What every worker of a run is told; an engine pickles it on its way to another machine."""

    plan: ReplayPlan
    workspace: str
    """The folder that holds `pocs/` on the worker's machine; a worker's current folder."""

    limits: Limits
    spent_usd: float = 0.0
    """What earlier runs have spent."""

    started: float = 0.0
    """When the run began, by `time.monotonic` of the worker's machine."""

    passed: Mapping[str, str] | None = None
    """Variables of the environment that it is given by name, beside those on the list."""

    cache: str = ""
    """The file of kept answers; empty where none are kept."""

    clock: str = ""
    """`module:attribute` of what makes the clocks; the machine's own where it is empty."""

    clock_path: str = ""
    """Folder that the module of the clock is imported from."""


class WorkerChild:
    """A worker process, its keeper, and the pipes to both."""

    def __init__(self, hosting: Hosting, slot: int, log: PrintedLog) -> None:
        answers, telling = os.pipe()
        self._answers = answers
        self._heard = b""
        self._worker = 0
        self._process = subprocess.Popen(  # noqa: S603  (our own program)
            [
                *(sys.executable, "-P", "-c", _BOOT),
                *(_package_folder(), str(telling), hosting.plan.folder),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(telling,),
            cwd=hosting.workspace,
            env={**allowed(os.environ), **(hosting.passed or {})},
            start_new_session=True,
            bufsize=0,
        )
        os.close(telling)
        assert self._process.stdout is not None
        threading.Thread(target=log.drain, args=(self._process.stdout,), daemon=True).start()
        self.started = time.monotonic()
        self.tell(_plain(hosting, slot))

    def tell(self, command: Mapping[str, Any]) -> None:
        """Send a command; one that nobody hears any more is lost, and `answer` says why."""
        assert self._process.stdin is not None
        left = memoryview(json.dumps(command).encode() + b"\n")
        with contextlib.suppress(BrokenPipeError, ValueError):
            while left:
                left = left[self._process.stdin.write(left) or 0 :]

    def answer(self, wait_s: float) -> dict[str, Any] | None:
        """Return the next answer, or None where none comes within so many seconds.

        `{"ended": code}` is the last: the exit code, or the signal, negative; None where that is
        not known.
        """
        if b"\n" not in self._heard and not self._hear(wait_s):
            return None
        text, end, self._heard = self._heard.partition(b"\n")
        if not end:
            self._see_off()
            return {"ended": None}
        answer: dict[str, Any] = json.loads(text)
        if "worker" in answer:
            self._worker = answer["worker"]
            return None
        if "ended" in answer:
            self._see_off()
        return answer

    def cut(self) -> None:
        """Let the keeper end the process and whatever it has started; from any thread."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def end(self) -> None:
        """End the process and whatever it has started, and wait until all of it is gone."""
        self.cut()
        self._see_off()

    def _hear(self, wait_s: float) -> bool:
        """Wait for a whole line; return whether there is one, or nobody to write one."""
        # Read first what was written, then look whether the writer is there: not the reverse.
        is_over = self._process.poll() is not None
        ready, _, _ = select.select([self._answers], [], [], 0 if is_over else wait_s)
        heard = os.read(self._answers, 1 << 16) if ready else b""
        self._heard += heard
        return b"\n" in self._heard or (not heard and (is_over or bool(ready)))

    def _see_off(self) -> None:
        """Wait for the keeper, which goes last; do its work where it was killed."""
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.returncode and self._worker:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._worker, signal.SIGKILL)
        if self._answers >= 0:
            os.close(self._answers)
            self._answers = -1


class PrintedLog:
    """What the workers of one slot print: its beginning in a file, its end in memory."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        self.path = path
        """Where that beginning is."""

        self._room = LOG_BYTES
        self._tail = b""

    def drain(self, printed: Any) -> None:
        """Read until all who might print are gone."""
        with printed, self.path.open("ab", buffering=0) as log:
            while text := printed.read(1 << 16):
                self._tail = (self._tail + text)[-TAIL_BYTES:]
                try:
                    log.write(text[: self._room])
                    self._room = max(0, self._room - len(text))
                except OSError:
                    # A full disk must not hold up those who print.
                    self._room = 0

    @property
    def last_line(self) -> str:
        """The last line that is not blank; empty where nothing was printed."""
        lines = self._tail.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _package_folder() -> str:
    return str(Path(str(expplat.__file__)).parents[1])


def _plain(hosting: Hosting, slot: int) -> dict[str, Any]:
    return {
        "plan": to_plain(hosting.plan),
        "workspace": hosting.workspace,
        "limits": to_plain(hosting.limits),
        "spent_usd": hosting.spent_usd,
        "passed_s": time.monotonic() - hosting.started,
        "slot": slot,
        "cache": hosting.cache,
        "clock": hosting.clock,
        "clock_path": hosting.clock_path,
    }
