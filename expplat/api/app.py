"""Puts the server together: routes, guards, and the threads beside them."""

from __future__ import annotations

import gc
import logging
import math
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware

from expplat.adapters.sql.checkup import refuse_damaged
from expplat.adapters.sql.engine import database_file, parse_url
from expplat.api import (
    events,
    features,
    health,
    ofrep,
    pages,
    pocs,
    remote,
    stream,
    telemetry,
    trackers,
)
from expplat.api.access import HideKeys, may_read
from expplat.api.cors import OpenToBrowsers
from expplat.api.documented import describe
from expplat.api.flags_first import FlagsFirst, Server
from expplat.api.guards import SafeHeaders
from expplat.api.limits.patience import BodyDeadline
from expplat.api.limits.rates import Rates
from expplat.api.limits.workers import Guard
from expplat.api.memory.bell import Bell
from expplat.api.memory.deliveries import Deliveries
from expplat.api.memory.evaluators import Evaluators
from expplat.api.memory.exposure_log import ExposureLog
from expplat.api.memory.feed import Feed
from expplat.api.mlflow_ui import LOOPBACK_HOSTS, mount_mlflow
from expplat.api.problems import install_problems
from expplat.api.service import Service
from expplat.api.ticker import Ticker
from expplat.errors import ConfigurationError
from expplat.flow.event_judging import Incoming
from expplat.flow.ingest import take
from expplat.settings import Settings
from expplat.wiring import Platform

log = logging.getLogger("expplat.api")

MAX_BODY_BYTES = 1_000_000
FOLLOW_EVERY_S = 0.2
LOOK_FOR_DAMAGE_S = 1.0
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  (compared with, never bound)

Tick = Callable[[], object]


def create_app(
    platform: Platform, *, tick: Tick | None = None, watch_every_s: float = 60.0, note: str = ""
) -> FastAPI:
    """Return the server.

    Args:
        platform: Everything outside.
        tick: Looked after every so often in a thread of its own, such as a watch over the running
            tests; None for none.
        watch_every_s: Seconds between two ticks.
        note: One sentence on top of every page, such as that the users are simulated.
    """
    bell = Bell()
    feed = Feed(
        uow=partial(platform.uow, readonly=True),
        reader=platform.spec_reader,
        flags=platform.flags,
        on_change=bell.ring,
        served=platform.served_file,
        upstream=platform.upstream,
    )
    service = _service(platform, feed, bell, note)
    tickers = _followers(feed, platform.settings)
    if tick is not None:
        tickers.append(Ticker("expplat watch", watch_every_s, tick))
    app = Server(
        title="expplat",
        docs_url=None,
        redoc_url=None,
        max_body_size=MAX_BODY_BYTES,
        telemetry={"tracing": False, "metrics": False},
        lifespan=partial(_life, service=service, tickers=tickers),
    )
    app.state.service = service
    hosts = allowed_hosts(platform.settings.host, platform.settings.allowed_hosts)
    app.flags_first = FlagsFirst(service, hosts)
    _furnish(app, platform.settings, feed)
    return app


def create_app_from_env() -> FastAPI:
    """Return the server that the environment describes, for `uvicorn --factory`.

    It watches the running tests every `EXPPLAT_WATCH_EVERY_S` seconds; 60 unless set, 0 for never.

    Raises:
        ConfigurationError: If a setting is malformed.
        DatabaseError: If the database is a SQLite whose file is damaged.
    """
    platform = Platform(settings=Settings.from_env(os.environ, Path.cwd()))
    file = database_file(parse_url(platform.settings.database_url))
    if file and file.exists() and not refuse_damaged(file, within_s=LOOK_FOR_DAMAGE_S):
        log.warning("Only a part was looked at for damage; `expplat doctor` looks at all of it.")
    every_s = _seconds(os.environ.get("EXPPLAT_WATCH_EVERY_S") or "60")
    tick = partial(_watch, platform) if every_s > 0 else None
    app = create_app(platform, tick=tick, watch_every_s=every_s, note=platform.note)
    # What a start leaves behind stays: to look through all of it for garbage stops every request
    # for a tenth of a second, again and again.
    gc.collect()
    gc.freeze()
    return app


def allowed_hosts(host: str, more: Sequence[str] = ()) -> list[str]:
    """Return the names that are answered to: no page elsewhere may reach us under its own."""
    own = () if host in ANY_ADDRESS else (host,)
    return [*dict.fromkeys((*LOOPBACK, *own, *more))]


def _service(platform: Platform, feed: Feed, bell: Bell, note: str) -> Service:
    guard = Guard()

    async def keep(connection: str, events: list[Incoming]) -> None:
        await guard.run(
            lambda: take(events, source=connection, uow=platform.uow(), now=platform.now)
        )

    return Service(
        platform=platform,
        feed=feed,
        bell=bell,
        note=note,
        rates=Rates.of(platform.settings),
        deliveries=Deliveries(lambda: feed.payload),
        evaluators=Evaluators(lambda: feed.payload),
        exposures=ExposureLog(keep, platform.now),
        guard=guard,
    )


def _followers(feed: Feed, settings: Settings) -> list[Ticker]:
    followers = [
        Ticker("expplat flags", FOLLOW_EVERY_S, feed.follow_database),
        Ticker("expplat brake", FOLLOW_EVERY_S, feed.follow_brake),
    ]
    if settings.upstream_host:
        every_s = settings.upstream_every_s
        followers.append(Ticker("expplat upstream", every_s, feed.follow_upstream))
    return followers


def _watch(platform: Platform) -> None:
    # Imported at the first tick: the statistics take longer to load than the rest of the server.
    from expplat.flow.watch import WATCHER, watch_once

    for watched in watch_once(platform.desk(by=WATCHER)):
        log.info("%s: %s. %s", watched.slug, watched.action, watched.sentence)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if math.isfinite(seconds) and seconds >= 0:
        return seconds
    raise ConfigurationError(
        f"EXPPLAT_WATCH_EVERY_S is {text!r}, which is no number of seconds.",
        hint="Use 60; 0 to watch nothing.",
    )


def _furnish(app: FastAPI, settings: Settings, feed: Feed) -> None:
    install_problems(app)
    for noun in (
        features, stream, remote, ofrep, events, trackers, telemetry, pocs, pages, health,
    ):  # fmt: skip
        app.include_router(noun.router)
    describe(app)
    hosts = allowed_hosts(settings.host, settings.allowed_hosts)
    named = [host for host in hosts if host not in LOOPBACK]
    mount_mlflow(
        app,
        settings.tracking_uri,
        settings.state_dir,
        partial(may_read, feed),
        allowed_hosts=[*LOOPBACK_HOSTS, *named, *(f"{host}:*" for host in named)],
    )
    app.add_middleware(BodyDeadline)
    app.add_middleware(OpenToBrowsers)
    app.add_middleware(SafeHeaders)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    access_log = logging.getLogger("uvicorn.access")
    if not any(isinstance(known, HideKeys) for known in access_log.filters):
        access_log.addFilter(HideKeys())


@asynccontextmanager
async def _life(app: FastAPI, *, service: Service, tickers: list[Ticker]) -> AsyncIterator[None]:
    service.bell.hang()
    await run_in_threadpool(service.feed.load)
    service.exposures.start()
    for ticker in tickers:
        ticker.start()
    with _told_of_signals(service.bell.end):
        yield
    service.bell.end()
    await service.exposures.close(1.0)
    for ticker in tickers:
        await run_in_threadpool(ticker.stop, 1.0)


@contextmanager
def _told_of_signals(do: Callable[[], None]) -> Iterator[None]:
    """Call `do` when the server is asked to end, before it waits for open requests.

    A server says so to the application only after every response has ended, and a stream would
    never end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _chained(signal.SIGTERM, do), _chained(signal.SIGINT, do):
        yield


@contextmanager
def _chained(number: signal.Signals, do: Callable[[], None]) -> Iterator[None]:
    previous = signal.getsignal(number)
    if not callable(previous):
        yield
        return

    def handle(received: int, frame: FrameType | None) -> None:
        do()
        previous(received, frame)

    signal.signal(number, handle)
    try:
        yield
    finally:
        signal.signal(number, previous)
