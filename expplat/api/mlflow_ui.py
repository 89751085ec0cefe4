"""MLflow's own pages at `/mlflow`, on our port and behind our access check.

MLflow has no public way to be mounted: the application is made from environment variables that it
keeps to itself (`_MLFLOW_SERVER_*`). A contract test holds this module against the installed
MLflow, and a version that changed them answers 503 with a sentence, never half a page.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from expplat.adapters.tracking.store import (
    artifact_root,
    is_server,
    open_store,
    quiet_mlflow,
    store_lock,
)
from expplat.errors import ConfigurationError, ExpplatError, TrackingError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

MOUNT = "/mlflow"

LOOPBACK_HOSTS = ("localhost", "localhost:*", "127.0.0.1", "127.0.0.1:*", "[::1]", "[[]::1]:*")
"""MLflow's own default also takes `10.*`, which `10.attacker.example` matches."""

CLOSED = (
    "/ajax-api/3.0/jobs",
    "/ajax-api/3.0/mlflow/assistant",
    "/ajax-api/2.0/mlflow/gateway-proxy",
    "/gateway",
    "/v1/traces",
)
"""Parts of MLflow that act on this machine or call others: not needed to look at a comparison."""

Guard = Callable[["Scope"], bool]
"""Whether the request may see our pages."""


def mount_mlflow(
    app: FastAPI,
    uri: str,
    state_dir: Path,
    guard: Guard,
    *,
    allowed_hosts: Sequence[str] = LOOPBACK_HOSTS,
) -> bool:
    """Mount MLflow's UI at `/mlflow`; it is imported at the first request, which takes seconds.

    The answers carry MLflow's own headers: a strict Content-Security-Policy of ours must leave
    `/mlflow` out, because MLflow's pages have inline styles.

    Args:
        app: Ours.
        uri: MLflow's store. Nothing is mounted for an http(s) one: it has a UI of its own.
        state_dir: Where a local store keeps its files.
        guard: Asked of every request; 401 where it says no.
        allowed_hosts: Values of the Host header, `*` for any port; loopback by default.

    Returns:
        Whether it was mounted.
    """
    if is_server(uri):
        return False
    app.mount(MOUNT, _GuardedMlflow(uri, state_dir, guard, tuple(allowed_hosts)))
    return True


def mlflow_app(uri: str, state_dir: Path, allowed_hosts: Sequence[str]) -> ASGIApp:
    """Return MLflow's application over a local store, which is created where there is none.

    Raises:
        ConfigurationError: If the installed MLflow cannot be mounted any more.
        TrackingError: If the store is broken.
    """
    quiet_mlflow()
    os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join(allowed_hosts)
    try:
        from mlflow.server.constants import ARTIFACT_ROOT_ENV_VAR, BACKEND_STORE_URI_ENV_VAR

        os.environ[BACKEND_STORE_URI_ENV_VAR] = uri
        os.environ[ARTIFACT_ROOT_ENV_VAR] = artifact_root(state_dir).absolute().as_uri()
        with store_lock(uri, state_dir):
            open_store(uri).search_experiments(max_results=1)
        from mlflow.server.fastapi_app import create_fastapi_app

        application: ASGIApp = create_fastapi_app()
    except (OSError, sqlite3.Error) as error:
        raise TrackingError(f"MLflow's store cannot be opened: {error}") from error
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigurationError(
            f"This MLflow cannot be shown at {MOUNT}: {error}",
            hint="Run `mlflow server` yourself and set MLFLOW_TRACKING_URI to its address.",
        ) from error
    return application


class _GuardedMlflow:
    """Answers 401 without a key, 403 across origins, 404 for closed parts; else asks MLflow."""

    def __init__(
        self, uri: str, state_dir: Path, guard: Guard, allowed_hosts: tuple[str, ...]
    ) -> None:
        self._uri = uri
        self._state_dir = state_dir
        self._guard = guard
        self._allowed_hosts = allowed_hosts
        self._application: ASGIApp | None = None
        self._loading = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = "/" + scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        refusal = self._refusal(scope, path)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        try:
            application = await self._loaded()
        except ExpplatError as error:
            await _answer(send, 503, f"{error.message} {error.hint}")
            return
        # MLflow checks hosts and origins by path, so it must see itself at the root.
        inner = dict(scope) | {"path": path, "raw_path": path.encode(), "root_path": ""}
        await application(inner, receive, send)

    def _refusal(self, scope: Scope, path: str) -> tuple[int, str] | None:
        if not self._guard(scope):
            return 401, "This page needs a key."
        if not _same_origin(scope):
            return 403, "A page from elsewhere may not ask this."
        if any(path == part or path.startswith(f"{part}/") for part in CLOSED):
            return 404, "This part of MLflow is not open here."
        return None

    async def _loaded(self) -> ASGIApp:
        async with self._loading:
            if self._application is None:
                self._application = await asyncio.to_thread(
                    mlflow_app, self._uri, self._state_dir, self._allowed_hosts
                )
        return self._application


def _same_origin(scope: Scope) -> bool:
    """Whether a request that names an origin comes from our own pages, on our own port."""
    headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
    origin = headers.get(b"origin")
    return origin is None or urlsplit(origin).netloc == headers.get(b"host")


async def _answer(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
