"""Columns on disk: what they hold is what the journal holds, whatever happened before."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from expplat.adapters.replay import columns as replay_columns
from expplat.adapters.replay.columns import kept_columns
from expplat.adapters.replay.journal import ReplayJournal
from expplat.adapters.replay.journal_files import journal_path
from expplat.adapters.replay.journal_rows import line_of
from expplat.domain.call import Usage
from expplat.domain.replay import CONTROL, CONTROL_AGAIN, TREATMENT, CallRecord, ReplayRow
from expplat.domain.request import ErrorKind
from expplat.errors import EngineError
from expplat.metrics.catalogue import resolve
from expplat.metrics.columns import columns_of
from tests.builders import a_plan

METRICS = resolve(("recall_at_5", "latency_ms", "stage_rerank_ms", "error_fraction"))
REQUESTS = 100


def a_row(position):
    """A row of a log in which more and more turns up: stages, segments, arms, errors."""

    def call(latency_ms):
        return CallRecord(
            latency_ms=latency_ms,
            cpu_ms=1.5,
            cost_usd=Decimal("0.0000123"),
            metrics={"recall_at_5": position / 7 if position % 5 else None},
            stages_ms={"rerank": 3.25} if position > 60 else {},
            usages=(Usage(model="small", input_tokens=3, output_tokens=1, stage="rerank"),),
            error=ErrorKind.TIMEOUT if position > 90 else None,
        )

    calls = {CONTROL: call(10.0 + position), TREATMENT: call(20.0)}
    if position < 20:
        calls[CONTROL_AGAIN] = call(11.0)
    return ReplayRow(
        position=position,
        request_id=f"q{position}",
        cluster=f"ünit {position // 3}",
        segment={"topic": f"t{position % 4}"} if position > 50 else {},
        calls=calls,
    )


@pytest.fixture
def plan(tmp_path):
    made = a_plan(folder=str(tmp_path), metrics=METRICS, shards=2, requests=REQUESTS)
    (tmp_path / "journal").mkdir()
    return made


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(replay_columns, "BLOCK_ROWS", 8)


def journalled(plan, positions):
    for shard, own in itertools.groupby(positions, lambda position: position // 50):
        with journal_path(plan, shard).open("ab") as file:
            file.writelines(line_of(a_row(position)) for position in own)


def the_same(found, rows):
    """Check every column against those of the rows in memory."""
    asked = columns_of(rows, METRICS)
    names = tuple(sorted(asked.facts.columns))
    assert tuple(sorted(found.facts.columns)) == names
    assert replace(found.facts, columns=()) == replace(asked.facts, columns=())
    for name in names:
        np.testing.assert_array_equal(found._read(name), asked._read(name))
    return True


def test_columns_on_disk_are_those_of_the_rows(plan):
    journalled(plan, range(REQUESTS))

    found = ReplayJournal().columns(plan)

    assert the_same(found, [a_row(position) for position in range(REQUESTS)])
    assert {path.suffix for path in (Path(plan.folder) / "columns").iterdir()} == {".json", ".col"}


def test_the_journal_is_read_once_while_it_stays_the_same(plan):
    journalled(plan, range(REQUESTS))
    reads = []

    def rows():
        reads.append(1)
        return ReplayJournal().rows(plan)

    first, second = kept_columns(plan, rows), kept_columns(plan, rows)

    assert len(reads) == 1
    assert first.facts == second.facts
    assert second.positions.tolist() == list(range(REQUESTS))


def test_a_journal_that_has_grown_is_read_again(plan):
    journalled(plan, range(30))
    before = ReplayJournal().columns(plan)
    journalled(plan, range(30, REQUESTS))

    after = ReplayJournal().columns(plan)

    assert before.facts.rows == 30
    assert the_same(after, [a_row(position) for position in range(REQUESTS)])


def test_a_journal_of_the_same_length_that_was_written_anew_is_read_again(plan):
    journalled(plan, range(30))
    ReplayJournal().columns(plan)
    text = journal_path(plan, 0).read_bytes()
    journal_path(plan, 0).write_bytes(text.replace(b"20.0", b"99.0"))

    found = ReplayJournal().columns(plan)

    assert found.latencies_ms(TREATMENT).tolist() == [99.0] * 30


@pytest.mark.parametrize("harm", ["facts", "torn", "gone", "junk", "half"])
def test_broken_columns_are_made_anew(plan, harm):
    journalled(plan, range(REQUESTS))
    ReplayJournal().columns(plan)
    folder = Path(plan.folder) / "columns"
    if harm == "facts":
        (folder / "facts.json").unlink()
    elif harm == "torn":
        (folder / "00003.col").write_bytes(b"\0" * 12)
    elif harm == "gone":
        (folder / "00003.col").unlink()
    elif harm == "junk":
        (folder / "facts.json").write_bytes(b'{"made_of": 3')
    else:
        (folder / "facts.json").write_bytes(b"[1]")

    found = ReplayJournal().columns(plan)

    assert the_same(found, [a_row(position) for position in range(REQUESTS)])


def test_columns_that_vanish_while_they_are_read_are_an_error_of_the_engine(plan):
    journalled(plan, range(REQUESTS))
    found = ReplayJournal().columns(plan)
    shutil.rmtree(Path(plan.folder) / "columns")

    with pytest.raises(EngineError, match="have changed"):
        found.latencies_ms(CONTROL)


def test_a_broken_journal_leaves_no_columns_behind(plan):
    journalled(plan, range(30))
    with journal_path(plan, 0).open("ab") as file:
        file.write(b"{}\n")

    with pytest.raises(EngineError, match="broken in line 31"):
        ReplayJournal().columns(plan)

    assert not list(Path(plan.folder).glob("*columns*"))


def test_a_journal_without_rows_has_columns_without_entries(plan):
    found = ReplayJournal().columns(plan)

    assert (found.facts.rows, found.requests) == (0, 0)
    assert len(found.latencies_ms(CONTROL)) == 0
