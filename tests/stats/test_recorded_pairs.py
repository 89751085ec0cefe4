"""Real pairs: readers of SQuAD 2.0, two prompts on BIG-Bench Hard, two models on GSM8K."""

import json
import re
import string
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from expplat.stats.paired import mean_difference, proportion_difference

DATA = Path(__file__).parents[2].parent / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the recorded data is not beside here")


def words_of(text):
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def f1(prediction, answer):
    one, other = words_of(prediction), words_of(answer)
    shared = sum((Counter(one) & Counter(other)).values())
    if not one or not other:
        return float(one == other)
    return 2 * shared / (len(one) + len(other))


@cache
def squad():
    """Exact match and F1 by reader, with the article of each question."""
    with (DATA / "squad2" / "requests.jsonl").open(encoding="utf-8") as lines:
        asked = [request for request in map(json.loads, lines) if request["answers_known"]]
    table = pd.read_parquet(DATA / "squad2" / "reader_predictions.parquet")
    predicted = table.set_index(["model", "request_id"]).prediction
    golds = [[a for a in request["answers"] if words_of(a)] or [""] for request in asked]
    scores = {}
    for reader in predicted.index.unique("model"):
        said = predicted[reader].loc[[request["request_id"] for request in asked]]
        pairs = list(zip(said, golds, strict=True))
        exact = [float(any(words_of(s) == words_of(a) for a in gold)) for s, gold in pairs]
        scores[reader] = (exact, [max(f1(s, a) for a in gold) for s, gold in pairs])
    return scores, [request["title"] for request in asked]


def bbh():
    table = pd.read_parquet(DATA / "llm_logs" / "bbh_direct_vs_cot.parquet")
    wide = table.pivot(index=["task", "request_id"], columns="style", values="correct")
    tasks = wide.index.get_level_values("task").tolist()
    return wide["direct"].astype(float), wide["cot"].astype(float), tasks


def by_residual_sums(differences, clusters):
    """The cluster-robust error with the factor G / (G − 1) alone (CR1), as statsmodels has it."""
    from statsmodels.api import OLS

    numbers = pd.factorize(np.array(clusters))[0]
    fitted = OLS(np.asarray(differences), np.ones(len(differences))).fit(
        cov_type="cluster", cov_kwds={"groups": numbers}
    )
    return float(fitted.bse[0])


@pytest.mark.parametrize(
    ("control", "treatment", "delta", "p"),
    [
        ("bidaf-selfattn-elmo", "nlnet-single", 0.1071, 2.5e-41),
        ("nlnet-single", "bert-large-single", 0.0315, 1.8e-05),
    ],
)
def test_readers_of_squad_have_the_recorded_exact_p_value(control, treatment, delta, p):
    scores, _ = squad()

    found = proportion_difference(scores[control][0], scores[treatment][0], exact=True)

    assert found.estimate == pytest.approx(delta, abs=5e-5)
    assert found.p == pytest.approx(p, rel=0.02)


def test_models_on_gsm8k_and_prompts_on_bbh_have_the_recorded_exact_p_value():
    routed = pd.read_parquet(DATA / "llm_logs" / "routellm_gsm8k.parquet")
    direct, cot, _ = bbh()

    models = proportion_difference(routed.weak_correct, routed.strong_correct, exact=True)
    prompts = proportion_difference(direct, cot, exact=True)

    assert models.p == pytest.approx(5.1e-42, rel=0.02)
    assert prompts.p == pytest.approx(2.8e-146, rel=0.02)


def test_articles_of_squad_widen_the_error_of_a_difference_in_f1():
    scores, articles = squad()
    columns = [np.array(scores[r][1]) for r in ("bidaf-selfattn-elmo", "nlnet-single")]

    alone = mean_difference(*columns)
    found = mean_difference(*columns, articles)

    assert found.estimate == pytest.approx(0.11485, abs=5e-6)
    assert alone.standard_error == pytest.approx(0.00764, abs=5e-6)
    # CR2, 0.010273; the recorded 0.01026 is CR1.
    assert found.standard_error == pytest.approx(0.010273, abs=5e-7)
    assert by_residual_sums(columns[1] - columns[0], articles) == pytest.approx(0.01026, abs=5e-6)
    assert found.warnings == ("Only 9 clusters: the interval is rough below 30.",)


def test_tasks_of_bbh_widen_the_error_sixfold():
    direct, cot, tasks = bbh()

    alone = mean_difference(direct, cot)
    found = mean_difference(direct, cot, tasks)

    assert found.estimate == pytest.approx(0.26913, abs=5e-6)
    assert alone.standard_error == pytest.approx(0.00988, abs=5e-6)
    # CR2, 0.059961; the recorded 0.05993 is CR1.
    assert found.standard_error == pytest.approx(0.059961, abs=5e-7)
    assert by_residual_sums(cot - direct, tasks) == pytest.approx(0.05993, abs=5e-6)
    assert found.standard_error == pytest.approx(0.05993, rel=0.001)
    assert found.warnings == ("Only 14 clusters: the interval is rough below 30.",)
