"""`expplat compare` on recorded outputs of real systems gives the numbers known of them."""

from __future__ import annotations

import json
import re
import string
from collections import Counter

import pandas as pd
import pytest

from tests.reference.conftest import comparison, health


def close(value, places):
    return pytest.approx(value, abs=0.51 * 10**-places)


def normalised(text):
    """The official normalisation of SQuAD: lower case, no punctuation, no articles."""
    text = "".join(sign for sign in text.lower() if sign not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def f1(prediction, answer):
    one, other = normalised(prediction).split(), normalised(answer).split()
    if not one or not other:
        return float(one == other)
    same = sum((Counter(one) & Counter(other)).values())
    return 0.0 if not same else 2 * same / (len(one) + len(other))


@pytest.fixture
def readers(data, tmp_path):
    """One row a question and reader, with exact match and F1."""
    asked = [
        json.loads(line)
        for line in data("squad2/requests.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    golds = {row["request_id"]: row for row in asked if row["answers_known"]}
    rows = pd.read_parquet(data("squad2/reader_predictions.parquet"))
    rows = rows[rows.request_id.isin(golds.keys())].copy()
    answers = {
        key: [gold for gold in row["answers"] if normalised(gold)] or [""]
        for key, row in golds.items()
    }
    pairs = list(zip(rows.prediction.fillna(""), rows.request_id, strict=True))
    rows["em"] = [
        float(any(normalised(said) == normalised(gold) for gold in answers[key]))
        for said, key in pairs
    ]
    rows["f1"] = [max(f1(said, gold) for gold in answers[key]) for said, key in pairs]
    rows["article"] = [golds[key]["title"] for key in rows.request_id]
    path = tmp_path / "readers.parquet"
    rows.to_parquet(path)
    return path


def test_squad_readers_by_article(ask, readers):
    words = (
        "compare", readers, "--request", "request_id", "--variant", "model",
        "--control", "bidaf-selfattn-elmo", "--metric", "em=proportion", "--metric", "f1=mean",
    )  # fmt: skip
    alone, by_article = ask(*words, "--exact"), ask(*words, "--cluster", "article")

    em = comparison(alone, "em", "nlnet-single")
    assert em["n_control"] == 3_558
    assert (em["control"], em["treatment"]) == (close(0.6605, 4), close(0.7676, 4))
    assert em["effect"] == close(0.1071, 4)
    assert em["p"] == pytest.approx(2.5e-41, rel=0.02)
    iid, clustered = (comparison(found, "f1", "nlnet-single") for found in (alone, by_article))
    assert iid["effect"] == close(0.11485, 5)
    assert iid["standard_error"] == close(0.00764, 5)
    assert clustered["standard_error"] == pytest.approx(0.01026, rel=0.06)
    assert any("9 clusters" in warning for warning in clustered["warnings"])
    bert = comparison(alone, "em", "bert-large-single")
    assert bert["treatment"] == close(0.7990, 4)


def test_squads_second_best_reader_against_its_best(ask, readers):
    found = ask(
        "compare", readers, "--request", "request_id", "--variant", "model",
        "--control", "nlnet-single", "--metric", "em=proportion", "--metric", "f1=mean", "--exact",
    )  # fmt: skip

    em, f1_score = (comparison(found, name, "bert-large-single") for name in ("em", "f1"))
    assert em["effect"] == close(0.0315, 4)
    assert em["p"] == pytest.approx(1.8e-05, rel=0.03)
    assert (f1_score["control"], f1_score["treatment"]) == (close(0.7983, 4), close(0.8278, 4))
    assert em["ruling"] == f1_score["ruling"] == "pass"
    assert comparison(found, "em", "bidaf-selfattn-elmo")["ruling"] == "fail"


def test_chain_of_thought_wins_by_less_than_it_seems(ask, data):
    words = (
        "compare", data("llm_logs/bbh_direct_vs_cot.parquet"), "--request", "request_id",
        "--variant", "style", "--control", "direct", "--metric", "right=proportion:correct",
        "--metric", "output=mean:output_chars:lower",
    )  # fmt: skip
    alone, by_task = ask(*words, "--exact"), ask(*words, "--cluster", "task")

    right, clustered = comparison(alone, "right"), comparison(by_task, "right")
    assert (right["control"], right["treatment"]) == (close(0.50465, 5), close(0.77378, 5))
    assert right["effect"] == close(0.26913, 5)
    assert right["p"] == pytest.approx(2.8e-146, rel=0.02)
    # the reference weighs its 14 clusters by another small-sample factor (CR1 against our CR2)
    assert clustered["standard_error"] == pytest.approx(0.05993, rel=0.001)
    assert (clustered["ci_low"], clustered["ci_high"]) != (right["ci_low"], right["ci_high"])
    output = comparison(alone, "output")
    assert (output["control"], output["treatment"]) == (close(2.7, 1), close(549.1, 1))


def test_chain_of_thought_hurts_in_two_tasks(ask, data):
    found = ask(
        "compare", data("llm_logs/bbh_direct_vs_cot.parquet"), "--request", "request_id",
        "--variant", "style", "--control", "direct", "--metric", "right=proportion:correct",
        "--segment", "task",
    )  # fmt: skip

    levels = {row["segment"]: (row["control"], row["treatment"]) for row in found["segments"]}
    assert len(levels) == 14
    worse = {name for name, (control, treatment) in levels.items() if treatment < control}
    assert worse == {
        name for name in levels if "causal_judg" in name or "salient_translation" in name
    }


def test_the_strong_model_on_gsm8k(ask, data):
    long = """
        SELECT request_id, 'weak' AS model, weak_correct AS correct FROM data
        UNION ALL SELECT request_id, 'strong', strong_correct FROM data
    """
    found = ask(
        "compare", data("llm_logs/routellm_gsm8k.parquet"), "--sql", long,
        "--request", "request_id", "--variant", "model", "--control", "weak",
        "--metric", "correct=proportion", "--exact",
    )  # fmt: skip

    one = comparison(found, "correct")
    assert (one["control"], one["treatment"]) == (close(0.63836, 5), close(0.85671, 5))
    assert one["n_treatment"] == 1_319
    assert one["p"] == pytest.approx(5.1e-42, rel=0.02)
    assert found["verdict"]["ruling"] == "pass"


SEVEN_B = "SELECT * FROM data WHERE model = 'llama-2-7b-chat'"


def test_a_provider_that_fails_most_calls_is_not_fastest(ask, data):
    found = ask(
        "compare", data("llm_logs/llmperf_latency.csv"), "--sql", SEVEN_B,
        "--request", "request_no", "--variant", "provider", "--control", "replicate",
        "--metric", "e2e=latency:end_to_end_latency_s", "--error", "error_code",
    )  # fmt: skip

    lepton = comparison(found, "e2e", "lepton")
    p50 = comparison(found, "e2e_p50", "lepton")
    assert lepton["n_treatment"] == 20
    assert lepton["ruling"] != "pass"
    assert p50["treatment"] == close(4.1588, 4)
    assert comparison(found, "errors", "lepton")["treatment"] == close(130 / 150, 4)
    assert comparison(found, "errors", "lepton")["ruling"] == "fail"
    assert health(found, "errors")["ruling"] == "unknown"
    fastest = min(
        (row for row in found["comparisons"] if row["metric"] == "e2e"),
        key=lambda row: row["treatment"],
    )
    assert fastest["variant"] == "fireworks"
    assert fastest["ruling"] == "pass"


@pytest.mark.parametrize(
    ("provider", "p50", "p95", "p99"),
    [
        ("anyscale", 2.9510, 3.1930, 3.2793),
        ("fireworks", 1.9811, 2.0624, 2.5473),
        ("together", 2.2924, 2.7182, 3.0071),
    ],
)
def test_provider_latencies(ask, data, provider, p50, p95, p99):
    found = ask(
        "compare", data("llm_logs/llmperf_latency.csv"),
        "--sql", f"{SEVEN_B} AND provider IN ('replicate', '{provider}')",
        "--request", "request_no", "--variant", "provider", "--control", "replicate",
        "--metric", "e2e=latency:end_to_end_latency_s", "--error", "error_code",
    )  # fmt: skip

    for name, value in (("p50", p50), ("p95", p95), ("p99", p99)):
        one = comparison(found, f"e2e_{name}")
        assert one["treatment"] == close(value, 4)
    assert comparison(found, "e2e_p50")["control"] == close(4.9849, 4)
    assert comparison(found, "e2e_p95")["control"] == close(7.6538, 4)


def test_failed_calls_that_are_not_named_are_found_by_their_times_of_zero(ask, data):
    found = ask(
        "compare", data("llm_logs/llmperf_latency.csv"), "--sql", SEVEN_B,
        "--request", "request_no", "--variant", "provider", "--control", "replicate",
        "--metric", "e2e=latency:end_to_end_latency_s",
    )  # fmt: skip

    assert health(found, "times_of_zero")["ruling"] == "fail"
    assert found["verdict"]["ruling"] == "unknown"
