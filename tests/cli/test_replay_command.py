"""`expplat replay`: what it takes, where it stops, and what it leaves for a build server."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

SLUG = "two_readers"

FILE = """
slug: two_readers
owner: answers team
problem: {system: answers, pain: wrong ones, primary_metric: exact_match, why_now: trial}
paper:
  title: A second reader
  reference: https://example.org/second
  code_available: false
  claim: {metric: exact match, effect: 0.2, dataset: theirs}
variants:
  control: {use: "pocs.readers.variants:present"}
  treatment: {use: "pocs.readers.variants:proposed"}
request_log: {path: experiments/logs/readers.jsonl}
metrics: [exact_match, latency_ms, cost_usd_per_1k]
offline_gates:
  - {kind: superiority, metric: exact_match, min_effect: 0.05}
  - {kind: non_inferiority, metric: latency_ms, margin: 50}
  - {kind: non_inferiority, metric: cost_usd_per_1k, margin: 0.5}
online:
  metrics:
    - name: solved
      kind: proportion
      direction: higher
      unit: fraction
      concern: accuracy
      expected: 0.6
    - {name: answer_ms, kind: mean, direction: lower, unit: ms, concern: latency}
    - {name: answer_usd, kind: mean, direction: lower, unit: usd, concern: cost}
  gates:
    - {kind: superiority, metric: solved, min_effect: 0.03}
    - {kind: non_inferiority, metric: answer_ms, margin: 50}
    - {kind: non_inferiority, metric: answer_usd, margin: 0.001}
  max_units: 12000
operations:
  new_components: []
  new_dependencies: []
  serving_pattern: in process
  on_call: answers team
  runbook: docs/answers.md
  failure_mode: no answer
measurement: {aa_requests: 10, shard_requests: 20, workers: 1, warmup: 1, repeats: 2}
"""

VARIANTS = """
import hashlib


def _draw(request):
    return int(hashlib.sha256(request.request_id.encode()).hexdigest()[:8], 16) / 2**32


def present(request, call):
    with call.stage("read"):
        call.usage(model="reader", input_tokens=1000, output_tokens=100)
    return "yes" if _draw(request) < 0.6 else "no"


def proposed(request, call):
    with call.stage("read"):
        call.usage(model="reader", input_tokens=1100, output_tokens=100)
    return "yes" if _draw(request) < 0.9 else "no"
"""


@pytest.fixture
def readers(expplat):
    """Types in a workspace with a POC of two readers that are paid by token, proposed."""
    folder = expplat.folder
    (folder / "pocs" / "readers").mkdir(parents=True)
    (folder / "pocs" / "readers" / "variants.py").write_text(VARIANTS)
    (folder / "experiments" / f"{SLUG}.yaml").write_text(FILE)
    (folder / "experiments" / "prices.yaml").write_text(
        'as_of: "2026-10-01"\ncpu_hour_usd: 0.05\nmodels:\n'
        "  reader: {input_usd: 1, output_usd: 4}\n"
    )
    rows = (
        {"request_id": f"q{n}", "input": {"question": f"{n}?"}, "expected": {"answer": "yes"}}
        for n in range(100)
    )
    log = folder / "experiments" / "logs" / "readers.jsonl"
    log.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert expplat("propose", folder / "experiments" / f"{SLUG}.yaml").exit_code == 0
    return expplat


LOCAL = ("replay", SLUG, "--engine", "local")


def test_a_budget_ends_a_replay_without_a_ruling_and_the_next_command_goes_on(readers):
    cut = readers.json(*LOCAL, "--budget-usd", 0.1)
    planned = readers.json("replay", SLUG, "--plan")
    whole = readers.json(*LOCAL)

    assert (cut["ruling"], cut["measured"] < 100) == ("unknown", True)
    assert "budget" in cut["stopped"]
    spent = sum(float(cut["arms"][arm]["cost_usd"]) for arm in ("control", "treatment"))
    assert 0.085 < spent < 0.105  # warm-up and noise floor are paid too, and stand in no arm
    total = sum(float(whole["arms"][arm]["cost_usd"]) for arm in ("control", "treatment"))
    assert planned["usd"] == pytest.approx(total - spent, rel=0.2)
    assert (whole["replay_id"], whole["measured"]) == (cut["replay_id"], 100)
    assert whole["ruling"] == "pass"


def test_what_a_replay_takes_is_said_before_any_call(readers):
    before = readers.json("replay", SLUG, "--plan")
    assert readers(*LOCAL).exit_code == 0
    told = readers("replay", SLUG, "--plan").stdout
    after = readers.json("replay", SLUG, "--plan")

    assert (before["calls"], before["calls_left"], before["usd"]) == (410, 410, None)
    assert (after["calls_left"], after["usd"]) == (0, 0.0)
    assert after["gates"][0]["smallest_effect"] > 0
    assert [repeat["repeats"] for repeat in after["repeats"]] == [1, 2, 3, 5, 10]
    assert "0 of them still to be made" in told


def test_a_build_server_finds_the_report_in_its_own_forms(readers, tmp_path):
    done = readers(*LOCAL, "--ci", "--out", tmp_path / "report")

    assert done.exit_code == 0
    files = {path.name for path in (tmp_path / "report").iterdir()}
    assert files == {"report.html", "report.md", "junit.xml", "verdict.json"}
    suite = ElementTree.parse(tmp_path / "report" / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("3", "0")
    assert json.loads((tmp_path / "report" / "verdict.json").read_text())["measured"] == 100


def test_a_budget_that_allows_nothing_is_refused(readers):
    done = readers(*LOCAL, "--budget-usd", 0)

    assert done.exit_code == 2
    assert "Give one above 0" in done.stderr
