"""A request log that one SELECT makes: of files, or in a database."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from expplat.adapters.request_log.log import RequestLogFiles
from expplat.domain.proposal import RequestLogSource
from expplat.errors import ConfigurationError, DependencyError, FaultsError, InputError

SHARED = Path(__file__).parents[3].parent / "shared" / "data"

EVENTS = (
    "id,day,question,ms,cost,user\n10,2026-10-01,a,5,0.3,1\n9,2026-10-02,b,7,0.7,1\n007,,c,,,2\n"
)
QUERY = """
    SELECT id AS request_id, question AS "input.question", "user" AS cluster,
           {'latency_ms': ms, 'cost_usd': CAST(cost AS DECIMAL(4, 2))} AS logged
    FROM data
"""


def freeze(workspace, folder, **source):
    log = RequestLogFiles().freeze(
        RequestLogSource(**source), workspace=workspace, folder=folder, shard_requests=10_000
    )
    assert [path.name for path in folder.iterdir()] == ["shards"]
    assert all(path.suffix == ".jsonl" for path in (folder / "shards").iterdir())
    return log


def rows_in(folder):
    lines = (folder / "shards" / "00000.jsonl").read_bytes().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "workspace" / "logs").mkdir(parents=True)
    (tmp_path / "workspace" / "logs" / "events.csv").write_text(EVENTS)
    return tmp_path / "workspace"


@pytest.mark.parametrize("path", ["logs/events.csv", "logs", "logs/*.csv"])
def test_a_query_makes_requests_of_files_that_it_calls_data(workspace, tmp_path, path):
    freeze(workspace, tmp_path / "frozen", path=path, query=QUERY)

    rows = rows_in(tmp_path / "frozen")

    assert [row["request_id"] for row in rows] == ["007", "10", "9"]
    assert rows[1]["input"] == {"question": "a"}
    assert rows[1]["cluster"] == "1"
    assert rows[1]["logged"] == {"production": {"latency_ms": 5.0, "cost_usd": 0.3}}
    assert "logged" not in rows[0]


def test_the_rows_of_a_query_have_one_order_whatever_it_says(workspace, tmp_path):
    hashes = {
        freeze(
            workspace,
            tmp_path / order,
            path="logs/events.csv",
            query=f"{QUERY} ORDER BY question {order}",
        ).sha256
        for order in ("ASC", "DESC")
    }

    assert len(hashes) == 1


def test_a_query_reads_other_files_by_their_path_in_the_workspace(workspace, tmp_path, monkeypatch):
    (workspace / "logs" / "users.jsonl").write_text('{"user": 1, "country": "FR"}\n')
    monkeypatch.chdir(tmp_path)
    query = """
        SELECT data.id AS request_id, data.question AS "input.question", country AS nation
        FROM data JOIN 'logs/users.jsonl' AS users ON users.user = data.user
    """

    freeze(
        workspace,
        tmp_path / "frozen",
        path="logs/events.csv",
        query=query,
        columns={"segment.country": "nation"},
    )

    assert [row["segment"] for row in rows_in(tmp_path / "frozen")] == [{"country": "FR"}] * 2


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("DROP TABLE x", "one SELECT"),
        ("SELECT 1; SELECT 2", "one SELECT"),
        ("SELECT nothing FROM data", "cannot be read"),
        ("SELEC", "not SQL"),
    ],
)
def test_a_query_that_does_not_run_is_said_in_a_sentence(workspace, tmp_path, query, words):
    with pytest.raises(InputError, match=words):
        freeze(workspace, tmp_path / "frozen", path="logs/events.csv", query=query)

    assert not (tmp_path / "frozen").exists()


def test_a_query_without_an_id_is_pointed_to_the_mapping(workspace, tmp_path):
    with pytest.raises(FaultsError) as caught:
        freeze(workspace, tmp_path / "frozen", path="logs", query="SELECT question FROM data")

    assert [fault.field for fault in caught.value.faults] == ["input", "request_id"]
    assert all("request_log.columns" in fault.hint for fault in caught.value.faults)
    assert caught.value.source == "The query over logs"


def test_a_query_runs_in_the_database_that_a_variable_names(workspace, tmp_path, monkeypatch):
    path = tmp_path / "logs.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE asked (id INTEGER, input TEXT, docs TEXT)")
        database.executemany(
            "INSERT INTO asked VALUES (?, ?, ?)",
            [(2, '{"question": "b"}', '["d1"]'), (1, '{"question": "a: 5"}', '["d2", "d3"]')],
        )
    monkeypatch.setenv("REQUESTS_DATABASE", f"sqlite:///{path}")

    freeze(
        workspace,
        tmp_path / "frozen",
        database_env="REQUESTS_DATABASE",
        query="SELECT id, input, json_object('relevant_ids', json(docs)) AS expected FROM asked",
        columns={"request_id": "id"},
    )

    rows = rows_in(tmp_path / "frozen")
    assert [row["request_id"] for row in rows] == ["1", "2"]
    assert rows[0]["input"] == {"question": "a: 5"}
    assert rows[0]["expected"] == {"relevant_ids": ["d2", "d3"]}


def test_a_database_is_asked_once_for_as_long_as_its_rows_are_kept(
    workspace, tmp_path, monkeypatch
):
    path = tmp_path / "logs.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE asked (request_id TEXT, input TEXT)")
        database.execute("""INSERT INTO asked VALUES ('1', '{"question": "a"}')""")
    monkeypatch.setenv("REQUESTS_DATABASE", f"sqlite:///{path}")
    source = RequestLogSource(database_env="REQUESTS_DATABASE", query="SELECT * FROM asked")

    def frozen(kept):
        return RequestLogFiles().freeze(
            source, workspace=workspace, folder=tmp_path / "frozen", shard_requests=10, kept=kept
        )

    first = frozen(tmp_path / "queries" / "1.parquet")
    with sqlite3.connect(path) as database:
        database.execute("""INSERT INTO asked VALUES ('2', '{"question": "b"}')""")

    assert frozen(tmp_path / "queries" / "1.parquet") == first
    assert frozen(tmp_path / "queries" / "2.parquet").requests == 2


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_variable_that_is_not_set_is_named(workspace, tmp_path, monkeypatch, value):
    monkeypatch.delenv("REQUESTS_DATABASE", raising=False)
    if value is not None:
        monkeypatch.setenv("REQUESTS_DATABASE", value)

    with pytest.raises(ConfigurationError, match="REQUESTS_DATABASE") as caught:
        freeze(workspace, tmp_path / "frozen", database_env="REQUESTS_DATABASE", query="SELECT 1")

    assert "export REQUESTS_DATABASE=" in caught.value.hint


def test_a_database_that_is_away_is_a_dependency_and_keeps_its_password(
    workspace, tmp_path, monkeypatch
):
    monkeypatch.setenv("REQUESTS_DATABASE", "postgresql://ada:secret@127.0.0.1:1/logs")

    with pytest.raises(DependencyError) as caught:
        freeze(workspace, tmp_path / "frozen", database_env="REQUESTS_DATABASE", query="SELECT 1")

    assert "secret" not in caught.value.message + caught.value.hint


def shared(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the public data are not beside this checkout: {name}")
    return path


def test_two_readers_that_published_their_answers_are_frozen_by_one_query(tmp_path):
    shared("squad2/reader_predictions.parquet")
    query = """
        SELECT r.request_id, r.question AS "input.question", r.answers AS "expected.answer",
               r.answerable, r.title AS cluster, r.title AS "segment.article",
               {'text': bert.prediction, 'refused': bert.prediction = ''} AS "logged.bert",
               {'text': bidaf.prediction, 'refused': bidaf.prediction = ''} AS "logged.bidaf"
        FROM data AS r
        JOIN 'squad2/reader_predictions.parquet' AS bert USING (request_id)
        JOIN 'squad2/reader_predictions.parquet' AS bidaf USING (request_id)
        WHERE bert.model = 'bert-large-single' AND bidaf.model = 'bidaf-selfattn-elmo'
              AND r.answers_known
    """

    log = freeze(SHARED, tmp_path / "frozen", path="squad2/requests.jsonl", query=query)

    rows = rows_in(tmp_path / "frozen")
    refusals = {
        system: sum(row["logged"][system]["refused"] for row in rows)
        for system in ("bert", "bidaf")
    }
    assert log.requests == 3558
    assert sum(not row["answerable"] for row in rows) == round(0.4969 * 3558)
    assert {len(row["logged"]) for row in rows} == {2}
    assert refusals == {"bert": round(0.4761 * 3558), "bidaf": round(0.4626 * 3558)}


def test_two_ways_to_prompt_are_pivoted_by_one_query(tmp_path):
    shared("llm_logs/bbh_direct_vs_cot.parquet")
    query = """
        SELECT request_id, any_value(question) AS "input.question",
               any_value(target) AS "expected.answer", any_value(task) AS cluster,
               any_value(task) AS "segment.task",
               any_value(answer) FILTER (style = 'direct') AS "logged.direct.text",
               any_value(answer) FILTER (style = 'cot') AS "logged.cot.text"
        FROM data GROUP BY request_id
    """

    log = freeze(
        SHARED, tmp_path / "frozen", path="llm_logs/bbh_direct_vs_cot.parquet", query=query
    )

    rows = rows_in(tmp_path / "frozen")
    assert log.requests == 3333
    assert len({row["cluster"] for row in rows}) == 14
    assert set().union(*(row["logged"] for row in rows)) == {"direct", "cot"}
