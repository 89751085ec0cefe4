"""Bodies that no client means to send, to everything that takes one: 4xx, and never 5xx."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator

import httpx2
import pytest

from expplat.api.documented import OPERATIONS
from expplat.flow import keys
from tests.serving import Walk, a_platform, serving

POSTS = sorted(path for method, path in OPERATIONS if method == "post")
COUNTS = ("accepted", "duplicates", "conflicts", "ignored", "rejected")
EVENTS = ("/v1/exposures", "/v1/outcomes", "/v1/batch", "/track")

NATIVE = '{"id":"a","experiment":"hybrid_rrf.p1","variation":"control","unit":"u","metric":"m",'
DEEP = 100_000

UNREADABLE: dict[str, bytes] = {
    "NaN": b'{"value":NaN,"batch":[NaN]}',
    "Infinity": b'{"value":-Infinity,"context":{"a":Infinity}}',
    "deep arrays": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep in a field": b'{"batch":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep and cut off": b"[" * DEEP,
    "cut off": b'{"batch":[{"id":"a"',
    "two documents": b"{}{}",
    "text": b"hello",
    "UTF-16 cut in a character": '{"id":"ä"}'.encode("utf-16")[:-1],
    "Latin-1": '{"id":"ä"}'.encode("latin-1"),
    "overlong UTF-8": b'{"id":"\xc0\xaf"}',
    "a NUL": b'{"id":"\x00"}',
    "control characters": b'{"id":"\x01\x1f"}',
    "binary": bytes(range(256)) * 10,
    "a huge integer": b'{"value":' + b"9" * 10_000 + b"}",
    "single quotes": b"{'id': 'a'}",
    "a comment": b"{} // nothing",
}
"""Bodies that are no JSON, or that no JSON library reads whole."""

ODD: dict[str, bytes] = {
    "1e400": (NATIVE + '"value":1e400}').encode(),
    "-1e400 in a batch": ('{"batch":[' + NATIVE + '"value":-1e400}]}').encode(),
    "a lone surrogate": (NATIVE + '"value":1,"unit":"\\ud800"}').encode(),
    "a lone surrogate as a key": b'{"\\udfff":1,"context":{"\\ud800":"\\udc00"}}',
    "a surrogate in UTF-8": b'{"id":"\xed\xa0\x80"}',
    "duplicate keys": (NATIVE + '"value":1,"value":2,"id":"b","id":null}').encode(),
    "a large integer": (NATIVE + '"value":' + "9" * 400 + "}").encode(),
    "a large phase": (NATIVE + '"phase":' + "9" * 30 + "}").encode(),
    "a tiny number": (NATIVE + '"value":1e-400}').encode(),
    "a NUL that is escaped": (NATIVE + '"value":1,"unit":"\\u0000"}').encode(),
    "a BOM": b"\xef\xbb\xbf" + (NATIVE + '"value":1}').encode(),
    "UTF-16": (NATIVE + '"value":1}').encode("utf-16"),
    "UTF-32": (NATIVE + '"value":1}').encode("utf-32"),
    "empty": b"",
    "blanks": b" \n\t ",
    "null": b"null",
    "a number": b"0",
    "a string": b'"\\ud83d"',
    "true": b"true",
    "an empty array": b"[]",
    "an array of anything": b'[null,1,"a",[],{},[[[]]],{"batch":[]}]',
    "a batch of anything": b'{"batch":[null,1,"a",[],{}],"sentAt":[],"sent_at":1,"writeKey":{}}',
    "a batch that is none": b'{"batch":{"batch":[]}}',
    "fields of wrong types": b'{"id":{},"experiment":[],"variation":{},"unit":[],"metric":{},'
    b'"value":"x","timestamp":{},"properties":[],"attributes":1,"phase":"x","context":[1]}',
    "times of another world": b'{"id":"a","unit":"u","metric":"m","timestamp":"99999-99-99T99:99"}',
    "a year 0": b'{"id":"a","unit":"u","metric":"m","timestamp":"0000-01-01T00:00:00Z"}',
    "the last moment": b'{"id":"a","unit":"u","metric":"m",'
    b'"timestamp":"9999-12-31T23:59:59-23:59"}',
    "a long name": b'{"id":"' + b"a" * 100_000 + b'","experiment":"' + b"b" * 100_000 + b'"}',
    "many keys": json.dumps({str(number): number for number in range(20_000)}).encode(),
    "deep but not too deep": b'{"context":{"a":' + b"[" * 30 + b"]" * 30 + b"}}",
    "forced by wrong types": b'{"forcedVariations":{"a":"b"},"forcedFeatures":[[1,2]],"url":{}}',
    "OTLP of wrong types": b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":1}]}]}],'
    b'"resourceLogs":{"scopeLogs":"x"}}',
    "OTLP with huge times": b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":'
    b'"99999999999999999999"}]}]}]}',
}
"""Bodies that are JSON, and odd: they are refused or taken, as a whole or event by event."""

HEADERS: dict[str, dict[str, str]] = {
    "an unknown packing": {"Content-Encoding": "br"},
    "two packings": {"Content-Encoding": "gzip, gzip"},
    "gzip that is none": {"Content-Encoding": "gzip"},
    "an unknown type": {"Content-Type": "application/x-www-form-urlencoded"},
    "a type that is none": {"Content-Type": ";;;"},
    "an unknown character set": {"Content-Type": "application/json; charset=utf-7"},
    "XML": {"Content-Type": "application/xml"},
    "protobuf that is none": {"Content-Type": "application/x-protobuf"},
    "lines": {"Content-Type": "application/x-ndjson"},
}

LENGTHS = {
    "no number": b"Content-Length: abc",
    "negative": b"Content-Length: -1",
    "huge": b"Content-Length: 99999999999999999999",
    "two": b"Content-Length: 2\r\nContent-Length: 3",
    "with chunks": b"Content-Length: 2\r\nTransfer-Encoding: chunked",
    "chunks of no size": b"Transfer-Encoding: chunked",
    "an unknown transfer": b"Transfer-Encoding: rot13",
    "a million": b"Content-Length: 5000000",
}


class Target:
    """A server, and what opens each route."""

    def __init__(self, walk: Walk, address: str) -> None:
        platform = walk.platform
        self.address = address
        self.ingest = walk.key("ingest")
        self.remote = keys.create(
            "client", "test", uow=platform.uow(), now=platform.now, delivery="remote",
            writes_events=True,
        ).secret  # fmt: skip
        self.http = httpx2.Client(base_url=address, timeout=20)

    def place(self, path: str) -> str:
        filled = path.format(client_key=self.remote, key="hybrid_rrf")
        return f"{filled}?client_key={self.remote}" if path == "/track" else filled

    def key(self, path: str) -> str:
        return self.remote if path.startswith("/ofrep/") else self.ingest

    def post(self, path: str, content: bytes, **headers: str) -> httpx2.Response:
        known = {"Authorization": f"Bearer {self.key(path)}", "Content-Type": "application/json"}
        return self.http.post(self.place(path), content=content, headers=known | headers)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("malformed") / "workspace"
    platform = a_platform(folder, EXPPLAT_MAX_EVENTS_PER_SECOND="0")
    walk = Walk(platform)
    walk.promote("hybrid_rrf", 50.0)
    with serving(platform) as address:
        target = Target(walk, address)
        yield target
        target.http.close()
    platform.sql_engine.dispose()


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("path", POSTS)
def test_a_body_that_cannot_be_read_is_the_senders_fault(target, path, name):
    started = time.monotonic()

    answer = target.post(path, UNREADABLE[name])

    assert 400 <= answer.status_code < 500
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("path", POSTS)
def test_an_odd_body_is_no_fault_of_the_server(target, path, name):
    answer = target.post(path, ODD[name])

    assert answer.status_code < 500
    if answer.status_code == 200 and path in EVENTS:
        receipt = answer.json()
        assert receipt["received"] == sum(receipt[count] for count in COUNTS)


@pytest.mark.parametrize("name", ["1e400", "-1e400 in a batch", "a large integer"])
def test_a_number_that_is_not_finite_is_kept_by_nobody(target, name):
    answer = target.post("/v1/outcomes", ODD[name])

    assert answer.status_code == 400 or answer.json()["accepted"] == 0


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("path", POSTS)
def test_a_body_of_another_type_or_packing_is_no_fault_of_the_server(target, path, name):
    answer = target.post(path, b"{\xff}", **HEADERS[name])

    assert 200 <= answer.status_code < 500
    if path in EVENTS and name != "lines":
        assert answer.status_code >= 400


@pytest.mark.parametrize("path", POSTS)
def test_a_gzip_that_is_cut_off_or_a_bomb_is_refused(target, path):
    packed = gzip.compress(b'{"batch":[]}' * 1000)
    bomb = gzip.compress(b"[" + b" " * 100_000_000 + b"]")
    for content in (packed[:-9], packed[:20], packed + b"more", bomb, gzip.compress(bomb)):
        answer = target.post(path, content, **{"Content-Encoding": "gzip"})

        assert 400 <= answer.status_code < 500


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("path", POSTS)
def test_a_wrong_length_is_refused_or_hung_up_on(target, path, name):
    host, port = target.address.removeprefix("http://").split(":")
    head = (
        f"POST {target.place(path)} HTTP/1.1\r\nHost: {host}\r\n"
        f"Authorization: Bearer {target.key(path)}\r\nConnection: close\r\n"
    ).encode()
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head + LENGTHS[name] + b"\r\n\r\nxx\r\n{}\r\n")
        connection.shutdown(socket.SHUT_WR)
        said = _until_closed(connection)

    assert not said or said.startswith(b"HTTP/1.1 4"), said[:200]


def test_the_server_is_well_after_all_that(target):
    answer = target.http.get("/health")

    assert answer.status_code == 200


def _until_closed(connection: socket.socket) -> bytes:
    said = b""
    try:
        while part := connection.recv(65536):
            said += part
    except ConnectionResetError:
        pass
    return said
