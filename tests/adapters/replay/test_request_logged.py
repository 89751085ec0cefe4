"""What systems answered before, as a log tells it."""

from __future__ import annotations

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expplat.adapters.request_log.log import RequestLogFiles
from expplat.domain.plain import from_plain
from expplat.domain.proposal import RequestLogSource
from expplat.domain.request import Request
from expplat.errors import FaultsError

FULL = {
    "text": "so",
    "retrieved": ["d1", "d2"],
    "refused": False,
    "confidence": 0.5,
    "latency_ms": 310.0,
    "cost_usd": 0.002,
    "stages_ms": {"retrieve": 12.5},
    "usages": [{"model": "m", "input_tokens": 900, "output_tokens": 80, "stage": ""}],
}


def freeze(tmp_path, path="log.jsonl", **columns):
    return RequestLogFiles().freeze(
        RequestLogSource(path=path, columns=columns),
        workspace=tmp_path,
        folder=tmp_path / "frozen",
        shard_requests=50,
    )


def frozen(tmp_path, *logged, path="log.jsonl"):
    """Freeze rows that differ in what was logged; return the requests as a worker reads them."""
    rows = [{"request_id": f"r{n}", "input": {}, "logged": each} for n, each in enumerate(logged)]
    (tmp_path / path).write_text("".join(json.dumps(row) + "\n" for row in rows))
    freeze(tmp_path, path)
    lines = (tmp_path / "frozen" / "shards" / "00000.jsonl").read_bytes().splitlines()
    return [from_plain(Request, json.loads(line)).logged for line in lines]


def faults_of(tmp_path, logged):
    with pytest.raises(FaultsError) as caught:
        frozen(tmp_path, logged)
    return caught.value.faults


def test_a_flat_object_is_what_production_answered(tmp_path):
    assert frozen(tmp_path, FULL) == [{"production": FULL}]


def test_an_object_of_objects_is_systems_by_their_names(tmp_path):
    systems = {"production": {"text": "a"}, "gpt-3.5": {"text": "b", "latency_ms": 5.0}}

    assert frozen(tmp_path, systems) == [systems]


def test_the_short_form_of_tokens_becomes_a_usage(tmp_path):
    short = {"output": "so", "model": "m", "input_tokens": 900, "output_tokens": 80}

    assert frozen(tmp_path, short) == [
        {"production": {"text": "so", "usages": FULL["usages"]}},
    ]


def test_an_error_of_no_known_kind_is_the_providers_and_keeps_its_words(tmp_path):
    known, other, none = frozen(
        tmp_path, {"error": "timeout"}, {"error": "HTTP 502"}, {"text": "a", "error": ""}
    )

    assert known == {"production": {"error": "timeout"}}
    assert other == {"production": {"error": "provider_error", "error_message": "HTTP 502"}}
    assert none == {"production": {"text": "a"}}


def test_all_formats_give_the_same_hash(tmp_path):
    row = {"request_id": "r", "input": {"q": "x"}, "logged": {"production": FULL, "b": FULL}}
    (tmp_path / "log.jsonl").write_text(json.dumps(row))
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "log.parquet")
    cells = {"request_id": "r", "input.q": "x", "logged.b": json.dumps(FULL)}
    for field, value in FULL.items():
        if field != "stages_ms":
            cells[f"logged.{field}"] = value if field == "text" else json.dumps(value)
    cells["logged.stages_ms.retrieve"] = "12.5"
    with (tmp_path / "log.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([cells.keys(), cells.values()])
    cells["logged.production"] = json.dumps(FULL)
    (tmp_path / "nested.jsonl").write_text(
        json.dumps({"request_id": "r", "input": {"q": "x"}, "logged": json.dumps(row["logged"])})
    )

    hashes = {
        freeze(tmp_path, name).sha256 for name in ("log.jsonl", "log.parquet", "nested.jsonl")
    }

    assert len(hashes) == 1
    assert freeze(tmp_path, "log.csv").sha256 in hashes


def test_a_column_of_a_system_whose_name_has_a_dot(tmp_path):
    (tmp_path / "log.csv").write_text(
        "request_id,input.q,logged.gpt-3.5.text,logged.gpt-3.5.refused,note\nr,x,007,True,n\n"
    )
    freeze(tmp_path, "log.csv", **{"logged.human.text": "note"})

    (line,) = (tmp_path / "frozen" / "shards" / "00000.jsonl").read_bytes().splitlines()

    assert json.loads(line)["logged"] == {
        "gpt-3.5": {"text": "007", "refused": True},
        "human": {"text": "n"},
    }


@pytest.mark.parametrize("empty", [{}, {"production": {}}, {"text": None}, {"a": {"text": None}}])
def test_what_recorded_nothing_leaves_no_trace(tmp_path, empty):
    (tmp_path / "plain.jsonl").write_text('{"request_id": "r0", "input": {}}')
    plain = freeze(tmp_path, "plain.jsonl").sha256

    assert frozen(tmp_path, empty) == [{}]
    assert freeze(tmp_path).sha256 == plain


@pytest.mark.parametrize(
    ("logged", "field", "words"),
    [
        ("text", "logged", "not JSON"),
        (5, "logged", "not an object"),
        ({"a": {"text": "x"}, "text": "y"}, "logged.production.a", "no such field"),
        ({"a b": {"text": "x"}}, "logged", "not the name of a system"),
        ({"txt": "x"}, "logged.production.txt", "no such field"),
        ({"text": 5}, "logged.production.text", "not text"),
        ({"text": "a", "output": "a"}, "logged.production.output", "another word"),
        ({"retrieved": "d1"}, "logged.production.retrieved", "not a list of ids"),
        ({"retrieved": [1]}, "logged.production.retrieved", "not a list of ids"),
        ({"refused": 1}, "logged.production.refused", "not true or false"),
        ({"confidence": 1.5}, "logged.production.confidence", "It is 1.5"),
        ({"latency_ms": -1}, "logged.production.latency_ms", "It is -1"),
        ({"latency_ms": True}, "logged.production.latency_ms", "not a number"),
        ({"latency_ms": "310 ms"}, "logged.production.latency_ms", "not a number"),
        ({"cost_usd": 10**400}, "logged.production.cost_usd", "It is 1000"),
        ({"stages_ms": {"a": -1}}, "logged.production.stages_ms", "It is -1"),
        ({"stages_ms": [1]}, "logged.production.stages_ms", "not an object"),
        ({"error": 5}, "logged.production.error", "not text"),
        ({"usages": {}}, "logged.production.usages", "list of objects"),
        ({"usages": [{"input_tokens": 1}]}, "logged.production.usages", "model is missing"),
        ({"usages": [{"model": "m", "input_tokens": 1.5}]}, "logged.production.usages", "whole"),
        ({"usages": [{"model": "m", "tokens": 1}]}, "logged.production.usages", "'tokens'"),
        ({"usages": [], "model": "m"}, "logged.production.usages", "twice"),
        ({"input_tokens": 5}, "logged.production.model", "which model"),
    ],
)
def test_what_is_not_of_its_type_is_a_fault(tmp_path, logged, field, words):
    (fault,) = faults_of(tmp_path, logged)

    assert (fault.line, fault.field) == (1, field)
    assert words in fault.message
    assert fault.hint


def test_all_faults_of_an_answer_are_listed_at_once(tmp_path):
    found = faults_of(tmp_path, {"a": {"text": 1, "latency_ms": "x"}, "b": {"refused": "no"}})

    assert [fault.field for fault in found] == [
        "logged.a.latency_ms",
        "logged.a.text",
        "logged.b.refused",
    ]
