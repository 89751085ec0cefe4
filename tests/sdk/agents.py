"""SDKs in processes of their own."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import Any

from tests.serving import eventually


class Agent:
    """What an SDK says about its users, and each change."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.lines: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        eventually(lambda: len(self.lines) >= 2, within_s=20)

    @property
    def is_ready(self) -> bool:
        return self.lines[0]["ready"]

    @property
    def arms(self) -> list[str | None]:
        return self.lines[-1]["arms"]

    @property
    def tracked(self) -> dict[str, list[str]]:
        """Tracking key and variation by user."""
        return self.lines[-1]["tracked"]

    @property
    def slow_share(self) -> float:
        """Of all evaluations up to the last change, the share of those that took 10 ms or more."""
        return self.lines[-1]["slow"] / self.lines[-1]["evaluations"]

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def shows(self, arm: str) -> bool:
        """Whether every user is in one arm."""
        return set(self.arms) == {arm}

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(5)
        self._process.stdout.close()

    def _read(self) -> None:
        for line in self._process.stdout:
            self.lines.append(json.loads(line))
