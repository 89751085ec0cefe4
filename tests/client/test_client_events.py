"""Events from a call of the service to the server: none lost, none doubled."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from expplat.adapters.sql.tables import exposures, outcomes
from tests.client.faults import a_payload, rule_of
from tests.serving import eventually


def spooled(tmp_path):
    """The ids of the events that lie on disk."""
    files = tmp_path.glob("client/spool/*.jsonl")
    return [json.loads(line)[1]["id"] for file in files for line in file.read_text().splitlines()]


@pytest.fixture
def ready_client(new_client, server):
    """Makes clients that have flags."""

    def make(**options):
        client = new_client(server.url, **options)
        eventually(lambda: client.stats().flags_origin == "network")
        return client

    return make


def test_an_exposure_is_recorded_once_for_a_unit(ready_client, server):
    client = ready_client()

    for _ in range(3):
        client.variant("hybrid_rrf", unit="user-1")
    client.variant("hybrid_rrf", unit="user-2")
    assert client.flush()

    sent = [(e["experiment"], e["unit"], e["variation"]) for e in server.events.values()]
    assert sorted(sent) == [
        ("hybrid_rrf.p1", unit, client.variant("hybrid_rrf", unit=unit))
        for unit in ("user-1", "user-2")
    ]
    assert client.stats().kept == 2


@pytest.mark.parametrize(
    "unit", [None, 7, True, 1.5, "", "x" * 501, "漢" * 400, b"u", ["u"], "\ud800", "a\0"]
)
def test_an_odd_unit_gets_the_control_and_is_no_exposure(ready_client, server, unit):
    client = ready_client()

    assignment = client.assign("hybrid_rrf", unit=unit)
    assert client.flush()

    assert (assignment.variant, assignment.source) == ("control", "default")
    assert server.events == {}
    assert client.outcome("task_success", unit=unit) is False


@pytest.mark.parametrize("flag", ["unknown", "", None, ["list"]])
def test_an_unknown_flag_is_the_control_and_no_exposure(ready_client, server, flag):
    client = ready_client()

    assert client.assign(flag, unit="user-1").source == "default"
    assert client.variant(flag, unit="user-1") == "control"
    assert client.flush()
    assert server.events == {}


def test_without_any_flags_everybody_gets_the_control_and_is_no_exposure(new_client, server):
    server.fail("refused")
    started = time.perf_counter()
    client = new_client(server.url)

    assert time.perf_counter() - started < 1.2
    assert client.assign("hybrid_rrf", unit="user-1").source == "default"
    assert client.stats().kept == 0
    assert client.stats().flags_origin == "none"


def test_a_graduated_flag_is_no_exposure(ready_client, server):
    client = ready_client()

    assert client.assign("reranker", unit="user-1").source == "flag"
    assert client.flush()
    assert server.events == {}


def test_units_in_a_holdout_and_units_outside_are_no_exposures(ready_client, server):
    held = rule_of("hybrid_rrf", 100.0)
    holdout = {
        "key": "holdout", "variations": ["control", "control"], "hashAttribute": "user_id",
        "hashVersion": 2, "seed": "holdout", "weights": [0.5, 0.5], "coverage": 1,
        "ranges": [[0, 0.5], [0.5, 1]],
        "meta": [{"key": "holdout"}, {"key": "in", "passthrough": True}],
    }  # fmt: skip
    held["rules"].insert(0, holdout)
    narrow = rule_of("narrow", 1.0)
    server.serve(a_payload(features={"held": held, "narrow": narrow}))
    client = ready_client()

    found = [client.assign("held", unit=f"u{i}") for i in range(200)]
    outside = [client.assign("narrow", unit=f"u{i}") for i in range(200)]
    assert client.flush()

    in_test = [assignment for assignment in found if assignment.source == "test"]
    assert 60 < len(in_test) < 140
    assert {a.variant for a in found if a.source == "flag"} == {"control"}
    in_narrow = [assignment for assignment in outside if assignment.source == "test"]
    assert len(in_narrow) < 20
    counts = Counter(event["experiment"] for event in server.events.values())
    assert counts == Counter([a.experiment for a in (*in_test, *in_narrow)])


def test_a_flag_without_names_of_variants_is_the_control_and_no_exposure(ready_client, server):
    boolean = {"defaultValue": False, "rules": [rule_of("boolean", 100.0)["rules"][0]]}
    boolean["rules"][0]["variations"] = [False, True]
    server.serve(a_payload(features={"boolean": boolean}))
    client = ready_client()

    assert client.assign("boolean", unit="user-1").source == "default"
    assert client.flush()
    assert server.events == {}
    assert "boolean" in client.stats().last_error


def test_a_prerequisite_that_is_in_a_test_is_exposed_too(ready_client, server):
    child = rule_of("child", 100.0)
    child["rules"][0]["parentConditions"] = [
        {"id": "hybrid_rrf", "condition": {"value": "treatment"}}
    ]
    parent = rule_of("hybrid_rrf", 100.0)
    server.serve(a_payload(features={"child": child, "hybrid_rrf": parent}))
    client = ready_client()

    sources = [client.assign("child", unit=f"u{i}").source for i in range(50)]
    assert client.flush()

    counts = Counter(event["experiment"] for event in server.events.values())
    assert counts == {"hybrid_rrf.p1": 50, "child.p1": sources.count("test")}
    assert 5 < sources.count("test") < 45


def test_a_prerequisite_that_closes_the_flag_is_exposed_all_the_same(ready_client, server):
    child = rule_of("child", 100.0)
    gate = {"id": "hybrid_rrf", "condition": {"value": "treatment"}, "gate": True}
    child["rules"][0]["parentConditions"] = [gate]
    parent = rule_of("hybrid_rrf", 100.0)
    server.serve(a_payload(features={"child": child, "hybrid_rrf": parent}))
    client = ready_client()

    found = [client.assign("child", unit=f"u{i}") for i in range(50)]
    assert client.flush()

    counts = Counter(event["experiment"] for event in server.events.values())
    closed = [assignment for assignment in found if assignment.source == "default"]
    assert {assignment.variant for assignment in closed} == {"control"}
    assert counts == {"hybrid_rrf.p1": 50, "child.p1": 50 - len(closed)}


def test_an_outcome_that_no_server_takes_is_dropped_and_counted(ready_client, server):
    client = ready_client()

    kept = [
        client.outcome("m", float("nan"), unit="u"),
        client.outcome("m", "1", unit="u"),
        client.outcome("", 1.0, unit="u"),
        client.outcome("m", 1.0, unit="u", properties={"x": object()}),
        client.outcome("m", 1.0, unit="u", properties={"x": "y" * 40_000}),
        client.outcome("m", 1.0, unit="u", id=""),
    ]

    assert not any(kept)
    assert client.stats().dropped == 6
    assert client.outcome("m", True, unit="u", flag="hybrid_rrf", properties={"a": [1]}, id="x")
    assert client.flush()
    assert server.events["x"]["experiment"] == "hybrid_rrf"


def test_numbers_of_other_libraries_are_numbers(ready_client, server):
    numpy = pytest.importorskip("numpy")
    client = ready_client()

    for value in (numpy.float32(2), numpy.int64(2), Decimal(2), 2):
        assert client.outcome("m", value, unit="u")
    for value in (numpy.str_("2"), numpy.float32("nan"), Decimal("Infinity"), 10**400, 2j):
        assert client.outcome("m", value, unit="u") is False

    assert client.flush()
    assert [event["value"] for event in server.events.values()] == [2.0] * 4
    assert client.stats().dropped == 5


def test_a_key_from_a_file_may_end_with_a_line_break(ready_client, server):
    client = ready_client(ingest_key="eik_test\n")
    client.outcome("m", unit="u", id="o1")

    assert client.flush()
    assert [*server.events] == ["o1"]


def test_a_key_that_cannot_be_sent_is_not_told_to_the_log(ready_client, caplog):
    client = ready_client(ingest_key="eik_half\nother_half")
    client.outcome("m", unit="u")

    assert not client.flush(0.5)
    assert "ValueError" in client.stats().last_error
    assert "half" not in caplog.text + client.stats().last_error


def away_and_back(client, server, seconds):
    """Send events while the collector is away and comes back; return their ids."""
    ids = []
    for fault in (None, "refused", "hang", "500", None):
        server.fail(fault)
        until = time.monotonic() + seconds / 5
        while time.monotonic() < until:
            ids.append(f"o{len(ids)}")
            assert client.outcome("task_success", unit="u", id=ids[-1])
            time.sleep(0.001)
    return ids


def test_events_wait_while_the_collector_is_away(ready_client, server):
    client = ready_client()

    ids = away_and_back(client, server, 5)

    assert client.flush(10)
    assert {*server.events} == {*ids}
    assert sum(server.receipts) == len(ids)


@pytest.mark.long
def test_events_wait_while_the_collector_is_away_for_a_minute(ready_client, server):
    client = ready_client()

    ids = away_and_back(client, server, 75)

    assert client.flush(20)
    assert {*server.events} == {*ids}


def test_retry_after_is_waited_for(ready_client, server):
    client = ready_client()
    server.answers.append((503, {"Retry-After": "1"}))
    client.outcome("m", unit="u")
    started = time.monotonic()

    assert client.flush(5)
    assert 1.0 <= time.monotonic() - started < 2.5


@pytest.mark.parametrize("status", [401, 403, 404, 302, 400, 413, 422])
def test_a_wrong_key_or_address_loses_nothing(ready_client, server, status, tmp_path):
    client = ready_client()
    server.answers.extend([(status, {})] * 1)
    client.outcome("m", unit="u", id="o1")

    eventually(lambda: not server.answers)
    assert spooled(tmp_path) == ["o1"]
    assert client.flush(5)
    assert [*server.events] == ["o1"]


def test_a_page_of_somebody_else_is_no_receipt(ready_client, server):
    client = ready_client()
    server.answers.append((200, {}))
    client.outcome("m", unit="u", id="o1")

    assert client.flush(5)
    assert [*server.events] == ["o1"]


def test_a_poisonous_event_is_parked_and_its_neighbours_arrive(ready_client, server, tmp_path):
    client = ready_client()
    server.poison = "o13"
    server.answers.append((503, {"Retry-After": "1"}))
    for number in range(50):
        client.outcome("m", unit="u", id=f"o{number}")

    assert client.flush(10)
    assert {*server.events} == {f"o{n}" for n in range(50)} - {"o13"}
    status, kind, event = json.loads((tmp_path / "client" / "refused.jsonl").read_text())
    assert (status, kind, event["id"]) == (400, "outcomes", "o13")
    assert client.stats().refused == 1


def test_refused_events_lie_where_others_cannot_look_and_not_without_end(
    ready_client, server, tmp_path
):
    client = ready_client(spool_limit_bytes=500)
    server.poison = "poison"
    for _ in range(5):
        client.outcome("m", unit="u", id="poison")
        assert client.flush()

    refused = tmp_path / "client" / "refused.jsonl"
    assert client.stats().refused == 5
    assert 0 < refused.stat().st_size <= 500
    assert refused.stat().st_mode & 0o777 == 0o600
    assert "no more room" in client.stats().last_error


def test_refused_events_are_not_written_through_a_link(ready_client, server, tmp_path):
    client = ready_client()
    (tmp_path / "other").touch()
    (tmp_path / "client" / "refused.jsonl").symlink_to(tmp_path / "other")
    server.poison = "poison"
    client.outcome("m", unit="u", id="poison")

    assert not client.flush(0.5)
    assert (tmp_path / "other").read_bytes() == b""


def test_a_full_spool_drops_the_newest_and_says_so(ready_client, server, tmp_path):
    server.fail("500")
    client = ready_client_without_flags(ready_client, server)

    kept = [client.outcome("m", unit="u", id=f"o{n}") for n in range(100)]

    assert kept.count(True) > 5
    assert kept == sorted(kept, reverse=True)
    assert client.stats().dropped == kept.count(False) > 5
    server.fail(None)
    assert client.flush(5)
    assert {*server.events} == {f"o{n}" for n in range(kept.count(True))}


def ready_client_without_flags(ready_client, server):
    server.fail(None)
    client = ready_client(spool_limit_bytes=5_000)
    server.fail("500")
    return client


@pytest.mark.parametrize("collector", ["ok", "500", "hang"])
def test_processes_that_end_lose_nothing(server, launch, collector):
    server.fail({"ok": None}.get(collector, collector))
    services = {
        end: launch("tell", server.url, events=1000, name=end, end=end)
        for end in ("exit", "sys.exit", "SIGTERM")
    }
    eventually(lambda: "done" in services["SIGTERM"].said, within_s=20)
    services["SIGTERM"].kill(signal.SIGTERM)
    told = [name for service in services.values() for name in names(service.wait())]
    assert len(told) == 3000
    if collector != "ok":
        server.fail(None)
        launch("drain", server.url).wait(20)

    assert {*server.events} == {*told}


def names(said):
    return [name for name in said if isinstance(name, str) and name != "done"]


@pytest.fixture
def real(address, walk, platform):
    """A real server with both keys, and how many events it has, by distinct id and in all."""
    options = {"client_key": walk.key("client"), "ingest_key": walk.key("ingest")}

    def count(table):
        with platform.sql_engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(table))

    def ids():
        with platform.sql_engine.connect() as connection:
            return [*connection.scalars(select(outcomes.c.event_id))]

    return address, options, ids, count


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.long)])
def test_kills_while_it_sends_lose_nothing_and_double_nothing(real, launch, kills):
    address, options, ids, _ = real
    dice = random.Random(20)
    told = []
    for number in range(kills):
        service = launch(
            "tell",
            address,
            options=options,
            events=100_000,
            name=f"k{number}",
            end="kill",
            pause_s=0.0003,
        )
        eventually(lambda service=service: len(service.said) > 3)
        time.sleep(dice.uniform(0.02, 0.35))
        service.kill()
        # The last line may be cut off; then the call had not returned to the service.
        told += names(service.wait())

    (left,) = launch("drain", address, options=options).wait(60)[1:]

    arrived = Counter(ids())
    assert left == 0
    assert len(told) > 25 * kills
    assert {*told} - {*arrived} == set()
    assert max(arrived.values()) == 1


def test_two_processes_share_a_folder(real, launch):
    address, options, ids, _ = real
    services = [
        launch("tell", address, options=options, events=500, name=name, end="exit")
        for name in ("a", "b")
    ]
    told = [name for service in services for name in names(service.wait())]
    launch("drain", address, options=options).wait()

    assert sorted(ids()) == sorted(told)
    assert len(told) == 1000


def test_a_forked_process_has_a_file_of_its_own(ready_client, server, tmp_path):
    server.answers.extend([(503, {"Retry-After": "1"})])
    client = ready_client()
    assert client.outcome("m", unit="u", id="parent")
    if (child := os.fork()) == 0:
        for number in range(100):
            client.outcome("m", unit="u", id=f"child-{number}")
        os._exit(0)
    for number in range(100):
        client.outcome("m", unit="u", id=f"parent-{number}")
    os.waitpid(child, 0)

    eventually(lambda: len(server.events) == 201, within_s=12)
    assert len({name.partition("-")[0] for name in server.events}) == 2


def test_a_forked_process_that_never_used_the_client_ends(ready_client):
    client = ready_client()
    # As a thread may hold it in that moment, which the child does not have.
    with client._flags._stopping._cond:
        if (child := os.fork()) == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(5)
            client.close()
            os._exit(0)

    assert os.waitpid(child, 0)[1] == 0


def test_a_signal_handler_may_flush_in_the_middle_of_a_flush(ready_client):
    client = ready_client()

    def handler(*_):
        sys.settrace(None)
        client.flush(0.0)
        sys.settrace(handler)
        return handler

    def flush():
        """As with a signal between any two lines."""
        sys.settrace(handler)
        client.flush(0.0)
        sys.settrace(None)

    thread = threading.Thread(target=flush, daemon=True)
    thread.start()
    thread.join(5)

    assert not thread.is_alive()


FIRST_PROCESS = """
import os, signal, sys
from expplat.client import Client
client = Client(sys.argv[1], ingest_key="eik_test", cache_dir=sys.argv[2])
assert os.getpid() == 1 and client.outcome("m", unit="u", id="o1")
os.kill(1, signal.SIGTERM)
print("still here")
"""


def test_the_first_process_of_a_container_ends_by_sigterm_too(server, tmp_path):
    unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
    try:
        subprocess.run([*unshare, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine makes no containers")
    command = [*unshare, sys.executable, "-c", FIRST_PROCESS, server.url, str(tmp_path / "client")]

    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    assert (done.stdout, done.returncode) == ("", 128 + signal.SIGTERM)
    assert [*server.events] == ["o1"]


def test_a_real_server_takes_exposures_and_outcomes(real, new_client):
    address, options, _, count = real
    client = new_client(address, **options)

    for number in range(300):
        unit = f"user-{number}"
        client.variant("hybrid_rrf", unit=unit)
        client.outcome("task_success", 1.0, unit=unit)

    assert client.flush(10)
    assert (count(exposures), count(outcomes)) == (300, 300)
    assert client.stats().rejected == 0
    assert client.stats().sent == 600
