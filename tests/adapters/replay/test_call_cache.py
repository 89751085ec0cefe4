import logging
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expplat.adapters.replay.call_cache import CallCache, Kept, key_of
from expplat.domain.call import Usage

ANSWER = Kept(
    text="Größe: 5 \ud800",
    retrieved=("a", "b"),
    refused=True,
    confidence=0.25,
    usages=(Usage(model="m", input_tokens=5, output_tokens=7, stage="generate"),),
    cpu_ms=1.5,
    stages_ms={"generate": 12.25},
    cost_usd=Decimal("0.000000123456789"),
)


def test_what_is_kept_is_found_by_another_process_of_the_machine(tmp_path):
    with CallCache(tmp_path / "calls.db") as cache:
        cache.keep(b"k", ANSWER)

        with CallCache(tmp_path / "calls.db") as other:
            found = other.find(b"k")

    assert found == ANSWER


def test_what_was_not_kept_is_not_found(tmp_path):
    with CallCache(tmp_path / "calls.db") as cache:
        assert cache.find(b"k") is None


def test_the_first_answer_under_a_key_stays(tmp_path):
    with CallCache(tmp_path / "calls.db") as cache:
        cache.keep(b"k", ANSWER)

        cache.keep(b"k", Kept(text="another"))

        assert cache.find(b"k") == ANSWER


@pytest.mark.parametrize("answer", [Kept(text="x" * 1_000_001), Kept(confidence=float("nan"))])
def test_answers_that_are_too_long_or_not_finite_are_not_kept(tmp_path, answer):
    with CallCache(tmp_path / "calls.db") as cache:
        cache.keep(b"k", answer)

        assert cache.find(b"k") is None


def test_the_key_does_not_depend_on_the_order_of_fields():
    assert key_of("v", {"a": 1, "b": [2]}, 0) == key_of("v", {"b": [2], "a": 1}, 0)
    assert len(key_of("v")) == 32


PARTS = st.lists(
    st.one_of(
        st.text(), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False)
    ).filter(lambda part: part not in (float("inf"), float("-inf"))),
    max_size=4,
)


@settings(max_examples=200, deadline=None)
@given(PARTS, PARTS)
def test_other_parts_have_another_key(one, other):
    is_same = [(type(x), repr(x)) for x in one] == [(type(x), repr(x)) for x in other]

    assert (key_of(*one) == key_of(*other)) == is_same


def test_each_part_of_a_key_counts():
    parts = ("variant", "prices", {"question": "why?"}, 0)
    others = [(*parts[:n], "changed", *parts[n + 1 :]) for n in range(4)]

    assert len({key_of(*found) for found in (parts, *others)}) == 5


def test_a_file_that_is_no_database_is_left_and_another_begun(tmp_path, caplog):
    path = tmp_path / "calls.db"
    path.write_bytes(b"not a database " * 500)

    with caplog.at_level(logging.WARNING), CallCache(path) as cache:
        cache.keep(b"k", ANSWER)
        found = cache.find(b"k")

    assert found == ANSWER
    assert path.read_bytes().startswith(b"not a database")
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "Kept answers are begun anew"
    ]
    with CallCache(path) as later:
        assert later.find(b"k") == ANSWER


def test_a_file_that_breaks_while_it_is_open_costs_its_answers_only(tmp_path, caplog):
    path = tmp_path / "calls.db"
    with CallCache(path) as cache:
        for n in range(200):
            cache.keep(key_of(n), Kept(text="x" * 500))
    damaged = path.read_bytes()
    path.write_bytes(damaged[:4096] + os.urandom(len(damaged) - 4096))

    with caplog.at_level(logging.WARNING), CallCache(path) as cache, CallCache(path) as other:
        missing = [cache.find(key_of(n)) for n in range(200)]
        cache.keep(b"k", ANSWER)
        other.find(key_of(3))
        found = other.find(b"k")

    assert missing == [None] * 200
    assert found == ANSWER


def test_where_nothing_can_be_written_nothing_is_kept_and_nothing_fails(tmp_path, caplog):
    with caplog.at_level(logging.WARNING), CallCache(tmp_path / "absent" / "calls.db") as cache:
        cache.keep(b"k", ANSWER)
        found = cache.find(b"k")

    assert found is None
    assert len(caplog.records) == 1
    assert "not kept from here on" in caplog.text


@pytest.mark.parametrize(
    "answer",
    ["", "[]", "{}", '{"text": 5}', '{"cost_usd": "much"}', '{"usages": [{"model": "m"}]}'],
)
def test_an_answer_of_another_form_counts_as_absent(tmp_path, answer):
    with CallCache(tmp_path / "calls.db"):
        pass
    with sqlite3.connect(tmp_path / "calls.db") as connection:
        connection.execute("INSERT INTO calls VALUES (?, ?)", (b"k", answer))

    with CallCache(tmp_path / "calls.db") as cache:
        assert cache.find(b"k") is None


def test_threads_share_one_cache(tmp_path):
    with CallCache(tmp_path / "calls.db") as cache:
        threads = [
            threading.Thread(target=lambda n=n: cache.keep(key_of(n), Kept(text=str(n))))
            for n in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        found = [cache.find(key_of(n)) for n in range(20)]

    assert found == [Kept(text=str(n)) for n in range(20)]


def _keeping(path: Path, first: int, count: int) -> None:
    with CallCache(path) as cache:
        for n in range(first, first + count):
            cache.keep(key_of(n), Kept(text=f"{n} " * 100))


def test_many_processes_begin_and_fill_one_file_together(tmp_path):
    path, context = tmp_path / "calls.db", multiprocessing.get_context("spawn")
    workers = [context.Process(target=_keeping, args=(path, 100 * n, 150)) for n in range(6)]
    for worker in workers:
        worker.start()

    for worker in workers:
        worker.join(60)

    with CallCache(path) as cache:
        found = [cache.find(key_of(n)) for n in range(650)]
    assert [kept.text if kept else None for kept in found] == [f"{n} " * 100 for n in range(650)]


def test_a_killed_process_leaves_all_that_it_had_kept_and_a_sound_file(tmp_path):
    path, context = tmp_path / "calls.db", multiprocessing.get_context("spawn")
    worker = context.Process(target=_keeping, args=(path, 0, 1_000_000))
    worker.start()
    deadline = time.monotonic() + 60
    with CallCache(path) as cache:
        while cache.find(key_of(300)) is None and time.monotonic() < deadline:
            time.sleep(0.005)

        os.kill(worker.pid, signal.SIGKILL)
        worker.join(60)

        found = [cache.find(key_of(n)) for n in range(301)]
    with sqlite3.connect(path) as connection:
        soundness = connection.execute("PRAGMA integrity_check").fetchone()[0]
    assert all(kept == Kept(text=f"{n} " * 100) for n, kept in enumerate(found))
    assert soundness == "ok"
