"""Official SDKs whose flags are encrypted, or evaluated here; and a server that is killed."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from growthbook import GrowthBook

from tests.sdk.agents import Agent
from tests.serving import ServerProcess, Walk, a_platform, eventually

SLUG = "hybrid_rrf"
HERE = Path(__file__).parent
WITHIN_S = 1.0
NODE = pytest.mark.node
CLASSES = [
    "python follow",
    "python single",
    pytest.param("node follow", marks=NODE),
    pytest.param("node single", marks=NODE),
]


class Starter:
    """Starts SDKs of whatever language and class."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request
        self.agents: list[Agent] = []

    def __call__(self, sdk: str, *arguments: str) -> Agent:
        language, mode = sdk.split()
        if language == "python":
            program, env = [sys.executable, str(HERE / "agent.py")], dict(os.environ)
        else:
            program = ["node", str(HERE / "agent.mjs")]
            env = self._request.getfixturevalue("node")
        self.agents.append(Agent([*program, mode, *arguments], env))
        return self.agents[-1]


@pytest.fixture
def start(request) -> Iterator[Starter]:
    starter = Starter(request)
    yield starter
    for agent in starter.agents:
        agent.close()


def promote(walk: Walk, address: str, percent: float) -> None:
    """Open the test, and wait until the server serves it: clients read once before they stream."""
    path = f"{address}/api/features/{walk.key('client')}"
    walk.promote(SLUG, percent)
    eventually(lambda: SLUG in httpx2.get(path).json()["features"])


@pytest.mark.parametrize("sdk", CLASSES)
def test_encrypted_flags_are_what_plain_ones_are_and_change_within_a_second(
    start, address, walk, platform, sdk
):
    plain = walk.key("client")
    sealed = walk.new_key("client", delivery="encrypted")
    promote(walk, address, 100.0)

    agent = start(sdk, address, sealed.secret, SLUG, sealed.key.payload_key)

    assert agent.is_ready
    assert agent.arms == start(sdk, address, plain, SLUG).arms
    assert set(agent.arms) == {"control", "treatment"}
    seconds = []
    for change, arm in ((walk.graduate, "treatment"), (walk.roll_back, "control")):
        change(SLUG)
        seconds.append(eventually(lambda arm=arm: agent.shows(arm)))
    assert max(seconds) < WITHIN_S


def test_a_client_with_the_wrong_key_has_the_fallback_of_the_code(address, walk):
    key = walk.key("client", delivery="encrypted")
    other = walk.new_key("client", delivery="encrypted").key.payload_key
    client = GrowthBook(api_host=address, client_key=key, decryption_key=other)

    client.load_features()

    assert client.get_feature_value(SLUG, "control") == "control"


@pytest.mark.parametrize("sdk", ["python remote", pytest.param("node remote", marks=NODE)])
def test_flags_that_are_evaluated_here_are_what_the_sdk_would_say(start, address, walk, sdk):
    promote(walk, address, 100.0)
    arms = start("python follow", address, walk.key("client"), SLUG).arms
    users = [arms.index("control"), arms.index("treatment")]
    key = walk.key("client", delivery="remote")

    agents = [start(sdk, address, key, SLUG, f"user-{user}") for user in users]

    assert all(agent.is_ready for agent in agents)
    assert [agent.arms for agent in agents] == [["control"], ["treatment"]]
    for agent, user in zip(agents, users, strict=True):
        eventually(lambda agent=agent: agent.tracked)
        assert agent.tracked == {f"user-{user}": [f"{SLUG}.p1", arms[user]]}
    seconds = []
    for change, arm in ((walk.graduate, "treatment"), (walk.roll_back, "control")):
        change(SLUG)
        seconds.append(eventually(lambda arm=arm: all(agent.shows(arm) for agent in agents)))
    assert max(seconds) < WITHIN_S


@pytest.mark.long
@NODE
def test_a_server_that_is_killed_under_load_costs_no_evaluation(start, tmp_path):
    platform = a_platform(tmp_path / "workspace")
    walk = Walk(platform)
    plain, sealed = walk.key("client"), walk.new_key("client", delivery="encrypted")
    walk.promote(SLUG, 100.0)
    sdks = ("python follow", "python single", "node follow", "node single")
    # With a key of its own: one that asks so often is told to wait.
    other = walk.key("client")
    with ServerProcess(tmp_path / "workspace") as server, _load(server, other):
        agents = [start(sdk, server.address, plain, SLUG) for sdk in sdks]
        seal = (sealed.secret, SLUG, sealed.key.payload_key)
        agents += [start(sdk, server.address, *seal) for sdk in sdks]
        before = [agent.arms for agent in agents]
        assert all(agent.is_ready for agent in agents)

        server.process.kill()
        server.process.wait()
        walk.graduate(SLUG)

        assert [agent.arms for agent in agents] == before
        with ServerProcess(tmp_path / "workspace", port=server.port):
            eventually(lambda: all(agent.shows("treatment") for agent in agents), within_s=40)
            walk.roll_back(SLUG)
            eventually(lambda: all(agent.shows("control") for agent in agents), within_s=5)
    platform.sql_engine.dispose()

    assert all(agent.is_running for agent in agents)
    for agent in agents:
        seen = [line["arms"] for line in agent.lines[1:]]
        for arms in zip(*seen, strict=True):
            # Through the test, the graduation and the rollback, and nothing between them.
            changes = [arm for arm, _ in itertools.groupby(arms)]
            assert changes == [*dict.fromkeys((arms[0], "treatment")), "control"]


@pytest.mark.long
@NODE
def test_a_server_that_is_frozen_for_a_minute_slows_no_evaluation(start, tmp_path):
    platform = a_platform(tmp_path / "workspace")
    walk = Walk(platform)
    key = walk.key("client")
    walk.promote(SLUG, 100.0)
    with ServerProcess(tmp_path / "workspace") as server:
        sdks = ("python follow", "python single", "node follow", "node single")
        agents = [start(sdk, server.address, key, SLUG) for sdk in sdks]
        before = [agent.lines[-1] for agent in agents]

        server.process.send_signal(signal.SIGSTOP)
        time.sleep(60)
        assert [agent.lines[-1] for agent in agents] == before
        server.process.send_signal(signal.SIGCONT)
        walk.roll_back(SLUG)

        eventually(lambda: all(agent.shows("control") for agent in agents), within_s=40)
    platform.sql_engine.dispose()

    for agent in agents:
        assert agent.lines[-1]["evaluations"] > 20_000
        # One in a thousand may wait for another process on the same core.
        assert agent.slow_share <= 0.001


class _load:  # noqa: N801  (used as a verb)
    """Asks a server for its flags as fast as four threads can, whatever it answers."""

    def __init__(self, server: ServerProcess, key: str) -> None:
        self._url = f"{server.address}/api/features/{key}"
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(4)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(5)

    def _ask(self) -> None:
        with httpx2.Client(timeout=2) as client:
            while not self._is_over.is_set():
                try:
                    client.get(self._url)
                except httpx2.TransportError:
                    self._is_over.wait(0.1)
