"""Stands between an engine and its worker process, and sees to it that nothing survives.

An engine that is killed cannot clean up, and a worker that is killed leaves the processes that user
code has started. The keeper is a small process that runs no user code: when its engine is gone, or
its worker has ended, it ends whatever is left below it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

COMMANDS = 0
"""Where the engine's commands come in; the pipe breaks when the engine is gone."""

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def keep(answers: int) -> None:
    """Go on in a child of this process; stay behind, and end when the child has ended.

    Returns in the child alone, which has a session of its own. What has become of it is told on
    `answers`: its exit status, or the signal that ended it, negative.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    keeper = os.getpid()
    worker = os.fork()
    if worker == 0:
        os.setsid()
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)
        return
    tell(answers, {"worker": worker})
    status = _seen_off(worker)
    with contextlib.suppress(OSError):
        tell(answers, {"ended": status})
    os._exit(0)


def tell(answers: int, message: dict[str, Any]) -> None:
    """Write a message as one line.

    Raises:
        OSError: If nobody listens any more.
    """
    left = memoryview(json.dumps(message).encode() + b"\n")
    while left:
        left = left[os.write(answers, left) :]


def _seen_off(worker: int) -> int:
    """Wait until the worker has ended, or must; end what is left, and return its exit code."""
    bell = _bell()
    poll = select.poll()
    poll.register(bell, select.POLLIN)
    poll.register(COMMANDS, 0)
    status: int | None = None
    while status is None:
        heard = dict(poll.poll(1000))
        rung = os.read(bell, 100) if bell in heard else b""
        if COMMANDS in heard or any(number in rung for number in _ENDING):
            _kill_group(worker)
        status = _reaped(worker)
    _kill_group(worker)
    _end_the_rest()
    return status


def _bell() -> int:
    """Return a descriptor that can be read from when a signal has come, or a child has ended."""
    bell, rope = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(rope, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, *_ENDING):
        signal.signal(number, lambda number, frame: None)
    # A worker that has ended before this line rang no bell.
    os.write(rope, b"\0")
    return bell


def _reaped(worker: int) -> int | None:
    """Take leave of whatever has ended; return the worker's exit code once that has."""
    status = None
    with contextlib.suppress(ChildProcessError):
        while True:
            ended, code = os.waitpid(-1, os.WNOHANG)
            if ended == 0:
                break
            if ended == worker:
                status = os.waitstatus_to_exitcode(code)
    return status


def _end_the_rest() -> None:
    """End what the worker's own processes have become: as their keeper, children of this one."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for child in _children():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children() -> list[int]:
    try:
        return [int(pid) for pid in Path("/proc/thread-self/children").read_text().split()]
    except OSError:
        return []


def _kill_group(worker: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    """Ask the kernel for something that Linux alone has."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
