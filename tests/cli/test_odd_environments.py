"""Where a command is typed: full disks, old terminals, folders that are gone, signals."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import httpx2
import pytest

from tests.cli.conftest import SLUG
from tests.serving import eventually, free_port

COMMAND = [sys.executable, "-m", "expplat"]


def typed(folder, *words, stdout=subprocess.PIPE, **env):
    done = subprocess.run(
        [*COMMAND, *words], cwd=folder, env=os.environ | env, stdout=stdout,
        stderr=subprocess.PIPE, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert "Traceback" not in f"{done.stdout}{done.stderr}"
    return done


def test_an_answer_that_cannot_be_written_is_not_said_to_be_undone(expplat):
    with open("/dev/full", "w") as full:
        done = typed(expplat.folder, "keys", "create", "--kind=admin", "--name=a", stdout=full)

    assert done.returncode == 3
    assert "The answer could not be written: No space left on device." in done.stderr
    assert len(expplat.json("keys", "list")) == 1


def test_a_terminal_that_knows_few_signs_gets_an_answer(expplat):
    expplat("propose", expplat.file)

    done = typed(expplat.folder, "show", SLUG, PYTHONIOENCODING="iso-8859-1")

    assert done.returncode == 0
    assert SLUG in done.stdout


@pytest.mark.parametrize("place", ["/proc/nope", "/etc/passwd", "/etc/passwd/x"])
def test_a_state_folder_that_cannot_be_made(expplat, place, monkeypatch):
    monkeypatch.setenv("EXPPLAT_STATE_DIR", place)

    done = expplat("list")

    assert done.exit_code == 78
    assert "cannot be made" in done.stderr


def test_a_path_that_no_address_of_a_database_can_hold(expplat, tmp_path, monkeypatch):
    monkeypatch.setenv("EXPPLAT_STATE_DIR", str(tmp_path / "what?" / "state"))

    done = expplat("list")

    assert done.exit_code == 78
    assert "question mark" in done.stderr
    assert not (tmp_path / "what").exists()


def test_a_folder_that_is_gone(expplat, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"import os; os.rmdir({str(gone)!r}); from expplat.cli import main; main()"

    done = subprocess.run(
        [sys.executable, "-c", script, "list"],
        cwd=gone,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "is gone" in done.stderr


def test_an_interrupt_while_it_is_loaded_leaves_no_traceback(tmp_path):
    script = (
        "import sys\n"
        "class Impatient:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'expplat.cli._main':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Impatient())\n"
        "from expplat.cli import main\n"
        "main()\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (130, b"")


@pytest.mark.parametrize("name", ["password", "sslpassword"])
def test_a_password_in_the_query_of_an_address_is_not_shown(expplat, name, monkeypatch):
    address = f"postgresql://ada@127.0.0.1:1/nothing?{name}=hunter2"
    monkeypatch.setenv("EXPPLAT_DATABASE_URL", address)

    done = expplat("list")

    assert done.exit_code == 3
    assert "hunter2" not in done.output


def test_the_list_of_keys_holds_nothing_that_opens_anything(expplat):
    made = expplat("keys", "create", "--kind=client", "--name=a", "--delivery=encrypted", "--json")
    secrets = json.loads(made.stdout)

    listed = expplat("keys", "list", "--json").stdout

    assert secrets["key"]["payload_key"] not in listed
    assert secrets["secret"] not in listed


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_key_of_the_ui_ends_with_it(expplat, sent):
    port = free_port()
    running = subprocess.Popen(
        [*COMMAND, "ui", "--port", str(port)], cwd=expplat.folder,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def answers():
        try:
            return httpx2.get(f"http://127.0.0.1:{port}/health").status_code == 200
        except httpx2.HTTPError:
            return False

    eventually(answers, within_s=30)
    time.sleep(0.2)
    running.send_signal(sent)
    _, told = running.communicate(timeout=30)

    assert "Traceback" not in told
    (key,) = expplat.json("keys", "list")
    assert key["revoked_at"]


@pytest.mark.parametrize("change", ["stage = 'gone'", "evidence = '{'"])
def test_a_row_that_cannot_be_read_is_found_and_hides_no_other(expplat, change):
    expplat("propose", expplat.file)
    expplat("propose", "--new", "second")
    expplat("propose", expplat.folder / "experiments" / "second.yaml")
    with sqlite3.connect(expplat.folder / ".expplat" / "expplat.db") as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in names.fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute(f"UPDATE transitions SET {change} WHERE slug = ?", (SLUG,))
        connection.execute("UPDATE transitions SET reason = 'edited' WHERE slug = 'second'")

    found = expplat("audit", "verify", "--json")

    assert found.exit_code == 1
    assert {one["slug"] for one in json.loads(found.stdout)["findings"]} == {SLUG, "second"}
    assert "history" in expplat("doctor").stdout
