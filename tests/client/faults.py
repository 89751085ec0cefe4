"""A server of flags and events that can be told to misbehave, on a real socket."""

from __future__ import annotations

import base64
import gzip
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from expplat.adapters.growthbook.rules import feature
from expplat.domain.poc import Stage
from expplat.flow.flags import FlagState
from tests.builders import T0
from tests.serving import free_port

CLIENT_KEY = "sdk-test"
INGEST_KEY = "eik_test"
PAYLOAD_KEY = base64.b64encode(bytes(range(16))).decode()

NEWER, OLDER = "2026-03-02T00:00:00.000Z", "2026-03-01T00:00:00.000Z"


def rule_of(slug: str, percent: float) -> dict[str, Any]:
    """The feature that the server makes of a running test."""
    return feature(
        FlagState(
            slug=slug,
            stage=Stage.PROMOTED,
            traffic_percent=percent,
            phase=1,
            unit="user_id",
            changed_at=T0,
        )
    )


def a_payload(
    updated: str = NEWER, features: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A running test for everybody and a graduated one; what is served while all is well."""
    if features is None:
        features = {
            "hybrid_rrf": rule_of("hybrid_rrf", 100.0),
            "reranker": {"defaultValue": "treatment", "rules": []},
        }
    marked = {"expplat": {"defaultValue": True}} | features
    return {"status": 200, "features": marked, "dateUpdated": updated} | more


def encoded(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode()


def encrypted(payload: dict[str, Any]) -> dict[str, Any]:
    """As the server sends it to a client key with encryption."""
    padder = padding.PKCS7(128).padder()
    plain = padder.update(encoded(payload["features"])) + padder.finalize()
    iv = os.urandom(16)
    encryptor = Cipher(algorithms.AES128(base64.b64decode(PAYLOAD_KEY)), modes.CBC(iv)).encryptor()
    text = encryptor.update(plain) + encryptor.finalize()
    secret = f"{base64.b64encode(iv).decode()}.{base64.b64encode(text).decode()}"
    return payload | {"features": {}, "encryptedFeatures": secret}


GOOD = encoded(a_payload())
ALL_CONTROL = {
    "hybrid_rrf": {"defaultValue": "control", "rules": []},
    "reranker": {"defaultValue": "control", "rules": []},
}

BODIES = {
    "garbage": b"\x00\xff<html>welcome to the airport</html>",
    "empty object": b"{}",
    "null features": b'{"status":200,"features":null,"dateUpdated":"2027-01-01T00:00:00Z"}',
    "half": GOOD[: len(GOOD) // 2],
    "older": encoded(a_payload(OLDER, ALL_CONTROL)),
}
"""What a faulty server says with a status of 200."""

PROBLEM = b'{"type":"urn:expplat:problem:bad_request","code":"bad_request"}'
"""How our server says that it cannot read a body."""

FAULTS = ("refused", "hang", "500", *BODIES)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 200


class FaultServer:
    """Serves good flags and takes events, until `fault` is set."""

    def __init__(self, good: bytes = GOOD) -> None:
        self.good = good
        self.fault: str | None = None
        self.retry_ms: int | None = 10
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests: list[tuple[float, str]] = []
        self.events: dict[str, dict[str, Any]] = {}
        self.receipts: list[int] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        """What to answer to the next posts instead, with headers."""

        self.poison: str | None = None
        """The id of an event for which a whole batch is answered with 400."""

        self._epoch = 0
        self._server: _Server | None = None

    def start(self) -> None:
        handler = type("Handler", (_Handler,), {"told": self})
        self._server = _Server(("127.0.0.1", self.port), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._epoch += 1
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        # Again: a stream may have begun while the server was ending.
        self._epoch += 1
        self._server = None

    def fail(self, fault: str | None) -> None:
        """Misbehave from now on; open streams are cut, or say the wrong thing."""
        self.fault = fault
        self.requests.clear()
        if fault == "refused":
            self.stop()
        elif self._server is None:
            self.start()
        else:
            self._epoch += 1

    def serve(self, payload: dict[str, Any]) -> None:
        """Serve something else, also on the streams that are open."""
        self.good = encoded(payload)

    def body(self) -> bytes:
        return BODIES.get(self.fault or "", self.good)


@contextmanager
def fault_server(good: bytes = GOOD) -> Iterator[FaultServer]:
    server = FaultServer(good)
    server.start()
    yield server
    server.stop()


class _Handler(BaseHTTPRequestHandler):
    told: FaultServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.told.requests.append((time.monotonic(), self.path))
        self.close_connection = True
        if self._is_out_of_order():
            return
        if self.path == f"/sub/{CLIENT_KEY}":
            self._stream()
        elif self.path == f"/api/features/{CLIENT_KEY}":
            self._features()
        else:
            self._answer(400, b'{"status":400,"error":"Invalid API Key"}')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._is_out_of_order():
            return
        if self.told.answers:
            status, headers = self.told.answers.pop(0)
            self._answer(status, b"{}", headers)
            return
        batch = json.loads(gzip.decompress(body))["batch"]
        if self.told.poison in [event["id"] for event in batch]:
            self._answer(400, PROBLEM, {"Content-Type": "application/problem+json"})
            return
        self.told.receipts.append(len(batch))
        for event in batch:
            self.told.events[event["id"]] = event
        self._answer(
            200, json.dumps({"received": len(batch), "rejected": 0, "errors": []}).encode()
        )

    def _is_out_of_order(self) -> bool:
        if self.told.fault == "500":
            self._answer(500, b"oh no")
            return True
        if self.told.fault == "hang":
            epoch = self.told._epoch
            while epoch == self.told._epoch:
                time.sleep(0.02)
            return True
        return False

    def _features(self) -> None:
        body = self.told.body()
        etag = f'W/"{hash(body)}"'
        if self.told.fault is None and self.headers.get("If-None-Match") == etag:
            self._answer(304, b"")
            return
        self._answer(200, body, {"ETag": etag})

    def _stream(self) -> None:
        told, epoch, sent = self.told, self.told._epoch, b""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            if told.retry_ms is not None:
                self.wfile.write(b"retry: %d\n\n" % told.retry_ms)
            while epoch == told._epoch:
                if told.body() != sent:
                    sent = told.body()
                    self.wfile.write(b"id: 1\nevent: features\ndata: %b\n\n" % sent)
                time.sleep(0.02)
        except OSError:
            pass

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        try:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass
