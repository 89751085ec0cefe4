"""Senders that are slow, or never come to an end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import httpx2
import pytest

from expplat.api.limits import patience
from tests.serving import EventStream, environment, eventually, free_port, is_healthy


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Wait a second where the service waits for ten or thirty."""
    monkeypatch.setattr(patience, "HEADERS_WITHIN_S", 1.0)
    monkeypatch.setattr(patience, "BODY_WITHIN_S", 1.0)


@pytest.fixture
def connect(server):
    """Opens connections to the server."""
    opened = []

    def open_one(begun=b""):
        connection = socket.create_connection((server.base_url.host, server.base_url.port), 5)
        opened.append(connection)
        connection.sendall(begun)
        return connection

    yield open_one
    for connection in opened:
        connection.close()


def answer_of(connection):
    """Everything that comes before the other side closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("begun", [b"", b"GET /hea", REQUEST + b"X-Slow: 1\r\n"])
def test_a_connection_whose_headers_do_not_end_is_closed(connect, begun):
    connection = connect(begun)
    started = time.monotonic()

    answered = answer_of(connection)

    assert answered == b""
    assert 0.8 < time.monotonic() - started < 2.5


def test_headers_that_come_byte_by_byte_have_no_longer(connect):
    connection = connect(b"GET /health HTTP/1.1\r\nX-Slow: ")
    started = time.monotonic()
    is_open = True
    while is_open and time.monotonic() - started < 5:
        time.sleep(0.05)
        try:
            connection.sendall(b"x")
        except OSError:
            is_open = False

    assert time.monotonic() - started < 2.5


def test_a_second_request_of_a_connection_is_watched_too(connect):
    connection = connect(REQUEST + b"\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 200")

    connection.sendall(REQUEST)
    started = time.monotonic()

    assert answer_of(connection) == b""
    assert 0.8 < time.monotonic() - started < 2.5


def test_a_body_that_does_not_end_is_answered_408_and_closed(connect, walk):
    secret = walk.key("ingest").encode()
    connection = connect(
        b"POST /v1/outcomes HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + secret
        + b"\r\nContent-Length: 1000\r\n\r\n["
    )  # fmt: skip
    started = time.monotonic()

    answered = answer_of(connection)

    assert answered.startswith(b"HTTP/1.1 408")
    assert b"application/problem+json" in answered
    assert 0.8 < time.monotonic() - started < 2.5


def test_a_stream_stays_open_for_as_long_as_it_is_read(server, walk):
    walk.promote("hybrid_rrf", 50.0)
    events = EventStream(f"{server.base_url}/sub/{walk.key('client')}")
    eventually(lambda: events.payloads)

    time.sleep(2.0)

    assert not events.is_over


def test_the_service_answers_beside_150_connections_that_are_held(connect, server):
    held = [connect(REQUEST) for _ in range(100)]
    held += [
        connect(b"POST /v1/outcomes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        for _ in range(50)
    ]
    seconds = []
    for _ in range(20):
        started = time.monotonic()
        assert server.get("/health").status_code == 200
        seconds.append(time.monotonic() - started)

    assert max(seconds) < 1.0
    assert len(held) == 150


@pytest.fixture
def serve_address(platform):
    """The address of `expplat serve`, a process of its own."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    workspace = platform.settings.workspace
    process = subprocess.Popen(
        [sys.executable, "-m", "expplat", "serve", "--port", str(port)],
        env=os.environ | environment(workspace), stdout=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(lambda: process.poll() is not None or is_healthy(address), within_s=30)
    yield address
    process.terminate()
    process.wait(10)


@pytest.mark.long
def test_expplat_serve_closes_what_is_held_within_fifteen_seconds(serve_address):
    place = urlsplit(serve_address)
    held = []
    for _ in range(150):
        connection = socket.create_connection((place.hostname, place.port), 30)
        connection.sendall(REQUEST)
        held.append(connection)
    started = time.monotonic()
    assert httpx2.get(f"{serve_address}/health").status_code == 200
    assert time.monotonic() - started < 1.0

    assert [answer_of(connection) for connection in held] == [b""] * 150
    assert time.monotonic() - started < 15.0
