"""Official clients that send events, on a real server: what is counted is what was sent."""

from __future__ import annotations

import json
import logging
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
import rudderstack.analytics.client as rudder
import segment.analytics.client as segment
from growthbook import GrowthBook
from growthbook.plugins.growthbook_tracking import growthbook_tracking_plugin
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from sqlalchemy import func, select

from expplat.adapters.sql.tables import exposures, outcomes, quarantined_events
from expplat.flow import keys
from tests.serving import eventually

SLUG = "hybrid_rrf"
USERS = 300
HERE = Path(__file__).parent


class ForgetfulProxy:
    """Passes requests on, and answers 503 to the first of each path after they were stored."""

    def __init__(self, address: str, forgets: int) -> None:
        self.seen: list[tuple[str, int]] = []
        self._left = forgets
        self._onward = httpx2.Client(base_url=address, timeout=10)
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
                answer = proxy._onward.post(self.path, content=body, headers=headers)
                with proxy._lock:
                    proxy.seen.append((self.path, answer.status_code))
                    forgets = proxy._left > 0
                    proxy._left -= 1
                content = b"{}" if forgets else answer.content
                self.send_response(503 if forgets else answer.status_code)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Content-Type", answer.headers["content-type"])
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._onward.close()


@pytest.fixture
def forgetful(address) -> Iterator[Callable[[int], ForgetfulProxy]]:
    """Makes proxies before the server."""
    proxies = []

    def make(forgets: int) -> ForgetfulProxy:
        proxies.append(ForgetfulProxy(address, forgets))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()


@pytest.fixture
def counted(platform, walk):
    """Counts what is kept, once the test is open."""
    walk.promote(SLUG, 100.0)

    def counted() -> dict[str, int]:
        with platform.sql_engine.connect() as connection:
            return {
                "units": connection.scalar(select(func.count(exposures.c.unit.distinct()))),
                "outcomes": connection.scalar(select(func.count()).select_from(outcomes)),
                "refused": connection.scalar(select(func.count()).select_from(quarantined_events)),
            }

    return counted


def total(platform) -> int:
    with platform.sql_engine.connect() as connection:
        return sum(
            connection.scalar(select(func.count()).select_from(table))
            for table in (exposures, outcomes)
        )


@pytest.mark.parametrize(
    "make_client",
    [
        pytest.param(partial(segment.Client, gzip=False), id="segment"),
        pytest.param(partial(rudder.Client, gzip=True), id="rudderstack"),
    ],
)
def test_segment_and_rudderstack_count_exactly_though_every_answer_is_lost_once(
    make_client, forgetful, platform, walk, counted
):
    proxy = forgetful(4)
    write_key, now = walk.key("ingest"), datetime.now(UTC)
    for _ in range(2):
        client = make_client(write_key=write_key, host=proxy.address, upload_interval=0.1)
        for i in range(USERS):
            arm = "treatment" if i % 2 else "control"
            client.track(
                f"user-{i}",
                "Experiment Viewed",
                {"experiment_id": f"{SLUG}.p1", "variation_id": arm},
                message_id=f"x{i}",
                timestamp=now,
            )
            client.identify(f"user-{i}", {"plan": "pro"})
            if i % 3 == 0:
                after = {"message_id": f"o{i}", "timestamp": now + timedelta(seconds=1)}
                client.track(f"user-{i}", "task_success", {"value": 1}, **after)
        client.flush()
        client.join()

    assert sum(status == 200 for _, status in proxy.seen) == len(proxy.seen) > 12
    assert counted() == {"units": USERS, "outcomes": USERS // 3, "refused": 0}
    assert total(platform) == USERS + USERS // 3


def test_what_is_sent_again_under_a_rotated_key_counts_once(address, platform, walk, counted):
    new = walk.new_key("ingest")
    rotated = keys.rotate(new.key.key_id, uow=platform.uow(), now=platform.now)
    now = datetime.now(UTC)
    for secret in (new.secret, rotated.secret):
        client = segment.Client(write_key=secret, host=address, upload_interval=0.05)
        for i in range(50):
            view = {"experiment_id": SLUG, "variation_id": "treatment"}
            again = {"message_id": f"x{i}", "timestamp": now}
            client.track(f"user-{i}", "Experiment Viewed", view, **again)
        client.flush()
        client.join()

    assert counted() == {"units": 50, "outcomes": 0, "refused": 0}
    assert total(platform) == 50


def test_a_wrong_write_key_is_told_at_once(address, counted):
    errors = []
    client = segment.Client(
        write_key="eik_unknown",
        host=address,
        upload_interval=0.05,
        on_error=lambda error, batch: errors.append(error.status),
    )
    client.track("user-1", "task_success")
    client.flush()
    client.join()

    assert errors == [401]


def test_growthbooks_python_plugin_is_counted(address, platform, walk, counted):
    key = walk.key("client", writes_events=True)
    eventually(lambda: SLUG in httpx2.get(f"{address}/api/features/{key}").json()["features"])
    client = GrowthBook(
        api_host=address,
        client_key=key,
        plugins=[growthbook_tracking_plugin(ingestor_host=address, batch_size=50)],
    )
    client.load_features()
    shown = {}
    for i in range(USERS):
        client.set_attributes({"user_id": f"user-{i}", "plan": "pro"})
        shown[f"user-{i}"] = client.get_feature_value(SLUG, "fallback")
        client.log_event("Answer Rated", {"value": i % 5})
    client.destroy()
    eventually(lambda: total(platform) >= 2 * USERS, within_s=20)

    assert counted() == {"units": USERS, "outcomes": USERS, "refused": 0}
    assert arms_of(platform) == shown


@pytest.mark.node
def test_growthbooks_javascript_plugin_is_counted(address, platform, walk, counted, node):
    key = walk.key("client", writes_events=True)
    eventually(lambda: SLUG in httpx2.get(f"{address}/api/features/{key}").json()["features"])
    command = ["node", str(HERE / "track.mjs"), address, key, SLUG, str(USERS)]
    done = subprocess.run(command, env=node, capture_output=True, text=True, timeout=60, check=True)

    assert counted() == {"units": USERS, "outcomes": USERS, "refused": 0}
    assert arms_of(platform) == json.loads(done.stdout)


def arms_of(platform) -> dict[str, str]:
    with platform.sql_engine.connect() as connection:
        rows = connection.execute(select(exposures.c.unit, exposures.c.variant)).all()
    assert len(rows) == len(dict(rows))
    return dict(rows)


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_an_instrumented_service_needs_no_new_code(compression, forgetful, platform, walk, counted):
    proxy = forgetful(2)
    headers = {"Authorization": f"Bearer {walk.key('ingest')}"}
    how = {"headers": headers, "compression": compression}
    (platform.settings.workspace / "experiments" / "prices.yaml").write_text(
        'as_of: "2026-01-01"\ncpu_hour_usd: 0.05\n'
        "models: {gpt-test: {input_usd: 2.0, output_usd: 10.0}}\n"
    )
    tracing = TracerProvider()
    tracing.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(f"{proxy.address}/v1/traces", **how))
    )
    logs = LoggerProvider()
    logs.add_log_record_processor(
        BatchLogRecordProcessor(OTLPLogExporter(f"{proxy.address}/v1/logs", **how))
    )
    tracer, logger = tracing.get_tracer("service"), logs.get_logger("flags")
    for i in range(20):
        with tracer.start_as_current_span("POST /ask", kind=SpanKind.SERVER) as server:
            server.set_attribute("user.id", f"user-{i}")
            evaluation = {
                "feature_flag.key": SLUG,
                "feature_flag.result.variant": "treatment" if i % 2 else "control",
                "feature_flag.context.id": f"user-{i}",
            }
            if i < 10:
                server.add_event("feature_flag.evaluation", evaluation)
            else:
                logger.emit(event_name="feature_flag.evaluation", attributes=evaluation)
            for _ in range(2):
                with tracer.start_as_current_span("chat gpt-test") as chat:
                    chat.set_attribute("gen_ai.operation.name", "chat")
                    chat.set_attribute("gen_ai.request.model", "gpt-test")
                    chat.set_attribute("gen_ai.usage.input_tokens", 1000)
                    chat.set_attribute("gen_ai.usage.output_tokens", 100)
            if i == 7:
                server.set_status(Status(StatusCode.ERROR))
    tracing.shutdown()
    logs.shutdown()

    assert counted() == {"units": 20, "outcomes": 20 * 2 * 4 + 20 * 2, "refused": 0}
    with platform.sql_engine.connect() as connection:
        rows = connection.execute(select(outcomes.c.metric, outcomes.c.value)).all()
    assert Counter(metric for metric, _ in rows) == {
        "llm_latency_ms": 40,
        "input_tokens": 40,
        "output_tokens": 40,
        "cost_usd": 40,
        "latency_ms": 20,
        "error": 20,
    }
    assert {value for metric, value in rows if metric == "cost_usd"} == {0.003}
    assert sum(value for metric, value in rows if metric == "error") == 1
    assert all(value >= 0 for metric, value in rows if metric.endswith("_ms"))
    assert len(proxy.seen) >= 4


@pytest.fixture(autouse=True)
def _quiet_clients() -> Iterator[None]:
    """Clients log every answer that was lost on purpose."""
    names = ("segment", "rudderstack", "backoff", "opentelemetry")
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)
