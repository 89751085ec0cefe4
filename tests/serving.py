"""Servers and POCs for tests of what production services meet."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
import uvicorn

from expplat.api.app import create_app
from expplat.api.limits.patience import PatientProtocol
from expplat.domain.plain import sha256_of, to_plain
from expplat.domain.poc import Poc, Stage, Transition
from expplat.flow import keys
from expplat.settings import Settings
from expplat.wiring import Platform
from tests.builders import a_proposal, non_inferiority, superiority


def a_workspace(folder: Path) -> Path:
    """Make an empty workspace."""
    for name in ("experiments", "pocs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return folder


def environment(workspace: Path, **more: str) -> dict[str, str]:
    return {"EXPPLAT_WORKSPACE": str(a_workspace(workspace))} | more


def a_platform(workspace: Path, **more: str) -> Platform:
    return Platform(settings=Settings.from_env(environment(workspace, **more), workspace))


def a_file(slug: str, unit: str = "user_id") -> str:
    """Return an experiment file as it would be submitted."""
    proposal = a_proposal(
        slug=slug,
        metrics=("recall_at_5", "latency_ms", "cost_usd_per_1k"),
        offline_gates=(
            superiority("recall_at_5", 0.02),
            non_inferiority("latency_ms", 20.0),
            non_inferiority("cost_usd_per_1k", 1.0),
        ),
    )
    proposal = replace(proposal, online=replace(proposal.online, unit=unit))
    return json.dumps(_without_nones(to_plain(proposal)), indent=1)


def _without_nones(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nones(v) for k, v in value.items() if v is not None}
    return [_without_nones(item) for item in value] if isinstance(value, list) else value


@dataclass
class Walk:
    """Moves POCs along, straight in the database, as another process would."""

    platform: Platform

    def step(self, slug: str, stage: Stage, *, percent: float = 0.0, unit: str = "user_id") -> Poc:
        text = a_file(slug, unit)
        with self.platform.uow() as uow:
            poc = uow.pocs.find(slug)
            phase = poc.newest.phase if poc.history else 0
            opens = stage is Stage.PROMOTED and poc.stage is not Stage.PROMOTED
            moved = poc.advance(
                Transition(
                    slug=slug,
                    position=0,
                    stage=stage,
                    at=datetime.now(UTC),
                    by="test",
                    reason="for a test",
                    proposal_sha256=sha256_of(text.encode()),
                    traffic_percent=percent,
                    phase=phase + 1 if opens else phase,
                )
            )
            uow.proposals.add(
                sha256=moved.newest.proposal_sha256, slug=slug, text=text, at=moved.newest.at
            )
            uow.pocs.add_newest(moved)
            uow.commit()
        return moved

    def promote(self, slug: str, percent: float, *, unit: str = "user_id") -> None:
        """Take the shortest way into the online test, or widen it."""
        with self.platform.uow() as uow:
            stage = uow.pocs.find(slug).stage
        if stage is not Stage.PROMOTED:
            self.step(slug, Stage.PROPOSED, unit=unit)
            self.step(slug, Stage.REPLAYED, unit=unit)
        self.step(slug, Stage.PROMOTED, percent=percent, unit=unit)

    def graduate(self, slug: str) -> None:
        self.step(slug, Stage.GRADUATED, percent=100.0)

    def roll_back(self, slug: str) -> None:
        self.step(slug, Stage.ROLLED_BACK)

    def revoke(self, secret: str) -> None:
        """Revoke the key of a secret."""
        uow, now = self.platform.uow(), self.platform.now
        keys.revoke(keys.key_id_of(secret), uow=uow, now=now)

    def key(self, kind: str, **options: Any) -> str:
        """Make a key and return its secret."""
        return self.new_key(kind, **options).secret

    def new_key(self, kind: str, **options: Any) -> keys.NewKey:
        """Make a key; also what encrypts its flags is in the answer."""
        uow, now = self.platform.uow(), self.platform.now
        return keys.create(kind, "test", uow=uow, now=now, **options)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def serving(platform: Platform, port: int | None = None, **options: Any) -> Iterator[str]:
    """Run the server in a thread of this process; yield its address."""
    port = port or free_port()
    app = create_app(platform, **options)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="warning", http=PatientProtocol
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started or not thread.is_alive(), within_s=15)
    assert server.started, "the server did not start"
    yield f"http://127.0.0.1:{port}"
    app.state.service.bell.end()
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive(), "the server did not end"


class ServerProcess:
    """The server as a process of its own, as people start it."""

    def __init__(self, workspace: Path, port: int | None = None, **more: str) -> None:
        self.port = port or free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "uvicorn", "--factory", "expplat.api.app:create_app_from_env",
                "--host", "127.0.0.1", "--port", str(self.port),
            ],
            env=os.environ | environment(workspace, **more),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        self._printed: list[str] = []
        # Read on and on: a server whose log nobody reads stands still once the pipe is full.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        eventually(lambda: self.process.poll() is not None or is_healthy(self.address), 20)
        assert self.process.poll() is None, self.output()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(10)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def output(self) -> str:
        """Everything that it printed; once it has ended."""
        self._reader.join(10)
        return "".join(self._printed)

    def _read(self) -> None:
        assert self.process.stdout is not None
        self._printed.extend(self.process.stdout)

    def terminate(self) -> float:
        """Send SIGTERM; return how many seconds it took to end."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        return time.monotonic() - started


def is_healthy(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/health", timeout=1).status_code == 200
    except httpx2.TransportError:
        return False


def eventually(is_so: Callable[[], object], within_s: float = 5.0) -> float:
    """Wait until it is so; return how many seconds that took."""
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() - started < within_s, f"not so within {within_s} s"
        time.sleep(0.01)
    return time.monotonic() - started


class EventStream:
    """A raw server-sent-events client that keeps every line, with the moment it came."""

    def __init__(self, url: str) -> None:
        self.lines: list[str] = []
        self.payloads: list[dict[str, Any]] = []
        self.is_over = False
        self._url = url
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def served(self, slug: str) -> Any:
        """What the newest payload says of a flag; None before the first."""
        return self.payloads[-1]["features"].get(slug) if self.payloads else None

    def serves(self, slug: str, percent: float) -> bool:
        """Whether the newest payload tests a flag at this share of traffic."""
        rules = (self.served(slug) or {}).get("rules")
        return bool(rules) and rules[0]["coverage"] == percent / 100

    def join(self) -> None:
        self._thread.join(10)

    def _read(self) -> None:
        try:
            with httpx2.stream("GET", self._url, timeout=60) as response:
                for line in response.iter_lines():
                    self.lines.append(line)
                    if line.startswith("data: {"):
                        self.payloads.append(json.loads(line.removeprefix("data: ")))
        except httpx2.TransportError:
            pass
        self.is_over = True
