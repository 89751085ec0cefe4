"""OTLP over HTTP, over a real socket; official exporters are tried beside the other SDKs."""

from __future__ import annotations

import gzip
import json
import random
import time

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from sqlalchemy import select

from expplat.adapters.sql.tables import exposures, outcomes
from expplat.api import telemetry
from expplat.flow.keys import key_id_of

PROTOBUF = "application/x-protobuf"
PATHS = ("/v1/traces", "/v1/logs")
TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


@pytest.fixture
def server(shared_server):
    return shared_server


@pytest.fixture
def secret(shared_walk):
    """An ingest key of this test's own."""
    return shared_walk.key("ingest")


@pytest.fixture
def post(server, secret):
    def post(path, content, media_type="application/json", **more):
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": media_type} | more
        content = json.dumps(content) if isinstance(content, dict) else content
        return server.post(path, content=content, headers=headers)

    return post


@pytest.fixture
def kept(shared_walk, secret):
    """What is kept of this test's key, by id."""

    def kept(table):
        with shared_walk.platform.sql_engine.connect() as connection:
            wanted = select(table).where(table.c.source == key_id_of(secret))
            return {row["event_id"]: dict(row) for row in connection.execute(wanted).mappings()}

    return kept


def attribute(key, value):
    kind = {str: "stringValue", bool: "boolValue", int: "intValue", float: "doubleValue"}
    return {"key": key, "value": {kind[type(value)]: value}}


def attributes(**values):
    return [attribute(key.replace("__", "."), value) for key, value in values.items()]


FLAG = attributes(
    feature_flag__key="hybrid_rrf",
    feature_flag__result__variant="treatment",
    feature_flag__context__id="u1",
)


def traces(*spans):
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def logs(*records):
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": list(records)}]}]}


def a_span(now_ns=None, **changes):
    now_ns = now_ns or time.time_ns()
    span = {
        "traceId": TRACE,
        "spanId": SPAN,
        "kind": 2,
        "startTimeUnixNano": str(now_ns - 250_000_000),
        "endTimeUnixNano": str(now_ns),
        "attributes": attributes(user__id="u1"),
        "status": {"code": 2},
    }
    return span | changes


def a_record(**changes):
    record = {
        "timeUnixNano": str(time.time_ns()),
        "eventName": "feature_flag.evaluation",
        "attributes": FLAG,
    }
    return record | changes


def test_json_spans_become_outcomes_with_ids_in_hex(post, kept):
    answer = post("/v1/traces", traces(a_span()))

    assert (answer.status_code, answer.json()) == (200, {})
    found = kept(outcomes)
    assert set(found) == {f"{TRACE}:{SPAN}:latency_ms", f"{TRACE}:{SPAN}:error"}
    assert found[f"{TRACE}:{SPAN}:latency_ms"]["value"] == 250.0
    assert found[f"{TRACE}:{SPAN}:error"]["value"] == 1.0


def test_the_same_span_as_json_and_as_protobuf_is_one(post, kept):
    now_ns = time.time_ns()
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id = bytes.fromhex(TRACE), bytes.fromhex(SPAN)
    span.kind, span.status.code = 2, 2
    span.start_time_unix_nano, span.end_time_unix_nano = now_ns - 250_000_000, now_ns
    span.attributes.add(key="user.id").value.string_value = "u1"

    post("/v1/traces", traces(a_span(now_ns)))
    answer = post("/v1/traces", request.SerializeToString(), PROTOBUF)

    assert answer.content == b""
    assert answer.headers["content-type"] == PROTOBUF
    assert len(kept(outcomes)) == 2


def test_a_log_record_becomes_an_exposure_and_sent_again_stays_one(post, kept):
    record = a_record()

    for _ in range(2):
        assert post("/v1/logs", logs(record)).json() == {}

    (exposure,) = kept(exposures).values()
    assert (exposure["unit"], exposure["variation"]) == ("u1", "treatment")
    assert exposure["slug"] == "hybrid_rrf"


def test_what_is_refused_is_counted_by_span_and_never_an_error(post):
    old = "1000000000000000000"
    wrong = a_span(startTimeUnixNano=old, endTimeUnixNano=old, spanId="0000000000000001")

    answer = post("/v1/traces", traces(wrong, a_span()))

    assert answer.status_code == 200
    partial = answer.json()["partialSuccess"]
    assert partial["rejectedSpans"] == "1"
    assert "too_old" in partial["errorMessage"]


def test_protobuf_is_answered_in_protobuf(post):
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.event_name = "feature_flag.evaluation"
    for key, value in (("feature_flag.key", "nothing"), ("feature_flag.result.variant", "x")):
        record.attributes.add(key=key).value.string_value = value

    answer = post("/v1/logs", request.SerializeToString(), PROTOBUF)

    told = ExportLogsServiceResponse.FromString(answer.content).partial_success
    assert told.rejected_log_records == 1
    assert "unknown_experiment" in told.error_message


def test_a_call_without_a_user_is_told_though_nothing_is_refused(post):
    span = a_span(attributes=attributes(gen_ai__request__model="m"), kind=3)

    partial = post("/v1/traces", traces(span)).json()["partialSuccess"]

    assert "rejectedSpans" not in partial
    assert "without a user" in partial["errorMessage"]


@pytest.mark.parametrize("path", PATHS)
def test_an_empty_request_is_fine(post, path):
    assert post(path, {}).json() == {}
    assert post(path, b"", PROTOBUF).content == b""


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"5", "application/json", 400),
        (b'"text"', "application/json", 400),
        (b"null", "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"resourceSpans": 5, "resourceLogs": 5}', "application/json", 400),
        (b'{"resourceSpans": [5], "resourceLogs": [5]}', "application/json", 400),
        (b"[" * 200_000, "application/json", 400),
        (b'{"x":' * 500 + b"1" + b"}" * 500, "application/json", 200),
        (b'{"x": NaN}', "application/json", 400),
        (b"\xff\xff\xff\xff", PROTOBUF, 400),
        (b"not protobuf", PROTOBUF, 400),
        (b"[]", "text/plain", 415),
        (b"{}", "application/x-ndjson", 415),
    ],
)
def test_what_is_no_request_is_the_senders_fault(post, path, content, media_type, status):
    answer = post(path, content, media_type)

    assert answer.status_code == status


@pytest.mark.parametrize(
    "changes",
    [
        {"attributes": attributes(user__id="\ud800")},
        {"attributes": attributes(user__id="a\0b")},
        {"attributes": attributes(user__id=1e300)},
        {"attributes": attributes(user__id="u" * 600)},
        {"attributes": attributes(user__id="u", gen_ai__usage__cost=1e300)},
        {"attributes": [{"key": "user.id", "value": {"stringValue": "u", "intValue": 5}}]},
        {"attributes": [{"key": "user.id", "value": {"doubleValue": "NaN"}}]},
        {"attributes": [{"key": "x", "value": {"arrayValue": {"values": [{"intValue": "9"}]}}}]},
        {"traceId": "zz", "spanId": "!"},
        {"traceId": 5},
        {"kind": 99},
        {"kind": "SPAN_KIND_NONE"},
        {"startTimeUnixNano": "-5"},
        {"startTimeUnixNano": "18446744073709551615"},
        {"endTimeUnixNano": "18446744073709551616"},
        {"endTimeUnixNano": 1e400},
        {"events": [{"name": "feature_flag", "attributes": [{}]}]},
        {"status": {"code": "9" * 4000}},
    ],
)
def test_hostile_spans_never_break_the_server(post, changes):
    body = json.dumps(traces(a_span(**changes)))

    answer = post("/v1/traces", body.encode())

    assert answer.status_code in (200, 400)


@pytest.mark.parametrize("path", PATHS)
def test_random_bytes_never_break_the_server(post, path):
    chance = random.Random(5)
    whole = ExportTraceServiceRequest()
    span = whole.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.kind = b"t" * 16, b"s" * 8, 2
    span.attributes.add(key="user.id").value.string_value = "u"
    base = whole.SerializeToString()

    for _ in range(150):
        content = bytearray(base)
        for _ in range(chance.randrange(1, 6)):
            content[chance.randrange(len(content))] = chance.randrange(256)

        assert post(path, bytes(content), PROTOBUF).status_code in (200, 400)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("content", "packing", "status"),
    [
        (gzip.compress(b"{}"), "gzip", 200),
        (gzip.compress(b" " * 20_000_000), "gzip", 413),
        (b"{}", "gzip", 400),
        (b"{}", "deflate", 415),
        (b" " * 1_000_001, "identity", 413),
    ],
)
def test_bodies_have_limits(post, path, content, packing, status):
    answer = post(path, content, **{"Content-Encoding": packing})

    assert answer.status_code == status


def test_too_many_spans_are_refused(post):
    body = json.dumps(traces(*[{}] * 5_001))

    assert post("/v1/traces", body).status_code == 413


def test_a_request_that_comes_to_too_many_events_is_refused(post, kept, monkeypatch):
    monkeypatch.setattr(telemetry, "MAX_MADE", 4)
    flagged = {"name": "feature_flag", "timeUnixNano": str(time.time_ns()), "attributes": FLAG}

    def status(*events):
        return post("/v1/traces", traces(a_span(events=events), {}, {})).status_code

    assert status(*[flagged] * 3, {"name": "login"}) == 413
    assert kept(outcomes) == {}
    assert status(*[flagged] * 2, {"name": "login"}) == 200
    assert len(kept(outcomes)) == 2


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["client", "admin", None])
def test_only_an_ingest_key_writes(server, shared_walk, path, kind):
    headers = {"Authorization": f"Bearer {shared_walk.key(kind)}"} if kind else {}

    answer = server.post(path, json={}, headers=headers)

    assert answer.status_code == (403 if kind else 401)


def test_a_broken_price_table_costs_no_event(post, kept, shared_walk):
    table = shared_walk.platform.settings.workspace / "experiments" / "prices.yaml"
    table.write_text("as_of: [")
    usage = attributes(user__id="u1", gen_ai__request__model="m", gen_ai__usage__input_tokens=5)

    answer = post("/v1/traces", traces(a_span(attributes=usage, kind=3)))
    table.unlink()

    assert "has no price" in answer.json()["partialSuccess"]["errorMessage"]
    assert {event_id.rpartition(":")[2] for event_id in kept(outcomes)} == {
        "llm_latency_ms",
        "input_tokens",
    }


def test_answers_are_read_by_the_official_messages(post):
    answer = post("/v1/traces", ExportTraceServiceRequest().SerializeToString(), PROTOBUF)

    assert not ExportTraceServiceResponse.FromString(answer.content).HasField("partial_success")
