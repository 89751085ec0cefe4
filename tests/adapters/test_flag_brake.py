"""The brake closes flags by files, and fails towards closed."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest

from expplat.adapters.flag_brake import FlagBrake
from expplat.errors import DependencyError, InputError
from expplat.flow.ports import Brake

NOON = datetime(2026, 3, 2, 12, 0, 0, 7, tzinfo=UTC)


@pytest.fixture
def brake(tmp_path):
    return FlagBrake(tmp_path / "state" / "closed")


def test_without_a_folder_nothing_is_closed(brake):
    assert brake.closed() == {}


def test_a_closed_flag_is_closed_for_every_process_since_that_moment(brake, tmp_path):
    brake.close("hybrid_rrf", NOON.astimezone(timezone(timedelta(hours=5))))

    assert FlagBrake(tmp_path / "state" / "closed").closed() == {"hybrid_rrf": Brake(NOON)}


def test_closing_again_takes_the_newer_moment(brake):
    brake.close("hybrid_rrf", NOON)
    brake.close("hybrid_rrf", NOON + timedelta(hours=1))

    assert brake.closed() == {"hybrid_rrf": Brake(NOON + timedelta(hours=1))}


@pytest.mark.parametrize(("known", "holds"), [(2, [True, True, False]), (None, [True, True, True])])
def test_a_brake_holds_the_test_that_it_was_pulled_in_and_no_later_one(brake, known, holds):
    brake.close("hybrid_rrf", NOON, known)

    found = brake.closed()["hybrid_rrf"]

    assert found == Brake(NOON, known)
    assert [found.holds(phase) for phase in (1, 2, 3)] == holds


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"yesterday", b"2026-03-02T12:00", b"2026-03-02T12:00Z\nlast"]
)
def test_a_file_that_says_nothing_sensible_still_closes_every_test(brake, tmp_path, content):
    brake.close("other", NOON)
    (tmp_path / "state" / "closed" / "hybrid_rrf").write_bytes(content)

    found = brake.closed()["hybrid_rrf"]
    assert (found.since.tzinfo, found.phase) == (UTC, None)


@pytest.mark.parametrize("name", [".hybrid_rrf.0a1b", "README.md", "Hybrid"])
def test_files_that_are_no_slug_close_nothing(brake, tmp_path, name):
    brake.close("other", NOON)
    (tmp_path / "state" / "closed" / name).write_text(NOON.isoformat())

    assert brake.closed() == {"other": Brake(NOON)}


@pytest.mark.parametrize("slug", ["", "../etc", "a/b", "A", "a.b", "a\0", "é", "a" * 101, "a\n"])
def test_a_name_that_is_no_slug_never_touches_a_path(brake, tmp_path, slug):
    with pytest.raises(InputError):
        brake.close(slug, NOON)

    assert list(tmp_path.iterdir()) == []


def test_only_the_owner_may_read_and_no_scrap_is_left(brake, tmp_path):
    brake.close("hybrid_rrf", NOON)

    folder = tmp_path / "state" / "closed"
    assert [path.name for path in folder.iterdir()] == ["hybrid_rrf"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "hybrid_rrf").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_used_is_a_dependency_error(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    brake = FlagBrake(tmp_path / "file" / "closed")

    with pytest.raises(DependencyError, match="cannot be written"):
        brake.close("hybrid_rrf", NOON)
    with pytest.raises(DependencyError, match="cannot be read"):
        brake.closed()


def test_a_file_that_cannot_be_read_is_a_dependency_error(brake, tmp_path):
    brake.close("other", NOON)
    (tmp_path / "state" / "closed" / "hybrid_rrf").mkdir()

    with pytest.raises(DependencyError, match="cannot be read"):
        brake.closed()


def test_a_write_that_fails_leaves_the_flag_as_it_was(brake, monkeypatch, tmp_path):
    brake.close("hybrid_rrf", NOON)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DependencyError, match="No space"):
        brake.close("hybrid_rrf", NOON + timedelta(hours=1))

    assert brake.closed() == {"hybrid_rrf": Brake(NOON)}
    assert len(list((tmp_path / "state" / "closed").iterdir())) == 1


def test_readers_never_meet_a_torn_file_while_others_write(brake):
    moments = [NOON + timedelta(seconds=second) for second in range(100)]
    seen = set()

    def write():
        for moment in moments:
            brake.close("hybrid_rrf", moment)

    brake.close("hybrid_rrf", NOON)
    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        seen.add(brake.closed()["hybrid_rrf"].since)
    for writer in writers:
        writer.join()

    assert seen <= set(moments)
