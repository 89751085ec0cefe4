from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
import time
from decimal import Decimal

import anyio.to_thread
import httpx2
import pytest
from fastapi import FastAPI
from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse

from expplat.client import Client, ExpplatMiddleware, usage
from tests.client.faults import CLIENT_KEY
from tests.serving import eventually

PRICES = {"small": (1.0, 4.0)}


@pytest.fixture
def client(new_client, server):
    return new_client(server.url, prices=PRICES)


@pytest.fixture
def outcomes(client, server):
    """What was reported of each unit."""

    def outcomes():
        assert client.flush()
        found = {}
        for event in server.events.values():
            found.setdefault(event["unit"], {})[event["metric"]] = event["value"]
        return found

    return outcomes


def test_a_request_is_timed_and_its_tokens_and_dollars_are_summed(client, outcomes):
    with client.request(unit="u1"):
        time.sleep(0.05)
        usage(model="small", input_tokens=1_000_000, output_tokens=500_000)
        usage(input_tokens=5, output_tokens=1, usd=0.25)

    found = outcomes()["u1"]
    assert 50 <= found.pop("latency_ms") < 500
    assert found == {
        "error": 0.0,
        "input_tokens": 1_000_005,
        "output_tokens": 500_001,
        "cost_usd": 3.25,
    }


def test_a_request_that_raises_is_an_error_and_raises_on(client, outcomes):
    with pytest.raises(KeyError), client.request(unit="u1"):
        raise KeyError("host")

    assert outcomes()["u1"]["error"] == 1.0
    assert {*outcomes()["u1"]} == {"latency_ms", "error"}


def test_a_model_without_a_price_leaves_the_dollars_out(client, outcomes):
    with client.request(unit="u1"):
        usage(model="small", input_tokens=10)
        usage(model="unheard of", input_tokens=10)

    assert {*outcomes()["u1"]} == {"latency_ms", "error", "input_tokens", "output_tokens"}
    assert "prices" in client.stats().last_error


def test_a_request_inside_another_is_part_of_it(client, outcomes, server):
    with client.request(unit="outer"), client.request(unit="inner"):
        usage(model="small", input_tokens=7)

    assert {*outcomes()} == {"outer"}
    assert outcomes()["outer"]["input_tokens"] == 7


def test_a_request_inside_one_without_a_unit_is_reported(client, outcomes):
    with client.request(unit=None), client.request(unit="inner"):
        usage(input_tokens=7, usd=0.5)

    assert outcomes()["inner"]["cost_usd"] == 0.5


def test_what_a_request_leaves_behind_reports_its_own_requests(client, outcomes):
    async def worker(is_over):
        await is_over.wait()
        with client.request(unit="later"):
            usage(input_tokens=7, usd=0.5)

    async def service():
        is_over = asyncio.Event()
        with client.request(unit="first"):
            task = asyncio.create_task(worker(is_over))
        is_over.set()
        await task

    asyncio.run(service())

    assert {*outcomes()} == {"first", "later"}
    assert outcomes()["later"]["input_tokens"] == 7


def test_none_is_no_tokens_and_dollars_may_be_a_decimal(client, outcomes):
    with client.request(unit="u1"):
        usage(input_tokens=10, usd=0.25)
        usage(input_tokens=None, output_tokens=5, usd=Decimal("5.00"))

    assert (outcomes()["u1"]["input_tokens"], outcomes()["u1"]["output_tokens"]) == (10, 5)
    assert outcomes()["u1"]["cost_usd"] == 5.25


@pytest.mark.parametrize(
    "told", [{"usd": float("nan")}, {"usd": -1}, {"usd": "5"}, {"output_tokens": float("inf")}]
)
def test_what_is_no_amount_leaves_tokens_and_dollars_out(client, outcomes, told):
    with client.request(unit="u1"):
        usage(input_tokens=10, usd=0.25)
        usage(**told)

    assert {*outcomes()["u1"]} == {"latency_ms", "error"}
    assert "no amount" in client.stats().last_error


def test_without_a_unit_nothing_is_reported_and_usage_outside_is_nothing(client, outcomes):
    usage(model="small", input_tokens=7)
    with client.request(unit=None):
        usage(model="small", input_tokens=7)

    assert outcomes() == {}


def test_usage_counts_from_tasks_and_threads_of_the_request(client, outcomes):
    async def call():
        usage(input_tokens=1, usd=0.0)

    async def service(unit):
        with client.request(unit=unit):
            await asyncio.gather(call(), call())
            await anyio.to_thread.run_sync(lambda: usage(input_tokens=10, usd=0.0))
            await asyncio.to_thread(usage, input_tokens=100, usd=0.0)

    async def both():
        await asyncio.gather(service("a"), service("b"))

    asyncio.run(both())

    assert [outcomes()[unit]["input_tokens"] for unit in "ab"] == [112, 112]


def test_the_decorator_times_plain_and_async_functions(client, outcomes):
    @client.timed(unit=lambda user, **_: user, flag="hybrid_rrf")
    def plain(user, *, factor):
        """Said by the host."""
        return factor * 2

    @client.timed(unit=lambda user: user)
    async def waiting(user):
        await asyncio.sleep(0.02)
        raise ValueError(user)

    assert plain("u1", factor=4) == 8
    assert plain.__doc__ == "Said by the host."
    with pytest.raises(ValueError, match="u2"):
        asyncio.run(waiting("u2"))

    assert outcomes()["u1"]["error"] == 0.0
    assert outcomes()["u2"]["error"] == 1.0
    assert outcomes()["u2"]["latency_ms"] >= 20


def test_a_generator_is_timed_from_its_first_step_to_its_last(client, outcomes):
    @client.timed(unit=lambda user: user)
    def streamed(user):
        for number in range(3):
            time.sleep(0.02)
            usage(input_tokens=1, usd=0.1)
            yield number
        return "end"

    def reading(parts):
        ended.append((yield from parts))

    ended = []
    parts = streamed("u1")
    time.sleep(0.1)
    other = streamed("u2")
    assert [*zip(parts, other, strict=True)] == [(0, 0), (1, 1), (2, 2)]
    for _ in reading(streamed("u3")):
        usage(input_tokens=100, usd=1.0)

    assert ended == ["end"]
    found = outcomes()
    assert {unit: found[unit]["input_tokens"] for unit in found} == dict.fromkeys(found, 3)
    assert {*found} == {"u1", "u2", "u3"}
    assert 60 <= found["u3"]["latency_ms"] < 500
    assert inspect.isgeneratorfunction(streamed)


def test_a_generator_that_raises_is_an_error_and_one_that_is_left_is_none(client, outcomes):
    @client.timed(unit=lambda user: user)
    def streamed(user):
        try:
            got = yield 1
        except KeyError:
            got = "caught"
        yield got
        raise ValueError(user)

    left = streamed("left")
    assert (next(left), left.send("sent")) == (1, "sent")
    left.close()
    broken = streamed("broken")
    assert (next(broken), broken.throw(KeyError())) == (1, "caught")
    with pytest.raises(ValueError, match="broken"):
        next(broken)

    assert {unit: found["error"] for unit, found in outcomes().items()} == {"left": 0, "broken": 1}


def test_an_async_generator_is_timed_to_its_last_step(client, outcomes):
    @client.timed(unit=lambda user: user)
    async def streamed(user):
        for number in range(3):
            await asyncio.sleep(0.02)
            usage(input_tokens=1, usd=0.1)
            yield number
        if user == "broken":
            raise ValueError(user)

    async def service():
        assert [part async for part in streamed("whole")] == [0, 1, 2]
        with pytest.raises(ValueError, match="broken"):
            assert [part async for part in streamed("broken")]
        left = streamed("left")
        assert await anext(left) == 0
        await left.aclose()

    asyncio.run(service())

    found = outcomes()
    assert {unit: found[unit]["error"] for unit in found} == {"whole": 0, "broken": 1, "left": 0}
    assert found["whole"]["latency_ms"] >= 60
    assert [found[unit]["input_tokens"] for unit in ("whole", "broken", "left")] == [3, 3, 1]


def test_what_a_plain_function_returns_is_timed_to_its_end(client, outcomes):
    async def answer(is_fine):
        await asyncio.sleep(0.03)
        usage(input_tokens=1, usd=0.1)
        return 1 if is_fine else 1 / 0

    def parts():
        time.sleep(0.03)
        yield 1

    timed = client.timed(unit=lambda user, _: user)
    assert asyncio.run(timed(lambda _, given: given)("fine", answer(True))) == 1
    with pytest.raises(ZeroDivisionError):
        asyncio.run(timed(lambda _, given: given)("broken", answer(False)))
    assert [*timed(lambda _, given: given)("parts", parts())] == [1]

    found = outcomes()
    assert {unit: found[unit]["error"] for unit in found} == {"fine": 0, "broken": 1, "parts": 0}
    assert min(found[unit]["latency_ms"] for unit in found) >= 30
    assert found["fine"]["input_tokens"] == 1


def test_what_cannot_be_timed_is_not_reported_and_said(client, outcomes):
    async def service():
        @client.timed(unit=lambda: "u1")
        def begun():
            return asyncio.ensure_future(asyncio.sleep(0.01, "done"))

        task = begun()
        assert isinstance(task, asyncio.Task)
        assert await task == "done"

    asyncio.run(service())

    assert outcomes() == {}
    assert "`begun`" in client.stats().last_error


def test_a_unit_that_cannot_be_found_does_not_stop_the_function(client, outcomes):
    @client.timed(unit=lambda: 1 / 0)
    def plain():
        return "done"

    assert plain() == "done"
    assert outcomes() == {}


@pytest.fixture
def app(client):
    app = FastAPI()
    app.add_middleware(ExpplatMiddleware, client=client, unit="X-User-Id")

    @app.get("/fine")
    def fine():
        usage(model="small", input_tokens=3)
        return {}

    @app.get("/broken")
    async def broken():
        raise RuntimeError("host")

    @app.get("/status/{code}")
    async def status(code: int):
        return Response(status_code=code)

    @app.get("/slow")
    async def slow():
        async def parts():
            for _ in range(5):
                await asyncio.sleep(0.03)
                yield b"x"
            usage(input_tokens=9, usd=0.5)

        return StreamingResponse(parts())

    return app


@pytest.fixture
def ask(app):
    async def get(path, unit):
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        headers = {"x-user-id": unit} if unit else {}
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
            return (await http.get(path, headers=headers)).status_code

    return lambda path, unit=None: asyncio.run(get(path, unit))


def test_the_middleware_times_requests_and_knows_errors(ask, outcomes):
    assert ask("/fine", "u1") == 200
    assert ask("/broken", "u2") == 500
    assert ask("/status/404", "u3") == 404
    assert ask("/status/503", "u4") == 503
    assert ask("/fine") == 200

    found = outcomes()
    assert {unit: found[unit]["error"] for unit in found} == {"u1": 0, "u2": 1, "u3": 0, "u4": 1}
    assert found["u1"]["input_tokens"] == 3


def test_a_streamed_answer_is_timed_to_its_last_byte(ask, outcomes):
    assert ask("/slow", "u1") == 200

    assert outcomes()["u1"]["latency_ms"] >= 150
    assert outcomes()["u1"]["cost_usd"] == 0.5


def test_what_runs_behind_the_last_byte_is_no_part_of_the_answer(client, outcomes):
    def work():
        time.sleep(0.2)
        raise RuntimeError("the mail server is away")

    async def app(scope, receive, send):
        await Response(background=BackgroundTask(work))(scope, receive, send)

    async def send(message):
        pass

    wrapped = ExpplatMiddleware(app, client=client, unit=lambda _: "u1")
    with pytest.raises(RuntimeError, match="mail"):
        asyncio.run(wrapped({"type": "http"}, None, send))

    assert outcomes()["u1"]["error"] == 0
    assert outcomes()["u1"]["latency_ms"] < 150


def test_other_scopes_pass_and_a_unit_may_be_a_function(client, outcomes):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    wrapped = ExpplatMiddleware(app, client=client, unit=lambda scope: scope["user"])
    for scope in ({"type": "lifespan"}, {"type": "http", "user": "u9"}, {"type": "http"}):
        asyncio.run(wrapped(scope, None, None))

    assert seen == ["lifespan", "http", "http"]
    assert {*outcomes()} == {"u9"}


def test_calls_from_many_threads_lose_nothing(client, server):
    def work(name):
        for number in range(200):
            client.variant("hybrid_rrf", unit=f"user-{number}")
            client.outcome("m", unit="u", id=f"{name}-{number}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert client.flush(10)
    exposures = [event for event in server.events.values() if "experiment" in event]
    assert len(server.events) - len(exposures) == 1600
    assert len(exposures) == 200


def test_the_client_never_raises_into_its_host(new_client, server, monkeypatch, caplog):
    client = new_client(server.url)
    eventually(lambda: client.stats().flags_origin == "network")

    def broken(*_, **__):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(client._flags.present.evaluator.__class__, "evaluate", broken)
    monkeypatch.setattr(client._spool, "append", broken)

    for _ in range(5):
        assert client.variant("hybrid_rrf", unit="u") == "control"
        assert client.outcome("m", unit="u") is False
        with client.request(unit="u"):
            pass
    assert caplog.text.count("failed inside `_assign`") == 1


@pytest.mark.parametrize("url", [None, "", "not a url", "file:///etc/passwd", "http://[broken"])
def test_a_wrong_address_is_a_warning(new_client, url, monkeypatch):
    monkeypatch.delenv("EXPPLAT_URL", raising=False)
    client = new_client(url, start_timeout_s=0.2)

    assert client.variant("hybrid_rrf", unit="u") == "control"
    assert client.stats().last_error


@pytest.mark.parametrize(
    "wrong",
    [
        {"start_timeout_s": "soon"},
        {"ingest_key": 123},
        {"cache_dir": 5},
        {"pace": 7},
        {"prices": ["small"]},
        {"spool_limit_bytes": "much"},
    ],
)
def test_an_option_of_a_wrong_type_is_a_warning(
    new_client, server, wrong, monkeypatch, tmp_path, caplog
):
    monkeypatch.setenv("EXPPLAT_CLIENT_DIR", str(tmp_path / "client"))
    client = new_client(server.url, **wrong)
    with client.request(unit="u"):
        usage(model="small", input_tokens=1)
    client.close()

    (name,) = wrong
    assert client.variant("hybrid_rrf", unit="user-1") in ("control", "treatment")
    assert f"`{name}`" in caplog.text


def test_an_option_that_is_none_is_left_out(new_client, server):
    wanted = ("start_timeout_s", "pace", "prices", "spool_limit_bytes", "handle_sigterm", "sync")
    client = new_client(server.url, **dict.fromkeys(wanted))

    assert client.outcome("m", unit="u")
    assert client.flush()
    client.close()


def test_an_address_that_is_no_text_is_a_warning(new_client, tmp_path, caplog):
    assert new_client(tmp_path).variant("hybrid_rrf", unit="u") == "control"
    assert "`url`" in caplog.text


def test_an_option_of_another_name_is_an_error_of_the_caller(new_client):
    with pytest.raises(TypeError, match="clientkey"):
        new_client("http://localhost", clientkey="x")


def test_the_environment_gives_what_is_left_out(server, monkeypatch, tmp_path):
    monkeypatch.setenv("EXPPLAT_URL", server.url + "/")
    monkeypatch.setenv("EXPPLAT_CLIENT_KEY", CLIENT_KEY)
    monkeypatch.setenv("EXPPLAT_CLIENT_DIR", str(tmp_path / "own"))
    with Client() as client:
        eventually(lambda: client.stats().flags_origin == "network")
        assert client.outcome("m", unit="u") is False

    eventually(lambda: [*(tmp_path / "own").glob("flags-*.json")])


CHEAP = """
import time, sys
started = time.process_time()
import expplat.client
seconds = time.process_time() - started
heavy = ("growthbook", "urllib3", "asyncio", "aiohttp")
loaded = [m for m in sys.modules if m.split(".")[0] in heavy]
house = [m for m in sys.modules if m.startswith("expplat.") and not m.startswith(
    ("expplat.client", "expplat.domain"))]
assert not loaded + house, loaded + house
print(seconds)
"""


def test_importing_the_client_is_cheap():
    command = [sys.executable, "-c", CHEAP]
    seconds = min(float(subprocess.check_output(command, text=True)) for _ in range(3))

    assert seconds < 0.150
