"""Official SDKs on a real server, through the whole life of a flag."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from growthbook import GrowthBook

from tests.sdk.agents import Agent
from tests.serving import Walk, eventually, free_port, serving

SLUG = "hybrid_rrf"
HERE = Path(__file__).parent
WITHIN_S = 1.0
CONTROL, TREATMENT = ["control"] * 200, ["treatment"] * 200


Start = Callable[[str, str], Agent]


@pytest.fixture(params=["python", pytest.param("node", marks=pytest.mark.node)])
def start(request) -> Iterator[Start]:
    """Starts a streaming client of an SDK on a host with a client key."""
    if request.param == "python":
        program, env = [sys.executable, str(HERE / "agent.py")], dict(os.environ)
    else:
        program, env = ["node", str(HERE / "agent.mjs")], request.getfixturevalue("node")
    agents = []

    def start(host: str, key: str) -> Agent:
        agents.append(Agent([*program, "follow", host, key, SLUG], env))
        return agents[-1]

    yield start
    for agent in agents:
        agent.close()


def promote(walk: Walk, address: str, key: str, percent: float) -> None:
    """Open the test, and wait until the server serves it: clients read once before they stream."""
    walk.promote(SLUG, percent)
    eventually(lambda: SLUG in httpx2.get(f"{address}/api/features/{key}").json()["features"])


def test_graduation_rollback_and_brake_reach_a_stream_within_a_second(
    start, address, walk, platform
):
    key = walk.key("client")
    promote(walk, address, key, 0.02)
    agent = start(address, key)
    assert agent.is_ready
    assert agent.arms == CONTROL
    seconds = []

    walk.graduate(SLUG)
    seconds.append(eventually(lambda: agent.arms == TREATMENT))
    walk.roll_back(SLUG)
    seconds.append(eventually(lambda: agent.arms == CONTROL))
    walk.promote(SLUG, 100.0)
    walk.graduate(SLUG)
    seconds.append(eventually(lambda: agent.arms == TREATMENT))
    platform.flags.close(SLUG, platform.now())
    seconds.append(eventually(lambda: agent.arms == CONTROL))

    assert max(seconds) < WITHIN_S


def test_nobody_leaves_the_treatment_while_the_test_is_widened(start, address, walk):
    key = walk.key("client")
    promote(walk, address, key, 5.0)
    agent = start(address, key)

    for percent in (20.0, 50.0, 100.0):
        seen = len(agent.lines)
        walk.promote(SLUG, percent)
        eventually(lambda seen=seen: len(agent.lines) > seen)

    steps = [line["arms"] for line in agent.lines[1:]]
    assert len(steps) == 4
    for narrow, wide in itertools.pairwise(steps):
        changes = set(zip(narrow, wide, strict=True))
        assert ("treatment", "control") not in changes
    assert set(steps[-1]) == {"control", "treatment"}


def test_a_client_comes_back_after_a_restart_with_what_it_missed(start, platform, walk):
    port, key = free_port(), walk.key("client")
    with serving(platform, port) as address:
        promote(walk, address, key, 0.02)
        agent = start(address, key)
        assert agent.arms == CONTROL
    walk.graduate(SLUG)
    assert agent.arms == CONTROL

    with serving(platform, port):
        assert eventually(lambda: agent.arms == TREATMENT, within_s=20) < 15


@pytest.mark.parametrize("start", [pytest.param("node", marks=pytest.mark.node)], indirect=True)
def test_with_an_unknown_key_a_node_client_has_no_value(start, address):
    agent = start(address, "sdk-unknown")

    assert not agent.is_ready
    assert set(agent.arms) == {None}


def test_with_an_unknown_key_a_python_client_has_the_fallback_of_the_code(address):
    client = GrowthBook(api_host=address, client_key="sdk-unknown", http_read_timeout=2)
    client.load_features()

    assert client.get_feature_value(SLUG, "control") == "control"


def test_the_synchronous_python_client_loads_evaluates_and_tracks(address, walk):
    key = walk.key("client")
    promote(walk, address, key, 100.0)
    seen = []
    client = GrowthBook(
        api_host=address,
        client_key=key,
        attributes={"user_id": "user-1"},
        on_experiment_viewed=lambda **facts: seen.append((facts["experiment"], facts["result"])),
        http_connect_timeout=1,
        http_read_timeout=2,
    )
    client.load_features()

    value = client.get_feature_value(SLUG, "fallback")

    ((experiment, result),) = seen
    assert value in ("control", "treatment")
    assert (experiment.key, result.key, result.hashAttribute) == (f"{SLUG}.p1", value, "user_id")
    assert client.is_on("expplat")
