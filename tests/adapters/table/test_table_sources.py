"""Tables are read from wherever they lie, and are the same there."""

from __future__ import annotations

import gzip
import sqlite3
from pathlib import Path

import psycopg
import pytest

from expplat.adapters.table import DuckTables
from expplat.domain.tally import Tally
from expplat.errors import DependencyError, InputError
from tests.adapters.table.table_making import arm, asked, opened, question, written
from tests.conftest import PostgresServer

ROWS = [("007", "control", 1.5), ("7", "control", 2.5), ("8", "b", 4.0), ("9", "b", 6.0)]
CSV = "user,variant,spent\n" + "".join(f"{user},{name},{x}\n" for user, name, x in ROWS)
SPENT = question(asked("mean", "spent"))


def tallied(source: str | None, query: str | None = None, database: str | None = None) -> Tally:
    return DuckTables().open(source, query=query, database=database).tally(SPENT)


def means(tally: Tally) -> dict[str, float]:
    found = {one.variant: one.metrics["spent"].moments.means[0] for one in tally.arms}
    return {variant: round(mean, 12) for variant, mean in found.items()}


def test_ids_that_differ_only_as_text_stay_two_units(tmp_path: Path) -> None:
    tally = tallied(str(written(tmp_path, CSV)))

    assert arm(tally, "control").units == 2
    assert tally.repeated_units == 0
    assert means(tally) == {"control": 2.0, "b": 5.0}


def test_a_header_may_hold_quotes_spaces_dots_and_words_of_sql(tmp_path: Path) -> None:
    text = '"the ""user"" id";select;größe.in €\n1;control;1\n2;control;2\n3;b;5\n4;b;7\n'
    file = written(tmp_path, text)

    tally = opened(file).tally(
        question(asked("mean", "größe.in €"), unit='the "user" id', variant="select")
    )

    assert arm(tally, "b").metrics["größe.in €"].moments.means == (6.0,)


@pytest.mark.parametrize("name", ["table.jsonl", "table.ndjson"])
def test_json_lines_are_read(tmp_path: Path, name: str) -> None:
    lines = "".join(f'{{"user": "{u}", "variant": "{v}", "spent": {x}}}\n' for u, v, x in ROWS)

    assert means(tallied(str(written(tmp_path, lines, name)))) == {"control": 2.0, "b": 5.0}


def test_a_column_whose_late_cells_are_text_is_read_whole(tmp_path: Path) -> None:
    early = "".join(f"{number},control,1\n" for number in range(30_000))
    file = written(tmp_path, f"user,variant,spent\n{early}x1,b,3\nx2,b,4\n")

    assert means(tallied(str(file))) == {"control": 1.0, "b": 3.5}


def test_several_files_are_one_table(tmp_path: Path) -> None:
    written(tmp_path, "user,variant,spent\n1,control,1\n2,b,3\n", "part[1].csv")
    written(tmp_path, "spent,user,variant\n2,3,control\n5,4,b\n", "part[2].csv")

    assert means(tallied(f"{tmp_path}/part*.csv")) == {"control": 1.5, "b": 4.0}
    assert arm(tallied(f"{tmp_path}/part*.csv"), "b").units == 2


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path: Path) -> None:
    file = written(tmp_path, CSV, "a[1]*.csv")
    written(tmp_path, "user,variant,spent\n1,control,100\n", "a1x.csv")

    assert means(tallied(str(file))) == {"control": 2.0, "b": 5.0}


def test_packed_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(CSV.encode()))

    assert means(tallied(str(tmp_path / "table.csv.gz"))) == {"control": 2.0, "b": 5.0}


def test_a_query_sees_the_source_as_data(tmp_path: Path) -> None:
    file = written(tmp_path, CSV)

    found = tallied(str(file), "SELECT user, variant, CAST(spent AS DOUBLE) * 2 AS spent FROM data")

    assert means(found) == {"control": 4.0, "b": 10.0}


def test_a_query_may_read_files_itself(tmp_path: Path) -> None:
    file = written(tmp_path, CSV)

    assert means(tallied(None, f"SELECT * FROM read_csv('{file}', all_varchar = true)")) == {
        "control": 2.0,
        "b": 5.0,
    }


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE x",
        "SELECT 1; SELECT 2",
        "COPY (SELECT 1) TO 'x.csv'",
        "SELEC 1",
        "",
        "SET x = 1",
    ],
)
def test_only_one_select_is_run(query: str) -> None:
    with pytest.raises(InputError, match="the query"):
        DuckTables().open(None, query=query, database=None)


def test_nothing_is_loaded_from_the_network() -> None:
    with pytest.raises(InputError) as caught:
        DuckTables().open(None, query="SELECT * FROM 'https://localhost/x.csv'", database=None)

    assert "httpfs" in caught.value.message


@pytest.mark.parametrize(
    ("name", "said"),
    [("missing.csv", "no file"), ("folder", "is a folder"), ("table.xlsx", "no table of one kind")],
)
def test_what_cannot_be_opened_is_said_in_a_sentence(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "folder").mkdir()
    written(tmp_path, "x", "table.xlsx")

    with pytest.raises(InputError, match=said):
        opened(tmp_path / name)


def test_a_broken_file_is_an_error_of_one_line(tmp_path: Path) -> None:
    file = written(tmp_path, "this is no parquet", "table.parquet")

    with pytest.raises(InputError) as caught:
        opened(file)

    assert "\n" not in caught.value.message


def test_the_temporary_folder_goes_with_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    table = DuckTables().open(None, query="SELECT 1 AS user", database=None)
    held = list(tmp_path.iterdir())

    del table

    assert held
    assert not list(tmp_path.iterdir())


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    file = tmp_path / "results.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE results (user TEXT, variant TEXT, spent REAL)")
        connection.executemany("INSERT INTO results VALUES (?, ?, ?)", ROWS)
    connection.close()
    return f"sqlite:///{file}"


def test_a_query_runs_in_sqlite(sqlite: str) -> None:
    found = tallied(None, "SELECT * FROM results WHERE variant <> 'a:b' -- all\n;", sqlite)

    assert means(found) == {"control": 2.0, "b": 5.0}


def test_columns_of_a_database_may_change_their_type_on_the_way(
    sqlite: str, tmp_path: Path
) -> None:
    with sqlite3.connect(sqlite.removeprefix("sqlite:///")) as connection:
        connection.executemany(
            "INSERT INTO results VALUES (?, 'control', ?)",
            ((f"x{number}", 2 if number < 60_000 else None) for number in range(60_500)),
        )
        connection.execute("INSERT INTO results VALUES (12, 'b', '5.0')")
    connection.close()

    found = tallied(None, "SELECT * FROM results", sqlite)

    assert means(found) == {"control": 2.0, "b": 5.0}
    assert arm(found, "control").metrics["spent"].missing == 500


@pytest.mark.parametrize("query", ["DELETE FROM results", "SELECT * FROM nowhere", "SELECT ("])
def test_a_database_that_refuses_is_an_error_of_one_line(sqlite: str, query: str) -> None:
    with pytest.raises(InputError) as caught:
        tallied(None, query, sqlite)

    assert "\n" not in caught.value.message


def test_postgresql_runs_the_query_in_its_own_sql(postgres: PostgresServer) -> None:
    name = postgres.new_database()
    with psycopg.connect(postgres.url(name), autocommit=True) as connection:
        connection.execute("CREATE TABLE results (u text, variant text, spent numeric(8, 3))")
        connection.execute("CREATE SEQUENCE numbers")
        connection.cursor().executemany("INSERT INTO results VALUES (%s, %s, %s)", ROWS)
    query = "SELECT u::text AS user, variant, spent FROM results WHERE variant LIKE '%'"

    found = tallied(None, query, postgres.url(name))

    assert means(found) == {"control": 2.0, "b": 5.0}
    with pytest.raises(InputError, match="read-only"):
        tallied(None, "SELECT nextval('numbers') AS user", postgres.url(name))
    with pytest.raises(InputError, match="nowhere"):
        tallied(None, "SELECT * FROM nowhere", postgres.url(name))
    postgres.drop(name)


def test_a_database_that_is_away_is_no_fault_of_the_query(tmp_path: Path) -> None:
    for url in ("postgresql://nobody@127.0.0.1:1/x", f"sqlite:///{tmp_path}/none.db"):
        with pytest.raises(DependencyError) as caught:
            tallied(None, "SELECT 1", url)

        assert caught.value.exit_status == 3
