"""Our OpenAPI against our server: whatever it is sent, it answers as described."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from expplat.api.documented import OPERATIONS
from expplat.flow import keys
from tests.serving import Walk, a_platform, serving

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
UNLIMITED = {
    "EXPPLAT_MAX_EVENTS_PER_SECOND": "0",
    "EXPPLAT_MAX_FLAG_READS_PER_SECOND": "0",
    "EXPPLAT_MAX_READS_PER_MINUTE": "0",
}
STREAMS = ("/sub/{client_key}", "/ofrep/v1/stream")
THROWS = st.integers(0, 59)  # what is asked of a throw modulo 3, 4 and 5 does not hang together


class Described:
    """A server, and keys of every kind for it."""

    def __init__(self, walk: Walk, address: str) -> None:
        self.address = address
        self.schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        self.admin, self.ingest = walk.key("admin"), walk.key("ingest")
        platform = walk.platform
        self.clients = [
            keys.create(
                "client", "test", uow=platform.uow(), now=platform.now, delivery=delivery,
                writes_events=True,
            ).secret
            for delivery in keys.DELIVERIES
        ]  # fmt: skip

        self.seen: dict[tuple[str, str], set[int]] = {}

    def furnish(self, case: schemathesis.Case, dice: int) -> None:
        """Give most cases a key that opens the route, and the name of what is there."""
        names = case.path_parameters
        if "client_key" in names and dice % 4:
            names["client_key"] = self.clients[dice // 4 % len(self.clients)]
        if ("slug" in names or "key" in names) and dice % 3:
            names["slug" if "slug" in names else "key"] = "hybrid_rrf"
        if case.path == "/track" and dice % 4:
            case.query["client_key"] = self.clients[0]
        if dice % 5:
            case.headers["Authorization"] = f"Bearer {self._key_of(case.path)}"

    def _key_of(self, path: str) -> str:
        if path.startswith("/ofrep/"):
            return self.clients[0]
        return self.admin if path.startswith("/v1/pocs") else self.ingest

    def check(self, case: schemathesis.Case, dice: int) -> None:
        self.furnish(case, dice)
        seen = self.seen.setdefault((case.method.lower(), case.path), set())
        if case.path not in STREAMS:
            answer = case.call_and_validate(base_url=self.address, checks=CHECKS, timeout=20)
            seen.add(answer.status_code)
            return
        request = case.as_transport_kwargs(base_url=self.address) | {"timeout": 20, "stream": True}
        with requests.request(**request) as response:
            if response.status_code == 200:
                # A stream has no end: its first line stands for all of it.
                response._content = next(response.iter_lines())
            case.validate_response(response, checks=CHECKS)
            seen.add(response.status_code)


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    platform = a_platform(tmp_path_factory.mktemp("described") / "workspace", **UNLIMITED)
    walk = Walk(platform)
    walk.promote("hybrid_rrf", 50.0)
    with serving(platform) as address:
        yield Described(walk, address)
    platform.sql_engine.dispose()


def hold(described: Described, method: str, path: str, examples: int) -> None:
    """Send so many requests, half of them valid and half of them not, the same ones each time."""
    operation = described.schema[path][method]
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))

    @given(case=cases, dice=THROWS)
    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def every(case: schemathesis.Case, dice: int) -> None:
        described.check(case, dice)

    every()


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_as_described(described, method, path):
    hold(described, method, path, 25)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_as_described_to_500_requests(described, method, path):
    hold(described, method, path, 500)

    assert 200 in described.seen[method, path], "no request was a good one"


def test_every_route_says_what_it_answers_and_nothing_else_is_said(described):
    document = requests.get(f"{described.address}/openapi.json", timeout=20).json()

    routes = {(method, path) for path, found in document["paths"].items() for method in found}
    assert routes == OPERATIONS.keys()
    assert "HTTPValidationError" not in document["components"]["schemas"]
