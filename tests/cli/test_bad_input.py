"""What a person gets wrong: one clear message, the right exit status, nothing written."""

from __future__ import annotations

import json
import os
import socket

import pytest

from tests.builders import PROPOSAL_SHA256

SLUG = "late_chunking"
FILE = f"experiments/{SLUG}.yaml"


def must_refuse(done, status, *words):
    assert done.exit_code == status, done.output
    assert "Traceback" not in done.output
    for word in words:
        assert word in done.output


def test_a_missing_file(expplat):
    must_refuse(expplat("propose", "experiments/nothing.yaml"), 2, "nothing.yaml")
    assert expplat.stages() == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("\nowner:", "\nowner: [1, 2]\nowner:", ("owner", "twice")),
        ("max_units:", "max_unitz:", ("max_unitz", "max_units")),
        ("kind: superiority", "kind: superior", ("superior",)),
        ("metric: recall_at_3", "metric: recal_at_3", ("recal_at_3",)),
        ("variants:Treatment", "variants:Treatmint", ("Treatmint",)),
        ("slug: late_chunking", "slug: Late-Chunking", ("slug",)),
    ],
)
def test_a_fault_in_the_file_names_its_place_and_writes_nothing(expplat, old, new, words):
    text = expplat.file.read_text()
    if old not in text:
        pytest.fail(f"the scaffold does not say {old!r}")
    expplat.file.write_text(text.replace(old, new, 1))

    done = expplat("propose", FILE)

    must_refuse(done, 2, FILE, *words)
    assert expplat.stages() == []


def test_all_faults_are_told_at_once(expplat):
    expplat.edit("max_units:", "max_unitz:")
    expplat.edit("kind: superiority", "kind: superior")

    done = expplat("propose", FILE)

    must_refuse(done, 2, "max_unitz", "superior")
    assert done.stderr.count(f"{FILE}:") >= 2


def test_code_that_cannot_be_imported(expplat):
    expplat.code.write_text("import nothing_of_that_name\n")

    must_refuse(expplat("propose", FILE), 2, "nothing_of_that_name")
    assert expplat.stages() == []


def test_code_that_ends_the_process_when_it_is_imported(expplat):
    expplat.code.write_text("import os\nos._exit(0)\n")

    must_refuse(expplat("propose", FILE), 2, "variants")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ("no request",)),
        ('{"request_id": "q1", "input": {}}\n{"request_id": "q1", "input": {}}\n', ("q1",)),
        ('{"request_id": "q1", "input": {"a": NaN}}\n', ("1",)),
        ("not json\n", ("1",)),
    ],
)
def test_a_broken_request_log(expplat, content, words):
    assert expplat("propose", FILE).exit_code == 0
    expplat.log.write_text(content)

    must_refuse(expplat("replay", SLUG, "--engine", "local"), 2, *words)
    assert expplat.stages() == ["proposed"]


def test_a_metric_of_ones_own_that_is_not_a_number_is_an_error_of_the_variant(expplat):
    (expplat.code.parent / "mine.py").write_text(
        "def mine(request, output):\n    return float('nan')\n"
    )
    text = expplat.file.read_text()
    expplat.file.write_text(
        text.replace(
            "\nmetrics:\n",
            "\nmetrics:\n  - {name: mine, use: 'pocs.late_chunking.mine:mine', kind: mean, "
            "direction: higher, unit: fraction}\n",
            1,
        )
    )
    assert expplat("propose", FILE).exit_code == 0

    answer = expplat.json("replay", SLUG, "--engine", "local")

    assert answer["ruling"] != "pass"


@pytest.mark.parametrize("verb", ["replay", "promote", "ramp", "graduate", "rollback", "show"])
def test_a_slug_that_nobody_proposed(expplat, verb):
    must_refuse(expplat(verb, "nobody"), 2, "nobody", "expplat list")


@pytest.mark.parametrize("verb", ["promote", "ramp", "graduate", "rollback"])
def test_a_verb_that_is_not_open_from_this_stage(expplat, verb):
    expplat("propose", FILE)

    must_refuse(expplat(verb, SLUG), 2, SLUG, "proposed")
    assert expplat.stages() == ["proposed"]


def test_a_gate_that_did_not_pass_is_exit_1_and_keeps_the_stage(expplat):
    expplat("propose", FILE)

    assert expplat("replay", SLUG, "--engine", "local").exit_code == 1
    assert expplat("promote", SLUG).exit_code == 1
    assert expplat.stages() == ["replayed"]


def test_an_unknown_option_and_an_unknown_command(expplat):
    assert expplat("list", "--jason").exit_code == 2
    assert expplat("lisst").exit_code == 2


def test_a_folder_that_is_no_workspace(expplat, tmp_path, monkeypatch):
    bare = tmp_path / "bare"
    bare.mkdir()
    monkeypatch.chdir(bare)

    must_refuse(expplat("list"), 2, "workspace", "expplat init")


def test_a_database_that_is_away(expplat, monkeypatch):
    monkeypatch.setenv("EXPPLAT_DATABASE_URL", "postgresql://ada:secret@127.0.0.1:1/nothing")

    done = expplat("list")

    must_refuse(done, 3, "database")
    assert "secret" not in done.output


def test_rolling_back_closes_the_flag_while_the_database_is_away(expplat, monkeypatch):
    monkeypatch.setenv("EXPPLAT_DATABASE_URL", "postgresql://ada@127.0.0.1:1/nothing")

    must_refuse(expplat("rollback", SLUG), 3, "database", "closed")
    assert [file.stem for file in (expplat.folder / ".expplat" / "closed").iterdir()] == [SLUG]


def test_a_database_address_that_is_none(expplat, monkeypatch):
    monkeypatch.setenv("EXPPLAT_DATABASE_URL", "nonsense")

    done = expplat("list")

    assert done.exit_code in {2, 78}
    assert "Traceback" not in done.output


def test_a_file_that_is_no_database(expplat):
    state = expplat.folder / ".expplat"
    state.mkdir()
    (state / "expplat.db").write_bytes(b"this is not a database" * 100)

    done = expplat("list")

    assert done.exit_code in {3, 78}
    assert "Traceback" not in done.output


def test_mlflow_away_is_a_warning_and_sync_says_so(expplat, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    expplat("propose", FILE)

    done = expplat("replay", SLUG, "--engine", "local")

    assert done.exit_code == 1  # the gate that did not pass, not MLflow
    assert "--sync" in done.stderr
    assert expplat.stages() == ["replayed"]
    must_refuse(expplat("replay", "--sync"), 3, "MLflow")

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert len(expplat.json("replay", "--sync")["copied"]) == 1
    assert expplat.json("replay", "--sync") == {"copied": [], "waiting": [], "warning": ""}


def test_a_port_in_use(expplat):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        must_refuse(expplat("serve", "--port", taken.getsockname()[1]), 2, "--port")


def test_a_changed_file_while_the_old_revision_stands_is_a_new_revision(expplat):
    expplat("propose", FILE)
    first = expplat.json("propose", FILE)
    expplat.edit("\nowner:", "\n# a remark\nowner:")
    second = expplat.json("propose", FILE)

    assert (first["changed"], second["changed"]) == (False, True)
    assert second["newest"]["proposal_sha256"] != first["newest"]["proposal_sha256"]
    assert "Revision 2" in second["newest"]["reason"]


def test_a_key_of_an_unknown_kind_and_one_that_does_not_exist(expplat):
    assert expplat("keys", "create", "--kind", "root", "--name", "x").exit_code == 2
    must_refuse(expplat("keys", "revoke", "nothing"), 2, "nothing")


def test_a_history_that_somebody_edited_is_exit_1(expplat):
    import sqlite3

    expplat("propose", FILE)
    with sqlite3.connect(expplat.folder / ".expplat" / "expplat.db") as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("UPDATE transitions SET \"by\" = 'mallory'")

    done = expplat("audit", "verify", "--json")

    assert done.exit_code == 1
    assert [one["slug"] for one in json.loads(done.stdout)["findings"]] == [SLUG]
    assert PROPOSAL_SHA256 not in done.stdout


def test_a_folder_that_holds_something_else_is_not_made_a_demo(expplat):
    (expplat.folder / "mine.txt").write_text("keep me")

    must_refuse(expplat("demo", expplat.folder, "--fresh"), 2, "not a demo's")
    assert os.path.exists(expplat.folder / "mine.txt")
