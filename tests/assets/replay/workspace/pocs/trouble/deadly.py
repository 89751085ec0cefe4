"""Variants that no guard within their process can hold."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import Any

from expplat import Call, Request
from pocs.trouble.variants import noted, sound


class Deadly:
    """Is sound, but for the requests whose ids it is given trouble for."""

    def __init__(self, trouble: dict[str, str], note: str = "") -> None:
        self.trouble = trouble
        self.note = note

    def close(self) -> None:
        noted(self.note and f"{self.note}.closed", Request(request_id="closed", input={}))

    def __call__(self, request: Request, call: Call) -> Any:
        kind = self.trouble.get(request.request_id)
        if kind is None:
            return sound(request, call, note=self.note)
        noted(self.note, request)
        return getattr(self, kind)(request)

    def hangs_deaf(self, request: Request) -> None:
        noted(f"{self.note}.hung", request)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        ctypes.CDLL(None).sleep(600)

    def hangs(self, request: Request) -> None:
        time.sleep(600)

    def exits(self, request: Request) -> None:
        os._exit(3)

    def segfaults(self, request: Request) -> None:
        ctypes.string_at(0)

    def is_killed(self, request: Request) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def hogs(self, request: Request) -> str:
        return str(len(bytearray(1 << 30)))

    def takes_little(self, request: Request) -> str:
        return str(len(bytearray(1 << 24)))

    def leaves_children(self, request: Request) -> str:
        """Leave a child, and one in a session of its own, both of which outlive the call."""
        subprocess.Popen([sys.executable, "-c", _SLEEPER, self.note])
        subprocess.Popen([sys.executable, "-c", _SLEEPER, self.note], start_new_session=True)
        return "so"

    def leaves_children_and_hangs(self, request: Request) -> None:
        self.leaves_children(request)
        self.hangs_deaf(request)

    def forks_and_comes_back(self, request: Request) -> str:
        if os.fork() == 0:
            return "from the copy"
        time.sleep(0.3)
        return "from the original"

    def floods(self, request: Request) -> str:
        for _ in range(64):
            os.write(1, b"x" * (1 << 20))
        return "so"

    def reads(self, request: Request) -> str:
        return sys.stdin.read()

    def shows_itself(self, request: Request) -> str:
        with open(f"{self.note}.seen", "w") as file:
            file.write("\n".join([str(os.getpid()), os.getcwd(), *sorted(os.environ)]))
        return "so"


class DiesInSetup(Deadly):
    """Ends its process before it answers anything."""

    def setup(self) -> None:
        print("there is no index here", file=sys.stderr, flush=True)
        os._exit(1)


_SLEEPER = "import sys, time; mark = sys.argv[1]; time.sleep(600)"
