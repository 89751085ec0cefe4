"""Where a request log may lie: folders, and the file systems of pyarrow."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from expplat.adapters.request_log.files import raw_rows
from expplat.adapters.request_log.log import RequestLogFiles
from expplat.adapters.request_log.store import files_in
from expplat.domain.proposal import RequestLogSource
from expplat.errors import DependencyError, InputError

ROWS = [{"request_id": f"r{n}", "input": {"question": f"What is {n}?"}} for n in range(6)]


def freeze(tmp_path, path):
    return RequestLogFiles().freeze(
        RequestLogSource(path=path),
        workspace=tmp_path,
        folder=tmp_path / "frozen",
        shard_requests=2,
    )


def as_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def logs(tmp_path) -> Path:
    """A folder with a log in three formats, and what else lies in such folders."""
    folder = tmp_path / "logs"
    (folder / "older").mkdir(parents=True)
    (folder / "a.jsonl").write_text(as_lines(ROWS[:2]))
    (folder / "b.csv").write_text("request_id,input.question\nr2,What is 2?\nr3,What is 3?\n")
    pq.write_table(pa.Table.from_pylist(ROWS[4:]), folder / "c.parquet")
    for name in ("README.md", "_SUCCESS", "_part.jsonl", ".hidden.csv"):
        (folder / name).write_text("no log")
    (folder / "older" / "d.jsonl").write_text(as_lines(ROWS))
    (tmp_path / "whole.jsonl").write_text(as_lines(ROWS))
    return folder


def test_a_folder_is_its_readable_files_in_the_order_of_their_names(tmp_path, logs):
    assert freeze(tmp_path, "logs") == freeze(tmp_path, "whole.jsonl")


def test_a_folder_without_a_readable_file_says_what_is_there(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "log.xml").write_text("<log/>")

    with pytest.raises(InputError, match="known format") as caught:
        freeze(tmp_path, "logs")

    assert "log.xml" in caught.value.hint


def test_a_file_whose_name_looks_like_a_glob_is_found(tmp_path):
    (tmp_path / "log[1].jsonl").write_text(as_lines(ROWS))

    assert freeze(tmp_path, "log[1].jsonl").requests == 6


def test_an_address_gives_the_same_log_as_the_path(tmp_path, logs):
    whole = freeze(tmp_path, "whole.jsonl")

    assert freeze(tmp_path, f"file://{tmp_path}/whole.jsonl") == whole
    assert freeze(tmp_path, f"file://{logs}") == whole
    assert freeze(tmp_path, f"file://{logs}/") == whole
    assert freeze(tmp_path, f"file://{logs}/[a-c].*") == whole
    assert freeze(tmp_path, f"file://{tmp_path}/logs/*/d.jsonl") == whole


def test_any_file_system_of_pyarrow_can_hold_a_log(tmp_path, logs):
    store = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())

    files = files_in(store, "logs")

    rows = [row for file in files for row in raw_rows(file, lambda names: (list(names), []))]
    assert [file.name for file in files] == ["a.jsonl", "b.csv", "c.parquet"]
    assert [row.values["request_id"] for row in rows] == [f"r{n}" for n in range(6)]


def test_a_store_that_lists_folders_of_folders_is_searched_by_pattern():
    store = fs._MockFileSystem()
    store.create_dir("bucket/2026/01", recursive=True)
    for name in ("bucket/2026/01/a.jsonl", "bucket/2026/b.jsonl", "bucket/c.txt"):
        with store.open_output_stream(name) as file:
            file.write(as_lines(ROWS).encode())

    found = files_in(store, "bucket", "2026/*.jsonl")

    assert [file.name for file in found] == ["a.jsonl", "b.jsonl"]


@pytest.mark.parametrize("path", ["absent.jsonl", "logs/*.xml", "logs/absent/"])
def test_an_address_where_nothing_lies_is_named(tmp_path, logs, path):
    with pytest.raises(InputError, match="no request log at file://") as caught:
        freeze(tmp_path, f"file://{tmp_path}/{path}")

    assert caught.value.exit_status == 2


@pytest.mark.parametrize("address", ["ftp://host/log.jsonl", "s3://bucket/log.csv?nonsense=1"])
def test_an_address_that_no_store_understands_is_refused(tmp_path, address):
    with pytest.raises(InputError, match="no address of a store") as caught:
        freeze(tmp_path, address)

    assert "s3://bucket" in caught.value.hint


def test_a_store_that_is_out_of_reach_is_a_dependency(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    address = "gs://anonymous@bucket/log.jsonl?endpoint_override=127.0.0.1:1&scheme=http"

    with pytest.raises(DependencyError, match="cannot be read") as caught:
        freeze(tmp_path, f"{address}&retry_limit_seconds=1")

    assert caught.value.exit_status == 3
    assert "environment" in caught.value.hint
    assert not (tmp_path / "frozen").exists()


class Breaking:
    """A store that goes away while one of its files is read."""

    def __init__(self, path: Path, sound_bytes: int) -> None:
        self._path, self._sound_bytes = path, sound_bytes

    def get_file_info(self, path):
        return fs.LocalFileSystem().get_file_info(path)

    def open_input_file(self, path):
        file, store = self._path.open("rb"), self

        class Content:
            def readinto(self, buffer):
                if file.tell() >= store._sound_bytes:
                    raise OSError("connection reset")
                return file.readinto(memoryview(buffer)[: store._sound_bytes])

            seek, tell, close = file.seek, file.tell, file.close

        return Content()


@pytest.mark.parametrize(("name", "sound_bytes"), [("whole.jsonl", 100), ("c.parquet", 0)])
def test_a_store_that_goes_away_is_not_taken_for_a_broken_file(tmp_path, logs, name, sound_bytes):
    shutil.copy(logs / "c.parquet", tmp_path)
    (file,) = files_in(Breaking(tmp_path / name, sound_bytes), str(tmp_path / name))

    with pytest.raises(DependencyError, match="connection reset"):
        list(raw_rows(file, lambda names: (list(names), [])))
