"""Pages are run as a reader would run them: files are written, lines are typed, in order.

A block below `<!-- file: NAME -->` is written to that file. In a console block a line after `$ ` is
typed; it must end with the status that `# exit N` says, or 0, and print what stands below it,
whatever the numbers and the spaces between them. What stands below `<!-- not run: WHY -->` is left
out.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.doc_blocks import ROOT, Block, blocks, typed

TUTORIAL = ROOT / "docs" / "tutorial.md"
HOW_TO = ROOT / "docs" / "how-to"
PAGES = (
    TUTORIAL,
    HOW_TO / "analyze-a-test-run-elsewhere.md",
    HOW_TO / "compare-recorded-outputs.md",
    HOW_TO / "compare-recorded-systems.md",
    HOW_TO / "connect-a-service.md",
    HOW_TO / "plan-a-test.md",
    HOW_TO / "check-the-statistics.md",
)
"""Pages that run from top to bottom, each in a folder and a shell of its own."""

PORT = "8787"
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
COLUMNS = "130"
"""Of the terminal that the pages show."""

LONGEST_S = 560
"""A minute where nothing else runs; the limit is for a machine that is busy with other tests."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_does_what_the_page_says(page: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    script = made / "page.sh"
    script.write_text(_script(page, made), encoding="utf-8")

    run = subprocess.run(
        ["bash", str(script)],
        cwd=tmp_path,
        env=_environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )

    assert run.returncode == 0, run.stdout[-5000:]
    assert _unanswered(page, run.stdout) == []


def test_a_command_with_another_status_than_the_page_says_is_found(tmp_path: Path) -> None:
    block = Block(page=TUTORIAL, line=7, language="console", note="", text="$ false  # exit 2\n")

    run = subprocess.run(
        ["bash", "-c", "\n".join(_typing(block))], capture_output=True, text=True, check=False
    )

    assert run.returncode == 99
    assert "line 7" in run.stdout


def test_a_line_that_is_not_printed_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ ls\n2 files\n3 folders\n```\n", encoding="utf-8")

    missing = _unanswered(page, "### 2\n17   files\n")

    assert missing == ["line 2: 3 folders"]


def test_a_line_that_goes_on_is_one_command() -> None:
    text = "$ expplat list \\\n    --json  # exit 1\nan answer\n$ ls\n"
    block = Block(page=TUTORIAL, line=1, language="console", note="", text=text)

    one, other = typed(block)

    assert (one.command, one.status, one.answers) == ("expplat list --json", 1, ("an answer",))
    assert other.command == "ls"


def test_what_the_readme_shows_is_what_the_page_shows_that_is_run() -> None:
    page = (HOW_TO / "analyze-a-test-run-elsewhere.md").read_text(encoding="utf-8")
    shown = [block.text for block in blocks(ROOT / "README.md") if block.language == "text"]

    assert shown
    assert all(text in page for text in shown)


def _script(page: Path, folder: Path) -> str:
    """Return one shell script: a reader keeps one shell open, so variables last."""
    lines = ["trap 'kill $(jobs -p) 2>/dev/null' EXIT"]
    for block in blocks(page):
        if block.note.startswith("file: "):
            source = folder / f"block-{block.line}"
            source.write_text(_at_free_port(block.text), encoding="utf-8")
            lines.append(f"cp {shlex.quote(str(source))} {block.note.removeprefix('file: ')}")
        elif block.language == "console" and not block.note.startswith("not run"):
            lines += _typing(block)
    return "\n".join(lines)


def _typing(block: Block) -> list[str]:
    lines = []
    for one in typed(block):
        wrong = f"line {one.line}: exit status $status, not {one.status}: {one.command}"
        # Not a subshell: `cd` and `export` must last.
        lines += [
            f"echo {shlex.quote('### ' + str(one.line))}",
            _at_free_port(one.command),
            f'status=$?; [ "$status" = {one.status} ] || {{ echo {_quoted(wrong)}; exit 99; }}',
        ]
    return lines


def _quoted(text: str) -> str:
    """Quote a text in which `$status` alone is filled in."""
    return shlex.quote(text).replace("$status", "'\"$status\"'")


def _unanswered(page: Path, output: str) -> list[str]:
    """Return the lines that the page says are printed, and are not, whatever their numbers."""
    parts = output.split("### ")[1:]
    printed = {int(part.split("\n", 1)[0]): _plain(part) for part in parts}
    return [
        f"line {one.line}: {answer}"
        for block in blocks(page)
        if block.language == "console" and not block.note.startswith("not run")
        for one in typed(block)
        for answer in one.answers
        if _plain(answer) not in printed[one.line]
    ]


def _plain(text: str) -> str:
    """Return a text without its numbers and without what sets columns apart."""
    return " ".join(NUMBER.sub("#", text).split())


def _at_free_port(text: str) -> str:
    return text.replace(PORT, _PORT)


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


_PORT = _free_port()


def _environment(folder: Path) -> dict[str, str]:
    """Return what a newcomer's shell has, and nothing of expplat's settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EXPPLAT_", "MLFLOW_"))}
    commands = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {
        **kept,
        "PATH": commands,
        "EXPPLAT_PORT": _PORT,
        "COLUMNS": COLUMNS,
        "HOME": str(folder),
    }
