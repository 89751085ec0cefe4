from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from sqlalchemy import func, select

from expplat.adapters.sql.tables import exposures, outcomes
from expplat.api import intake
from expplat.errors import ConfigurationError, ConflictError
from expplat.flow import ingest
from expplat.flow.keys import key_id_of
from tests.serving import Walk, a_platform, serving

EXPOSURE = {"id": "e1", "experiment": "hybrid_rrf", "variation": "treatment", "unit": "u1"}
OUTCOME = {"id": "o1", "unit": "u1", "metric": "task_success", "value": 1}
PATHS = ("/v1/exposures", "/v1/outcomes")


@pytest.fixture
def server(shared_server):
    return shared_server


@pytest.fixture
def walk(shared_walk):
    return shared_walk


@pytest.fixture(scope="module")
def headers(shared_walk):
    return {"Authorization": f"Bearer {shared_walk.key('ingest')}"}


@pytest.fixture
def own_headers(shared_walk):
    """With a key that no other test uses, so that ids are new."""
    return {"Authorization": f"Bearer {shared_walk.key('ingest')}"}


@pytest.fixture
def count(shared_walk, own_headers):
    """How many events came with the key of this test."""
    source = key_id_of(own_headers["Authorization"].removeprefix("Bearer "))
    engine = shared_walk.platform.sql_engine

    def count(table):
        with engine.connect() as connection:
            wanted = select(func.count()).select_from(table).where(table.c.source == source)
            return connection.scalar(wanted)

    return count


@pytest.mark.parametrize("body", [{"batch": [EXPOSURE]}, [EXPOSURE], EXPOSURE])
def test_a_body_is_an_object_with_a_batch_an_array_or_one_event(server, own_headers, count, body):
    answer = server.post("/v1/exposures", json=body, headers=own_headers)

    assert answer.status_code == 200
    assert answer.json() == {
        "received": 1,
        "accepted": 1,
        "duplicates": 0,
        "conflicts": 0,
        "ignored": 0,
        "rejected": 0,
        "errors": [],
        "success": True,
    }
    assert count(exposures) == 1


def test_a_body_may_be_one_event_a_line_and_a_broken_line_fails_alone(server, own_headers, count):
    lines = [json.dumps(OUTCOME | {"id": f"o{i}"}) for i in range(3)]
    body = "\n".join([*lines[:1], "{broken", "", *lines[1:], ""])

    answer = server.post(
        "/v1/outcomes", content=body, headers=own_headers | {"Content-Type": "application/x-ndjson"}
    )

    assert (answer.json()["accepted"], answer.json()["rejected"]) == (3, 1)
    assert answer.json()["errors"][0]["index"] == 1
    assert count(outcomes) == 3


@pytest.mark.parametrize("between", ["\n\n", "\r\n\r\n", "\n \n\n"])
def test_blank_lines_between_events_cost_none_of_them(server, own_headers, count, between):
    body = between.join(json.dumps(OUTCOME | {"id": f"o{i}"}) for i in range(3_000))

    answer = server.post(
        "/v1/outcomes", content=body, headers=own_headers | {"Content-Type": "application/x-ndjson"}
    )

    assert (answer.json()["accepted"], answer.json()["rejected"]) == (3_000, 0)
    assert count(outcomes) == 3_000


def test_a_body_may_be_gzipped(server, own_headers, count):
    body = gzip.compress(json.dumps([OUTCOME]).encode())

    answer = server.post(
        "/v1/outcomes", content=body, headers=own_headers | {"Content-Encoding": "gzip"}
    )

    assert answer.json()["accepted"] == 1


def test_events_sent_twice_are_kept_once(server, own_headers, count):
    body = {"batch": [EXPOSURE | {"id": None, "unit": f"u{i}"} for i in range(200)]}

    first = server.post("/v1/exposures", json=body, headers=own_headers).json()
    second = server.post("/v1/exposures", json=body, headers=own_headers).json()

    assert (first["accepted"], first["duplicates"]) == (200, 0)
    assert (second["accepted"], second["duplicates"]) == (0, 200)
    assert count(exposures) == 200


def test_the_key_may_come_as_basic_auth(server, headers):
    secret = headers["Authorization"].removeprefix("Bearer ")
    for pair in (f"{secret}:", f"expplat:{secret}"):
        basic = base64.b64encode(pair.encode()).decode()

        answer = server.post("/v1/outcomes", json=[], headers={"Authorization": f"Basic {basic}"})

        assert answer.status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        ("Bearer", 401),
        ("Bearer eik_unknown", 401),
        ("Basic !!!", 401),
        ("Basic Og==", 401),
        ("Digest x", 401),
        ("Bearer \xff\xfe", 401),
        ("client", 403),
        ("admin", 403),
    ],
)
def test_without_a_live_ingest_key_nothing_is_taken(server, walk, path, authorization, status):
    if authorization in ("client", "admin"):
        authorization = f"Bearer {walk.key(authorization)}"
    headers = {b"Authorization": authorization.encode("latin-1")} if authorization else {}

    answer = server.post(path, json=[OUTCOME], headers=headers)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_a_cookie_changes_nothing(server, walk):
    server.cookies.set("expplat_key", walk.key("ingest"))

    answer = server.post("/v1/outcomes", json=[OUTCOME])

    assert answer.status_code == 401


HOSTILE = {
    "nothing": b"",
    "not json": b"hello",
    "half": b'{"batch": [',
    "NaN": b'[{"id":"o1","unit":"u","metric":"m","value":NaN}]',
    "Infinity": b'[{"value":-Infinity}]',
    "deep": b"[" * 200_000,
    "deep and closed": b"[" * 5_000 + b"]" * 5_000,
    "many digits": b"[" + b"9" * 5_000 + b"]",
    "number": b"5",
    "string": b'"text"',
    "null": b"null",
    "batch of the wrong type": b'{"batch": 5}',
    "batch of null": b'{"batch": null}',
    "not utf-8": b'["\xff\xfe"]',
    "utf-7": b"+AFs-",
    "zero byte": b"\x00",
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_read_is_the_senders_fault(server, headers, path, name):
    answer = server.post(path, content=HOSTILE[name], headers=headers)

    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert server.get("/health").status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "event",
    [
        b'{"id":"o","unit":"u","metric":"m","value":1e400}',
        b'{"id":"o","unit":"u","metric":"m","properties":{"a":1e400}}',
        b'{"id":"\\ud800","unit":"u","metric":"m"}',
        b'{"id":"o","unit":"\\u0000","metric":"m"}',
        b'{"\\udfff":1}',
        b'{"id":[],"unit":{},"metric":0,"value":[],"timestamp":{},"experiment":[],"variation":{}}',
        b'{"id":"o","unit":"u","metric":"m","timestamp":"99999-01-01T00:00:00Z"}',
        b'{"id":"o","unit":"u","metric":"m","x":' + b"[" * 900 + b"]" * 900 + b"}",
    ],
)
def test_a_hostile_event_is_refused_and_its_neighbours_are_kept(server, own_headers, path, event):
    good = json.dumps(EXPOSURE | OUTCOME).encode()

    answer = server.post(path, content=b"[" + event + b"," + good + b"]", headers=own_headers)

    assert answer.status_code == 200
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, 1)


def test_a_huge_body_is_refused_before_it_is_read(server, headers):
    answer = server.post("/v1/outcomes", content=b"[" + b" " * 1_000_000 + b"]", headers=headers)

    assert answer.status_code == 413


def test_a_huge_body_without_a_length_is_refused_too(server, headers):
    chunks = (b" " * 100_000 for _ in range(15))

    answer = server.post("/v1/outcomes", content=chunks, headers=headers)

    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (gzip.compress(b" " * 20_000_000), 413),
        (b"not gzip", 400),
        (gzip.compress(b"[]")[:-4], 400),
        (gzip.compress(b" " * 3_000_000) * 2, 413),
        (gzip.compress(b"[") + b"more", 400),
        (gzip.compress(b"[]") + gzip.compress(b" ") * 15, 200),
        (gzip.compress(b"[]") + gzip.compress(b" ") * 16, 400),
    ],
)
def test_gzip_is_unpacked_with_care(server, headers, body, status):
    answer = server.post(
        "/v1/outcomes", content=body, headers=headers | {"Content-Encoding": "gzip"}
    )

    assert answer.status_code == status


def test_a_gzip_of_several_parts_is_read_to_its_end(server, own_headers, count):
    lines = [json.dumps(OUTCOME | {"id": f"o{i}"}).encode() + b"\n" for i in range(3)]

    answer = server.post(
        "/v1/outcomes",
        content=b"".join(gzip.compress(line) for line in lines),
        headers=own_headers | {"Content-Encoding": "gzip", "Content-Type": "application/x-ndjson"},
    )

    assert answer.json()["accepted"] == 3
    assert count(outcomes) == 3


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "named",
    [
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "image/png"},
        {"Content-Type": "application/json", "Content-Encoding": "br"},
    ],
)
def test_another_type_or_packing_is_refused(server, headers, path, named):
    answer = server.post(path, content=b"[]", headers=headers | named)

    assert answer.status_code == 415
    assert "accept" in answer.headers or "accept-encoding" in answer.headers


def test_times_are_corrected_by_when_the_batch_was_sent(server, shared_walk, own_headers):
    wrong = datetime.now(UTC) - timedelta(days=3)
    event = OUTCOME | {"timestamp": (wrong - timedelta(minutes=10)).isoformat()}
    body = {"sent_at": wrong.isoformat(), "batch": [event]}

    answer = server.post("/v1/outcomes", json=body, headers=own_headers)

    assert answer.json()["accepted"] == 1
    source = key_id_of(own_headers["Authorization"].removeprefix("Bearer "))
    with shared_walk.platform.uow() as uow:
        (kept,) = uow.events.stored("outcome", ["o1"], source=source).values()
    assert kept.stated_at == wrong - timedelta(minutes=10)
    age = datetime.now(UTC) - kept.at
    assert timedelta(minutes=9) < age < timedelta(minutes=11)


@pytest.mark.parametrize("sent_at", ["yesterday", 5, "2026-01-01T00:00:00", []])
def test_a_broken_moment_of_sending_is_told(server, headers, sent_at):
    answer = server.post(
        "/v1/outcomes", json={"batch": [OUTCOME], "sent_at": sent_at}, headers=headers
    )

    assert answer.status_code == 400
    assert "sent_at" in answer.json()["detail"]


def test_only_a_hundred_errors_are_told(server, headers):
    answer = server.post("/v1/outcomes", json=[{} for _ in range(250)], headers=headers).json()

    assert (answer["rejected"], len(answer["errors"])) == (250, 100)


@pytest.mark.parametrize(("conflicts", "status"), [(1, 200), (2, 503)])
def test_a_batch_whose_writing_was_ended_for_another_is_tried_once_more(
    server, own_headers, count, monkeypatch, conflicts, status
):
    attempts = []

    def take(*events, **how):
        attempts.append(1)
        if len(attempts) <= conflicts:
            raise ConflictError("Another writer was faster.")
        return ingest.take(*events, **how)

    monkeypatch.setattr(intake, "take", take)

    answer = server.post("/v1/outcomes", json=[OUTCOME], headers=own_headers)

    assert (answer.status_code, len(attempts)) == (status, 2)
    assert answer.headers.get("retry-after") == (None if status == 200 else "5")
    assert count(outcomes) == (1 if status == 200 else 0)


@pytest.mark.parametrize(
    ("content_type", "separator", "ends"),
    [("application/json", b",", (b"[", b"]")), ("application/x-ndjson", b"\n", (b"", b""))],
)
def test_too_many_events_are_refused(server, headers, content_type, separator, ends):
    body = ends[0] + separator.join([b"{}"] * 5_001) + ends[1]

    answer = server.post(
        "/v1/outcomes", content=body, headers=headers | {"Content-Type": content_type}
    )

    assert answer.status_code == 413


def test_the_answer_comes_after_the_commit(server, own_headers, count):
    server.post("/v1/outcomes", json=[OUTCOME], headers=own_headers)

    assert count(outcomes) == 1


def test_how_old_events_may_be_is_a_setting(tmp_path):
    platform = a_platform(tmp_path / "workspace", EXPPLAT_MAX_EVENT_AGE_DAYS="60")
    headers = {"Authorization": f"Bearer {Walk(platform).key('ingest')}"}
    ages = [timedelta(days=40), timedelta(days=61)]
    batch = [
        OUTCOME | {"id": f"o{age.days}", "timestamp": (datetime.now(UTC) - age).isoformat()}
        for age in ages
    ]
    with serving(platform) as address:
        answer = httpx2.post(f"{address}/v1/outcomes", json=batch, headers=headers)
    platform.sql_engine.dispose()

    assert answer.json()["accepted"] == 1
    assert answer.json()["errors"][0]["message"].endswith("more than 60 days ago.")


@pytest.mark.parametrize("days", ["0", "-1", "x", "99999", "1.5"])
def test_a_setting_that_is_no_number_of_days_is_refused(tmp_path, days):
    with pytest.raises(ConfigurationError, match="EXPPLAT_MAX_EVENT_AGE_DAYS"):
        a_platform(tmp_path, EXPPLAT_MAX_EVENT_AGE_DAYS=days)
