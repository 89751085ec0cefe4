from __future__ import annotations

import errno
import json
import os
import random
import resource
import threading

import pytest

from expplat.client import Client
from expplat.client._guard import Complaints
from expplat.client._segment import Segment
from expplat.client._spool import Spool
from tests.client.conftest import QUICK
from tests.client.faults import CLIENT_KEY, INGEST_KEY
from tests.serving import eventually


def line(name):
    return json.dumps(["outcomes", {"id": str(name)}]).encode() + b"\n"


def new_spool(folder, **options):
    return Spool(folder, Complaints(), **({"limit_bytes": 10_000_000} | options))


def all_ids(spool):
    """Read everything as the sender does."""
    found = []
    while segment := spool.first_unsent():
        batch = segment.read(7, 900_000)
        found += [event["id"] for _, event in batch.events]
        segment.advance(batch.end)
    return found


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool"


def test_what_is_kept_is_read_in_its_order_and_then_gone(folder):
    spool = new_spool(folder, segment_bytes=500)
    names = [str(n) for n in range(100)]
    for name in names:
        assert spool.append([line(name)])
    assert len([*folder.glob("*.jsonl")]) > 3

    assert all_ids(spool) == names
    assert spool.unsent_bytes == 0
    spool.close()
    assert [*folder.iterdir()] == []


def test_files_of_the_living_are_left_alone_and_those_of_the_dead_adopted(folder):
    alive, dead, heir = new_spool(folder), new_spool(folder), new_spool(folder)
    alive.append([line("alive")])
    dead.append([line("sent"), line("unsent")])
    segment = dead.first_unsent()
    segment.advance(segment.read(1, 900_000).end)
    dead.close()

    heir.adopt()

    assert all_ids(heir) == ["unsent"]
    assert all_ids(alive) == ["alive"]


def test_two_heirs_do_not_adopt_the_same_file(folder):
    dead, first, second = new_spool(folder), new_spool(folder), new_spool(folder)
    dead.append([line("x")])
    dead.close()

    first.adopt()
    second.adopt()

    assert (first.unsent_bytes > 0, second.unsent_bytes) == (True, 0)


def left_behind(folder, names):
    """A file of a process that is gone."""
    spool = new_spool(folder)
    spool.append([line(name) for name in names])
    spool.close()
    (path,) = folder.glob("*.jsonl")
    return path


def test_a_line_that_was_cut_off_is_no_event(folder):
    path = left_behind(folder, "abc")
    path.write_bytes(path.read_bytes()[:-5])
    heir = new_spool(folder)
    heir.adopt()

    assert heir.unsent_bytes == len(line("a") + line("b"))
    assert all_ids(heir) == ["a", "b"]


def test_damaged_lines_are_left_out_and_counted_and_their_neighbours_read(folder):
    dice = random.Random(5)
    names = [str(n) for n in range(300)]
    path = left_behind(folder, names)
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = dice.sample(range(300), 30)
    for number in damaged:
        lines[number] = b"\0" * (len(lines[number]) - 1) + b"\n"
    path.write_bytes(b"".join(lines) + b"x" * 2_000_000 + b"\n")
    heir = new_spool(folder)
    heir.adopt()

    assert all_ids(heir) == [name for n, name in enumerate(names) if n not in damaged]


@pytest.mark.parametrize("content", [b"", b"x", b"-5", b"999999", b"\xff"])
def test_an_offset_that_makes_no_sense_is_the_start(folder, content):
    path = left_behind(folder, "ab")
    path.with_suffix(".sent").write_bytes(content)
    heir = new_spool(folder)
    heir.adopt()

    assert all_ids(heir) == ["a", "b"]


def test_files_that_others_could_have_written_are_not_sent(folder):
    path = left_behind(folder, "a")
    path.chmod(0o666)
    other = folder / "other.jsonl"
    other.symlink_to(path)
    os.mkfifo(folder / "pipe.jsonl")
    heir = new_spool(folder)

    heir.adopt()

    assert heir.unsent_bytes == 0
    assert path.exists()


def test_a_disk_that_is_full_keeps_whole_events_or_none(folder):
    spool = new_spool(folder)
    assert spool.append([line("first")])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60, hard))
    try:
        assert not spool.append([line("second" * 20), line("third")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert spool.append([line("fourth")])

    assert spool.dropped == 2
    assert all_ids(spool) == ["first", "fourth"]


class SoftLimitError(Exception):
    """What the handler of a time limit raises, wherever the host was."""


def break_in(monkeypatch, handler, share=1.0):
    """Have a signal come while the next write runs, with a share of it written."""
    write = os.write

    def writing(file, content):
        written = write(file, content[: int(len(content) * share)])
        monkeypatch.undo()
        handler()
        return written

    monkeypatch.setattr("expplat.client._segment.os.write", writing)


@pytest.fixture
def broken_off(folder, monkeypatch):
    """A spool with an event that was sent, and then another whose append a signal broke off."""

    def make(share=1.0, tells=()):
        def handler():
            for name in tells:
                assert spool.append([line(name)])
            raise SoftLimitError

        spool = new_spool(folder, segment_bytes=400)
        spool.append([line("sent")])
        assert all_ids(spool) == ["sent"]
        break_in(monkeypatch, handler, share)
        with pytest.raises(SoftLimitError):
            spool.append([line("broken off" * 20)])
        return spool

    return make


def test_an_append_that_a_signal_breaks_off_hides_none_of_the_next(broken_off):
    spool = broken_off()
    names = [str(n) for n in range(20)]
    for name in names:
        assert spool.append([line(name)])

    assert all_ids(spool) == ["broken off" * 20, *names]


def test_what_a_signal_handler_keeps_itself_is_read(broken_off):
    spool = broken_off(tells=["a", "b"])

    assert all_ids(spool) == ["broken off" * 20, "a", "b"]


def test_what_a_signal_handler_keeps_while_the_file_is_measured_is_no_half_line(
    folder, monkeypatch
):
    spool, fstat = new_spool(folder), os.fstat
    assert spool.append([line("a")])

    def measuring(file):
        status = fstat(file)
        monkeypatch.undo()
        assert spool.append([line("handler")])
        return status

    monkeypatch.setattr("expplat.client._segment.os.fstat", measuring)
    assert spool.append([line("b")])

    batch = spool.first_unsent().read(7, 900_000)
    assert [event["id"] for _, event in batch.events] == ["a", "handler", "b"]
    assert batch.corrupt == 0


def test_half_a_line_that_was_broken_off_takes_no_other_with_it(broken_off):
    spool = broken_off(share=0.5)
    assert spool.append([line("next")])

    assert all_ids(spool) == ["next"]


def test_an_append_that_a_signal_breaks_off_is_no_reason_to_remove_the_file(broken_off, folder):
    broken_off().close()
    heir = new_spool(folder)
    heir.adopt()

    assert all_ids(heir) == ["broken off" * 20]


def test_a_file_that_fills_while_the_sender_looks_at_it_is_not_removed(folder, monkeypatch):
    spool = new_spool(folder, segment_bytes=len(line("a")) + 1)
    assert spool.append([line("a")])
    assert all_ids(spool) == ["a"]
    is_done = Segment.is_done.fget

    def done_before_the_appends(segment):
        was_done = is_done(segment)
        monkeypatch.undo()
        assert spool.append([line("b")])
        assert spool.append([line("c")])
        return was_done

    monkeypatch.setattr(Segment, "is_done", property(done_before_the_appends))

    assert all_ids(spool) + all_ids(spool) == ["b", "c"]


def test_a_full_disk_does_not_stop_what_lies_on_it_from_being_sent(new_client, server, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("expplat.client._segment.write_private", full)
    client = new_client(server.url, client_key=None)
    for number in range(600):
        assert client.outcome("m", unit="u", id=f"o{number}")

    assert client.flush()
    assert sum(server.receipts) == 600
    assert "No space left" in client.stats().last_error


def test_no_call_waits_until_the_disk_knows_of_a_new_file(new_client, server, monkeypatch):
    waiting = []

    def sync_folder(folder):
        waiting.append(threading.current_thread().name)

    monkeypatch.setattr("expplat.client._segment.sync_folder", sync_folder)
    client = new_client(server.url, client_key=None)
    assert client.outcome("m", unit="u")

    eventually(lambda: waiting)
    assert waiting == ["expplat_keep_up"]


def test_an_event_is_on_disk_when_sync_is_asked_for(folder, monkeypatch):
    synced = []
    monkeypatch.setattr(Segment, "sync", lambda segment: synced.append(segment.size))
    new_spool(folder, sync=True).append([line("a")])
    new_spool(folder).append([line("a")])

    assert synced == [len(line("a"))]


def test_the_disk_has_an_event_within_a_second(new_client, server, monkeypatch):
    synced, fsync = [], os.fsync
    monkeypatch.setattr("expplat.client._segment.os.fsync", lambda f: synced.append(fsync(f)))
    server.fail("refused")
    client = new_client(server.url, client_key=None)
    client.outcome("m", unit="u")
    synced.clear()

    assert eventually(lambda: synced) < 1.0


def test_what_was_sent_is_not_sent_again_by_the_next(new_client, server):
    first = new_client(server.url)
    for number in range(100):
        first.outcome("m", unit="u", id=f"sent-{number}")
    assert first.flush()
    server.fail("500")
    first.outcome("m", unit="u", id="unsent")
    first.close()
    server.fail(None)
    server.events.clear()
    new_client(server.url)

    eventually(lambda: server.events)
    assert [*server.events] == ["unsent"]


def test_without_a_folder_that_can_be_written_the_one_for_temporary_files_is_used(
    server, tmp_path, monkeypatch, caplog
):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    for _ in range(2):
        client = Client(
            server.url,
            client_key=CLIENT_KEY,
            ingest_key=INGEST_KEY,
            cache_dir=tmp_path / "file" / "state",
            handle_sigterm=False,
            pace=QUICK,
        )
        assert client.outcome("m", unit="u", id="o1")
        assert client.flush()
        client.close()

    assert [*server.events] == ["o1"]
    assert "temporary" in caplog.text


def test_flags_need_no_folder_at_all(server, tmp_path, monkeypatch):
    def gettempdir():
        raise FileNotFoundError("No usable temporary directory found")

    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr("tempfile.gettempdir", gettempdir)
    with Client(
        server.url, client_key=CLIENT_KEY, cache_dir=tmp_path / "file" / "state", pace=QUICK
    ) as client:
        assert client.assign("hybrid_rrf", unit="user-1").source == "test"


def test_a_closed_client_keeps_what_comes_late_for_the_next(new_client, server):
    first = new_client(server.url)
    first.close()
    assert first.outcome("m", unit="u", id="late")
    first._spool.close()
    new_client(server.url)

    eventually(lambda: [*server.events] == ["late"])
