"""A GrowthBook of somebody else's, over a real socket, that says what a test lets it say."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

KEY = "sdk-upstream"
FOR_STAFF = {"condition": {"id": {"$inGroup": "staff"}}, "force": "new"}
PAYLOAD: dict[str, Any] = {
    "status": 200,
    "features": {
        "theirs": {"defaultValue": "old", "rules": [FOR_STAFF]},
        "hybrid_rrf": {"defaultValue": "theirs"},
    },
    "experiments": [{"key": "visual", "variations": [{}, {"css": "a"}]}],
    "savedGroups": {"staff": ["ada"]},
    "dateUpdated": "2026-01-02T03:04:05.678Z",
}


class Upstream:
    """Answers `GET /api/features/sdk-upstream`; with a 304 where the client has the body."""

    def __init__(self) -> None:
        self.status = 200
        self.body: bytes = json.dumps(PAYLOAD).encode()
        self.headers: dict[str, str] = {}
        self.delay_s = 0.0
        self.requests: list[tuple[str, str | None, int]] = []
        """Path, If-None-Match and status of each answer."""

        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                upstream.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def say(self, **changes: Any) -> None:
        """Change sections of the payload."""
        self.body = json.dumps(PAYLOAD | changes).encode()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        time.sleep(self.delay_s)
        etag = f'"{hashlib.sha256(self.body).hexdigest()[:8]}"'
        offered = handler.headers.get("If-None-Match")
        status = 304 if self.status == 200 and offered == etag else self.status
        self.requests.append((handler.path, offered, status))
        body = b"" if status == 304 else self.body
        handler.send_response(status)
        for name, value in (
            {"ETag": etag, "Content-Length": str(len(body))} | self.headers
        ).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Be away, for good."""
        self._server.shutdown()
        self._server.server_close()
