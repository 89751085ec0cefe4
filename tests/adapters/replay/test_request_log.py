"""Request logs: every fault at once, one canonical form whatever the format."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tracemalloc
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.adapters.request_log.log import RequestLogFiles
from expplat.adapters.request_log.raw import Raw
from expplat.adapters.request_log.rows import RowReader
from expplat.domain.plain import canonical_json, to_plain
from expplat.domain.proposal import RequestLogSource
from expplat.domain.request import Request
from expplat.errors import FaultsError, InputError

ROWS = [
    {
        "request_id": f"r{n}",
        "input": {"question": f"What is {n}? Ä"},
        "expected": {"relevant_ids": [f"d{n}", "d0"], "answer": "so"},
        "answerable": n != 2,
        "cluster": "c",
        "segment": {"topic": "syntax"},
    }
    for n in range(5)
]


def freeze(tmp_path, path="log.jsonl", *, columns=None, to=None, shard_requests=2):
    return RequestLogFiles().freeze(
        RequestLogSource(path=path, columns=columns or {}),
        workspace=tmp_path,
        folder=(to or tmp_path) / "frozen",
        shard_requests=shard_requests,
    )


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def faults_of(tmp_path, content, path="log.jsonl", **keywords):
    (tmp_path / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FaultsError) as caught:
        freeze(tmp_path, path, **keywords)
    assert not (tmp_path / "frozen").exists()
    return [(fault.line, fault.field, fault.message) for fault in caught.value.faults]


def test_a_log_is_cut_into_shards_in_its_order(tmp_path):
    write_jsonl(tmp_path / "log.jsonl", ROWS)

    log = freeze(tmp_path)

    files = sorted((tmp_path / "frozen" / "shards").iterdir())
    lines = [json.loads(line) for file in files for line in file.read_bytes().splitlines()]
    assert (log.requests, log.shards) == (5, 3)
    assert [file.name for file in files] == ["00000.jsonl", "00001.jsonl", "00002.jsonl"]
    assert lines == ROWS


def test_the_hash_depends_on_the_rows_alone(tmp_path):
    write_jsonl(tmp_path / "log.jsonl", ROWS)
    turned = [dict(reversed(row.items())) for row in ROWS]
    (tmp_path / "spaced.jsonl").write_text(
        "\n\n".join(json.dumps(row, indent=None) for row in turned)
    )

    first = freeze(tmp_path)
    again = freeze(tmp_path)
    other_size = freeze(tmp_path, shard_requests=3)
    spaced = freeze(tmp_path, "spaced.jsonl")

    assert len({log.sha256 for log in (first, again, other_size, spaced)}) == 1
    assert len(list((tmp_path / "frozen").iterdir())) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"answerable": None},
        {"input": {"question": "What is 4?"}},
        {"expected": {"relevant_ids": ["d0", "d4"], "answer": "so"}},
        {"cluster": "other"},
    ],
)
def test_any_change_of_a_row_changes_the_hash(tmp_path, change):
    write_jsonl(tmp_path / "log.jsonl", ROWS)
    write_jsonl(tmp_path / "changed.jsonl", [*ROWS[:4], {**ROWS[4], **change}])

    assert freeze(tmp_path).sha256 != freeze(tmp_path, "changed.jsonl").sha256


def test_parquet_and_csv_freeze_to_the_bytes_of_jsonl(tmp_path):
    write_jsonl(tmp_path / "log.jsonl", ROWS)
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "log.parquet")
    with (tmp_path / "log.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "q", "expected", "answerable", "cluster", "segment.topic", "more"])
        writer.writerows(
            [
                row["request_id"],
                row["input"]["question"],
                json.dumps(row["expected"]),
                str(row["answerable"]).lower(),
                "c",
                "syntax",
                "unused",
            ]
            for row in ROWS
        )
    columns = {"request_id": "id", "input.question": "q"}

    hashes = {
        freeze(tmp_path).sha256,
        freeze(tmp_path, "log.parquet").sha256,
        freeze(tmp_path, "log.csv", columns=columns).sha256,
    }

    assert len(hashes) == 1


def test_a_glob_is_read_in_the_order_of_the_names(tmp_path):
    (tmp_path / "logs").mkdir()
    write_jsonl(tmp_path / "log.jsonl", ROWS)
    write_jsonl(tmp_path / "logs" / "b.jsonl", ROWS[3:])
    write_jsonl(tmp_path / "logs" / "a.jsonl", ROWS[:3])

    assert freeze(tmp_path, "logs/*.jsonl").sha256 == freeze(tmp_path).sha256


def test_all_faults_of_a_log_are_listed_at_once(tmp_path):
    good = json.dumps(ROWS[0])
    lines = [
        good.encode(),
        b"not json",
        b'{"request_id": "n", "input": {"x": NaN}}',
        b'{"request_id": "i", "input": {"x": 1e999}}',
        b'{"request_id": "u", "input": {"x": "\xff"}}',
        b'{"request_id": 7, "input": {}}',
        b'{"request_id": "s", "input": "text"}',
        b'{"input": {}}',
        b'{"request_id": "a", "input": {}, "answerable": "yes"}',
        b'{"request_id": "g", "input": {}, "segment": {"n": [1]}}',
        b'{"request_id": "h", "input": {"x": "\\ud800"}}',
        b'{"request_id": "k", "input": {"x": 1, "x": 2}}',
        b"[" * 200_000,
        b'{"request_id": "b", "input": {"x": "' + b"x" * 1_100_000 + b'"}}',
        good.encode(),
    ]

    found = faults_of(tmp_path, b"\n".join(lines))

    assert [(line, field) for line, field, _ in found] == [
        (2, ""),
        (3, ""),
        (4, ""),
        (5, ""),
        (6, "request_id"),
        (7, "input"),
        (8, "request_id"),
        (9, "answerable"),
        (10, "segment.n"),
        (11, ""),
        (12, ""),
        (13, ""),
        (14, ""),
        (15, "request_id"),
    ]
    words = {line: message for line, _, message in found}
    assert "NaN" in words[3]
    assert "too large" in words[4]
    assert "UTF-8" in words[5]
    assert "half a character" in words[11]
    assert "twice" in words[12]
    assert "nested" in words[13]
    assert "1,000,000 bytes" in words[14]
    assert "'r0' stands on line 1 already" in words[15]


def test_the_first_hundred_faults_are_enough(tmp_path):
    assert len(faults_of(tmp_path, "broken\n" * 500)) == 100


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_log_is_a_fault(tmp_path, content):
    assert faults_of(tmp_path, content) == [(0, "", "The log holds no request.")]


@pytest.mark.parametrize("path", ["absent.jsonl", "absent-*.jsonl", "."])
def test_a_log_that_is_not_there_is_named(tmp_path, path):
    with pytest.raises(InputError, match="no request log") as caught:
        freeze(tmp_path, path)

    assert str(tmp_path) in caught.value.hint


def test_a_log_of_an_unknown_format_is_refused(tmp_path):
    (tmp_path / "log.xml").write_text("<log/>")

    with pytest.raises(InputError, match="no known format"):
        freeze(tmp_path, "log.xml")


def test_an_unknown_field_of_the_mapping_is_a_fault(tmp_path):
    found = faults_of(tmp_path, json.dumps(ROWS[0]), columns={"inptu.question": "q"})

    assert found[0][:2] == (0, "request_log.columns.inptu.question")


@pytest.mark.parametrize(
    ("content", "line", "field"),
    [
        ("request_id,question\nr,x\n", 1, "input"),
        ("id,input.q\nr,x\n", 1, "request_id"),
        ("request_id,input.q,input.q\nr,x,y\n", 1, "input.q"),
        ("request_id,input.q\nr,x,y\n", 2, ""),
        ('request_id,input.q\nr,"x\ny"\nr,"z"\n', 4, "request_id"),
        ('request_id,input.q\nr,"x\n', 2, ""),
        ("request_id,input\nr,nonsense\n", 2, "input"),
        (b"request_id,input.q\nr,\xff\n", 0, ""),
    ],
)
def test_a_fault_of_a_csv_file_has_its_line(tmp_path, content, line, field):
    found = faults_of(tmp_path, content, "log.csv")

    assert (line or 2, field) in [fault[:2] for fault in found]


def test_a_parquet_file_with_an_extension_type_is_refused_undecoded(tmp_path):
    storage = pa.array([b"never decoded"])
    field = pa.field("x", pa.binary(), metadata={"ARROW:extension:name": "somebodys.pickle"})
    schema = pa.schema([pa.field("request_id", pa.string()), field])
    table = pa.Table.from_arrays([pa.array(["r"]), storage], schema=schema)
    pq.write_table(table, tmp_path / "log.parquet")

    with pytest.raises(FaultsError) as caught:
        freeze(tmp_path, "log.parquet")

    assert ("x", True) in [(f.field, "extension type" in f.message) for f in caught.value.faults]


def test_a_parquet_column_that_json_has_not_is_refused(tmp_path):
    table = pa.table({"request_id": ["r"], "input.q": pa.array([b"x"])})
    pq.write_table(table, tmp_path / "log.parquet")

    with pytest.raises(FaultsError) as caught:
        freeze(tmp_path, "log.parquet")

    assert [fault.field for fault in caught.value.faults] == ["input.q"]


def test_a_fault_of_a_parquet_file_has_its_row(tmp_path):
    table = pa.table({"request_id": ["a", "b", "a"], "input.x": [1.0, float("nan"), 2.0]})
    pq.write_table(table, tmp_path / "log.parquet")

    with pytest.raises(FaultsError) as caught:
        freeze(tmp_path, "log.parquet")

    assert [(fault.line, fault.field) for fault in caught.value.faults] == [
        (2, ""),
        (3, "request_id"),
    ]


@pytest.mark.parametrize("cut", [10, 200])
def test_a_cut_parquet_file_is_a_fault(tmp_path, cut):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "whole.parquet")

    found = faults_of(tmp_path, (tmp_path / "whole.parquet").read_bytes()[:-cut], "log.parquet")

    assert "not sound Parquet" in found[0][2]


def test_a_parquet_file_that_unfolds_to_gigabytes_is_stopped_early(tmp_path):
    large = "x" * 2_000_000
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), [large])
    table = pa.table({"request_id": [f"r{n}" for n in range(2000)], "input.q": column})
    pq.write_table(table, tmp_path / "log.parquet", compression="zstd", store_schema=False)
    pool = pa.default_memory_pool()
    before = max(pool.max_memory(), pool.bytes_allocated() + 500_000_000)

    with pytest.raises(FaultsError, match="100 faults"):
        freeze(tmp_path, "log.parquet")

    assert (tmp_path / "log.parquet").stat().st_size < 100_000
    assert pool.max_memory() <= before


def one_text_a_thousand_times_in_one_row():
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), ["x" * 2_000_000])
    return pa.ListArray.from_arrays(pa.array([0, 1000], pa.int32()), texts)


def millions_of_numbers_in_one_row():
    zeros = pa.repeat(pa.scalar(0, pa.int8()), 40_000_000)
    return pa.ListArray.from_arrays(pa.array([0, 40_000_000], pa.int32()), zeros)


def large_texts():
    return pa.array(["x" * 2_000_000] * 150)


PLAIN = {"use_dictionary": False}


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (one_text_a_thousand_times_in_one_row, {}, "over 1,000,000 bytes"),
        (millions_of_numbers_in_one_row, {}, "40,000,000 values in lists"),
        (large_texts, PLAIN, "unfolds from"),
        (
            large_texts,
            {**PLAIN, "column_encoding": {"input.q": "DELTA_BYTE_ARRAY"}},
            "written as differences",
        ),
    ],
)
def test_a_small_file_is_refused_before_it_unfolds(tmp_path, make, options, words):
    column = make()
    ids = pa.array([f"r{n}" for n in range(len(column))])
    pq.write_table(
        pa.table({"request_id": ids, "input.q": column}),
        tmp_path / "log.parquet",
        compression="zstd",
        store_schema=False,
        write_statistics=False,
        **options,
    )
    del column
    allocated = pa.total_allocated_bytes()

    with pytest.raises(FaultsError) as caught:
        freeze(tmp_path, "log.parquet")

    assert (tmp_path / "log.parquet").stat().st_size < 200_000
    assert words in caught.value.faults[0].message
    assert pa.total_allocated_bytes() <= allocated


def test_texts_of_a_dictionary_are_read_across_row_groups_and_pages(tmp_path):
    rows = [
        {"request_id": f"r{n}", "input": {"q": "x"}, "expected": {"ids": [f"d{n}", "d0"]}}
        for n in range(5_000)
    ]
    write_jsonl(tmp_path / "log.jsonl", rows)
    pq.write_table(
        pa.Table.from_pylist(rows),
        tmp_path / "log.parquet",
        row_group_size=1_900,
        dictionary_pagesize_limit=2_000,
    )

    frozen = [freeze(tmp_path, f"log.{end}", shard_requests=5_000) for end in ("jsonl", "parquet")]
    assert frozen[0] == frozen[1]


def test_decimals_days_and_maps_of_a_table_have_a_form_in_json(tmp_path):
    table = pa.table(
        {
            "request_id": ["r"],
            "input": pa.array([{"day": date(2026, 10, 1), "price": Decimal("0.3")}]),
            "segment": pa.array([[("country", "FR")]], pa.map_(pa.string(), pa.string())),
        }
    )
    pq.write_table(table, tmp_path / "log.parquet")
    write_jsonl(
        tmp_path / "log.jsonl",
        [
            {
                "request_id": "r",
                "input": {"day": "2026-10-01", "price": 0.3},
                "segment": {"country": "FR"},
            }
        ],
    )

    assert freeze(tmp_path, "log.parquet").sha256 == freeze(tmp_path).sha256


def test_numbers_and_booleans_of_a_segment_are_text(tmp_path):
    write_jsonl(
        tmp_path / "log.jsonl",
        [{"request_id": "r", "input": {}, "segment": {"n": 3, "x": 2.0, "b": True, "no": None}}],
    )

    freeze(tmp_path)

    row = json.loads((tmp_path / "frozen" / "shards" / "00000.jsonl").read_bytes())
    assert row["segment"] == {"n": "3", "x": "2", "b": "true"}


def test_a_row_without_an_id_is_pointed_to_the_mapping(tmp_path):
    write_jsonl(tmp_path / "log.jsonl", [{"id": "r", "input": {}}])

    with pytest.raises(FaultsError) as caught:
        freeze(tmp_path)

    assert [(f.line, f.field) for f in caught.value.faults] == [(1, "request_id")]
    assert "request_log.columns" in caught.value.faults[0].hint


def test_the_hash_of_the_shipped_log_is_the_one_it_has_always_had(tmp_path):
    log = freeze(Path(__file__).parents[3], "experiments/logs/python_questions.jsonl", to=tmp_path)

    assert log.sha256 == "f6f7ce0faac1203f8472a7a6efc24d2164c4334d45436c3276c747dc93e61ced"


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(
        st.characters(exclude_categories=["Cs"])), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), plain, max_size=3))
def test_a_row_is_written_as_the_one_canonical_form(value):
    written = RowReader({}).read(Raw(1, {"request_id": "r", "input": value}))

    whole = to_plain(Request(request_id="r", input=value))
    del whole["logged"]
    assert written.content == canonical_json(whole)


def test_different_ids_of_one_hash_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("expplat.adapters.request_log.ids._digest", lambda request_id: bytes(7))
    write_jsonl(tmp_path / "log.jsonl", ROWS)
    write_jsonl(tmp_path / "twice.jsonl", [*ROWS, ROWS[3]])

    log = freeze(tmp_path)

    assert log.requests == 5
    with pytest.raises(FaultsError) as caught:
        freeze(tmp_path, "twice.jsonl")
    (fault,) = caught.value.faults
    assert (fault.line, fault.message) == (6, "'r3' stands on line 4 already.")


def test_a_duplicate_in_another_file_is_named_with_both(tmp_path):
    for name in ("a", "b"):
        write_jsonl(tmp_path / f"{name}.jsonl", ROWS[:2])

    with pytest.raises(FaultsError) as caught:
        freeze(tmp_path, "*.jsonl")

    assert [fault.message for fault in caught.value.faults] == [
        "b.jsonl: 'r0' stands on a.jsonl: line 1 already.",
        "b.jsonl: 'r1' stands on a.jsonl: line 2 already.",
    ]


def test_a_log_that_repeats_itself_for_ever_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("expplat.adapters.request_log.ids.FIRST_LOOK", 500)
    looked_at = []

    def rows():
        for _ in range(2_000):
            looked_at.append(1)
            yield Raw(len(looked_at), ROWS[0])

    monkeypatch.setattr("expplat.adapters.request_log.log.raw_rows", lambda file, wanted: rows())
    (tmp_path / "log.jsonl").touch()

    with pytest.raises(FaultsError, match="100 faults"):
        freeze(tmp_path)

    assert len(looked_at) <= 500 + 102


FREEZE = """
import sys
from pathlib import Path
from expplat.adapters.request_log.log import RequestLogFiles
from expplat.domain.proposal import RequestLogSource
folder = Path(sys.argv[1])
log = RequestLogFiles().freeze(
    RequestLogSource(path="log.jsonl"), workspace=folder, folder=folder / "x", shard_requests=1000
)
(peak,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(log.requests, peak.split()[1])
"""


@pytest.mark.long
def test_a_request_more_takes_a_dozen_bytes_of_memory(tmp_path):
    found = {}
    for rows in (10_000, 1_000_000):
        write_jsonl(
            tmp_path / "log.jsonl", ({"request_id": f"r{n}", "input": {}} for n in range(rows))
        )
        done = subprocess.run(
            [sys.executable, "-c", FREEZE, str(tmp_path)], capture_output=True, check=True
        )
        requests, found[rows] = map(int, done.stdout.split())
        assert requests == rows

    assert found[1_000_000] - found[10_000] <= 12_000  # KiB, for 990,000 requests


def test_a_long_log_is_never_held(tmp_path):
    text = "x" * 20_000
    write_jsonl(
        tmp_path / "log.jsonl",
        ({"request_id": f"r{n}", "input": {"q": text}} for n in range(1_000)),
    )
    tracemalloc.start()

    log = freeze(tmp_path, shard_requests=100)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert log.requests == 1_000
    assert peak < 3_000_000


def test_a_broken_log_leaves_an_earlier_one_as_it_was(tmp_path):
    write_jsonl(tmp_path / "log.jsonl", ROWS)
    freeze(tmp_path)
    (tmp_path / "bad.jsonl").write_text("bad")

    with pytest.raises(FaultsError):
        freeze(tmp_path, "bad.jsonl")

    assert [path.name for path in (tmp_path / "frozen").iterdir()] == ["shards"]
    assert len(list((tmp_path / "frozen" / "shards").iterdir())) == 3
