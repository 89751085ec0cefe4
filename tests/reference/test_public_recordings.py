"""Systems whose authors published their answers, replayed as `logged`, against published scores."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from expplat.adapters.scaffold import new_workspace
from expplat.cli._main import app

FILE = """
slug: recorded
owner: answers team
problem: {{system: answers, pain: wrong ones, primary_metric: exact_match, why_now: published}}
paper:
  title: Their own scores
  reference: https://example.org/scores
  code_available: false
  claim: {{metric: exact match, effect: 0.1, dataset: theirs}}
variants:
  control: {{use: "logged:{control}"}}
  treatment: {{use: "logged:{treatment}"}}
request_log:
  path: {path}
  query: >-
    {query}
metrics: {metrics}
offline_gates:
  - {{kind: superiority, metric: exact_match, min_effect: 0.02}}
online:
  metrics:
    - name: solved
      kind: proportion
      direction: higher
      unit: fraction
      concern: accuracy
      expected: 0.6
  gates:
    - {{kind: superiority, metric: solved, min_effect: 0.03}}
  max_units: 12000
operations:
  new_components: []
  new_dependencies: []
  serving_pattern: elsewhere
  on_call: answers team
  runbook: docs/answers.md
  failure_mode: no answer
waivers:
  - {{phase: offline, concern: latency, reason: "It was not recorded."}}
  - {{phase: offline, concern: cost, reason: "It was not recorded."}}
  - {{phase: online, concern: latency, reason: "It was not recorded."}}
  - {{phase: online, concern: cost, reason: "It was not recorded."}}
"""


@pytest.fixture
def replayed(tmp_path, monkeypatch):
    """Propose an experiment over published files, replay it, and return the effects by metric."""
    new_workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("EXPPLAT_WORKSPACE", "EXPPLAT_DATABASE_URL", "EXPPLAT_STATE_DIR",
                 "MLFLOW_TRACKING_URI"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)

    def run(**fields):
        (tmp_path / "experiments" / "recorded.yaml").write_text(FILE.format(**fields))
        proposed = CliRunner().invoke(app, ["propose", "experiments/recorded.yaml"])
        assert proposed.exit_code == 0, proposed.output
        done = CliRunner().invoke(app, ["replay", "recorded", "--engine", "local", "--json"])
        assert done.exit_code in (0, 1), done.output
        return {effect["metric"]: effect for effect in json.loads(done.stdout)["effects"]}

    return run


def test_two_squad_readers_score_what_the_leaderboard_says(data, replayed) -> None:
    requests, answers = data("squad2/requests.jsonl"), data("squad2/reader_predictions.parquet")

    found = replayed(
        path=requests,
        control="bidaf",
        treatment="bert",
        metrics="[exact_match, token_f1, correct_refusal]",
        query=f"""SELECT r.request_id, r.question AS "input.question",
      r.answers AS "expected.answer", r.answerable, r.title AS cluster,
      {{'text': one.prediction, 'refused': one.prediction = ''}} AS "logged.bidaf",
      {{'text': two.prediction, 'refused': two.prediction = ''}} AS "logged.bert"
    FROM data AS r
    JOIN '{answers}' AS one USING (request_id) JOIN '{answers}' AS two USING (request_id)
    WHERE one.model = 'bidaf-selfattn-elmo' AND two.model = 'bert-large-single'
      AND r.answers_known""",
    )

    scores = {name: (effect["control"], effect["treatment"]) for name, effect in found.items()}
    assert scores["exact_match"] == pytest.approx((0.6436, 0.7682), abs=5e-5)
    assert scores["token_f1"] == pytest.approx((0.6892, 0.8253), abs=5e-5)
    assert scores["correct_refusal"] == pytest.approx((0.6776, 0.8303), abs=5e-5)
    assert found["exact_match"]["n_control"] == 1790


def test_chain_of_thought_wins_with_the_interval_that_its_fourteen_tasks_allow(
    data, replayed
) -> None:
    answers = data("llm_logs/bbh_direct_vs_cot.parquet")

    found = replayed(
        path=answers,
        control="direct",
        treatment="cot",
        metrics="[exact_match]",
        query="""SELECT request_id, any_value(question) AS "input.question",
      'right' AS "expected.answer", any_value(task) AS cluster,
      any_value(CASE WHEN correct THEN 'right' ELSE 'wrong' END)
        FILTER (style = 'direct') AS "logged.direct.text",
      any_value(CASE WHEN correct THEN 'right' ELSE 'wrong' END)
        FILTER (style = 'cot') AS "logged.cot.text"
    FROM data GROUP BY request_id""",
    )["exact_match"]

    assert found["control"] == pytest.approx(0.50465, abs=5e-6)
    assert found["treatment"] == pytest.approx(0.77378, abs=5e-6)
    assert found["difference"] == pytest.approx(0.26913, abs=5e-6)
    # The published error is 0.05993; 14 tasks of much the same size have 13 degrees of freedom.
    assert (found["high"] - found["low"]) / 2 == pytest.approx(0.05993 * 2.16, rel=0.06)
