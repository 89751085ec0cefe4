"""The official OpenFeature provider for remote evaluation, against a real server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from growthbook import GrowthBook
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from sqlalchemy import select

from expplat.adapters.sql.tables import exposures
from tests.sdk.agents import Agent
from tests.serving import Walk, eventually

PROGRAM = Path(__file__).with_name("openfeature.mjs")
SLUG = "hybrid_rrf"
USERS = [f"user-{i}" for i in range(1_000)]


@pytest.fixture
def provider(address) -> Iterator[object]:
    """Makes clients of OpenFeature whose flags are evaluated by the server."""

    def make(key: str) -> OpenFeatureClient:
        headers = {"Authorization": f"Bearer {key}"}
        api.set_provider(OFREPProvider(address, headers_factory=lambda: headers))
        client = api.get_client()
        # A client that is new serves defaults until its provider is known to be ready.
        eventually(lambda: client.get_string_details(SLUG, "", user("warm")).error_code is None)
        return client

    yield make
    api.shutdown()


def user(name: str) -> EvaluationContext:
    return EvaluationContext(targeting_key=name)


def payload_of(address: str, key: str) -> dict:
    return httpx2.get(f"{address}/api/features/{key}").json()


def by_sdk(payload: dict, name: str) -> tuple[str, str, str | None]:
    """Value, variant and experiment by the SDK, with the same payload in memory."""
    sdk = GrowthBook(features=payload["features"], attributes={"user_id": name, "id": name})
    result = sdk.eval_feature(SLUG)
    seen = result.experimentResult if result.source == "experiment" else None
    variant = seen.key if seen else result.value
    return result.value, variant, result.experiment.key if seen else None


def test_a_thousand_users_get_the_value_and_variant_of_the_sdk(address, walk, provider):
    key = walk.key("client")
    walk.promote(SLUG, 50.0)
    client = provider(key)
    payload = payload_of(address, key)

    answers = []
    for name in USERS:
        details = client.get_string_details(SLUG, "fallback", user(name))
        assert details.error_code is None
        is_split = details.reason == Reason.SPLIT
        assert is_split == bool(details.flag_metadata)
        answers.append((details.value, details.variant, details.flag_metadata.get("experiment")))

    assert answers == [by_sdk(payload, name) for name in USERS]
    assert len(set(answers)) == 3  # both arms, and those outside


def test_what_goes_wrong_is_an_error_of_openfeature_and_the_default(walk, provider):
    walk.promote(SLUG, 50.0)
    client = provider(walk.key("client"))

    nameless = client.get_string_details(SLUG, "fallback", EvaluationContext())
    unknown = client.get_string_details("nothing", "fallback", user("u"))
    mistyped = client.get_boolean_details(SLUG, True, user("u"))

    assert (nameless.value, nameless.error_code) == ("fallback", ErrorCode.TARGETING_KEY_MISSING)
    assert (unknown.value, unknown.error_code) == ("fallback", ErrorCode.FLAG_NOT_FOUND)
    assert (mistyped.value, mistyped.error_code) == (True, ErrorCode.TYPE_MISMATCH)
    assert client.get_boolean_value("expplat", False, EvaluationContext()) is True


def test_graduation_and_rollback_are_seen_at_the_next_evaluation(walk, provider):
    walk.promote(SLUG, 50.0)
    client = provider(walk.key("client"))
    seconds = []

    for change, arm in ((walk.graduate, "treatment"), (walk.roll_back, "control")):
        change(SLUG)
        seconds.append(
            eventually(
                lambda arm=arm: (
                    {client.get_string_value(SLUG, "", user(name)) for name in USERS[:20]} == {arm}
                )
            )
        )

    details = client.get_string_details(SLUG, "fallback", user("u"))
    assert max(seconds) < 1.0
    assert (details.reason, details.variant) == (Reason.STATIC, "control")


def test_evaluations_by_a_key_that_writes_events_are_the_exposures_of_the_test(
    walk: Walk, provider, platform
):
    walk.promote(SLUG, 50.0)
    client = provider(walk.key("client", writes_events=True))

    shown = {}
    for name in USERS[:100] * 2:
        details = client.get_string_details(SLUG, "fallback", user(name))
        if details.reason == Reason.SPLIT:
            shown[name] = details.variant

    with platform.sql_engine.connect() as connection:
        rows = connection.execute(select(exposures.c.unit, exposures.c.variant)).all()
    kept = {unit: variant for unit, variant in rows if unit != "warm"}
    assert kept == shown
    assert len(rows) == len({unit for unit, _ in rows})


@pytest.mark.node
def test_the_node_provider_gives_a_thousand_users_what_the_sdk_does(
    address, walk, node_openfeature
):
    key = walk.key("client")
    walk.promote(SLUG, 50.0)
    eventually(lambda: SLUG in payload_of(address, key)["features"])

    command = ["node", str(PROGRAM), "many", address, key, SLUG, str(len(USERS))]
    done = subprocess.run(
        command, env=node_openfeature, capture_output=True, text=True, check=True, timeout=60
    )

    answers = [(value, variant) for value, variant, _ in json.loads(done.stdout)]
    payload = payload_of(address, key)
    assert answers == [by_sdk(payload, name)[:2] for name in USERS]


@pytest.mark.node
def test_the_provider_for_pages_hears_of_changes_within_a_second(address, walk, node_openfeature):
    key = walk.key("client")
    walk.promote(SLUG, 0.02)
    eventually(lambda: SLUG in payload_of(address, key)["features"])
    command = ["node", str(PROGRAM), "follow", address, key, SLUG, USERS[0]]
    page = Agent(command, node_openfeature)
    try:
        assert page.is_ready
        assert page.shows("control")
        seconds = []
        for change, arm in ((walk.graduate, "treatment"), (walk.roll_back, "control")):
            change(SLUG)
            seconds.append(eventually(lambda arm=arm: page.shows(arm)))
    finally:
        page.close()

    assert max(seconds) < 1.0
