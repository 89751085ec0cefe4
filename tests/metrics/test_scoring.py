import json
import math
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.domain.request import Output, Request
from expplat.errors import NotFoundError
from expplat.metrics.scoring import normalised, score

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def a_request(relevant=None, answer=None, answerable=None):
    expected = {}
    if relevant is not None:
        expected["relevant_ids"] = relevant
    if answer is not None:
        expected["answer"] = answer
    return Request(request_id="1", input={}, expected=expected, answerable=answerable)


def found(*ids):
    return Output(retrieved=ids)


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("recall_at_1", 0),
        ("recall_at_3", 1 / 3),
        ("recall_at_10", 2 / 3),
        ("precision_at_3", 1 / 3),
        ("precision_at_10", 2 / 10),
        ("success_at_1", 0),
        ("success_at_2", 1),
        ("mrr_at_1", 0),
        ("mrr_at_10", 1 / 2),
        (
            "ndcg_at_10",
            (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3) + 1 / math.log2(4)),
        ),
        ("ndcg_at_2", (1 / math.log2(3)) / (1 + 1 / math.log2(3))),
    ],
)
def test_retrieval_metrics_are_those_computed_by_hand(metric, value):
    request = a_request(relevant=["a", "b", "c"])

    assert score(metric, request, found("x", "a", "y", "b")) == pytest.approx(value)


def test_graded_relevance_has_the_linear_gain_of_trec_eval():
    request = a_request(relevant={"best": 3, "good": 1, "not": 0, "bad": -2})

    value = score("ndcg_at_3", request, found("good", "not", "best"))

    assert value == pytest.approx((1 + 3 / 2) / (3 + 1 / math.log2(3)))
    assert value == pytest.approx(0.6885, abs=5e-5)
    assert score("recall_at_3", request, found("not", "bad", "good")) == 0.5


def test_an_id_that_comes_twice_counts_once_at_its_first_place():
    request = a_request(relevant=["a", "b"])
    repeated = found("a", "a", "a", "b")

    assert score("recall_at_2", request, repeated) == 1
    assert score("precision_at_4", request, repeated) == 0.5
    assert score("ndcg_at_2", request, repeated) == 1


def test_the_perfect_order_scores_one_even_where_more_is_relevant_than_asked_for():
    request = a_request(relevant={"a": 3, "b": 2, "c": 1})

    assert score("ndcg_at_2", request, found("a", "b")) == 1


def test_ids_are_compared_as_text():
    assert score("recall_at_1", a_request(relevant=[7]), found("7")) == 1
    assert score("recall_at_1", a_request(relevant="doc7"), found("doc7")) == 1


def test_nothing_retrieved_scores_nothing():
    request = a_request(relevant=["a"])

    for family in ("recall", "precision", "ndcg", "mrr", "success"):
        assert score(f"{family}_at_5", request, Output()) == 0


@pytest.mark.parametrize(
    "request_",
    [
        a_request(),
        a_request(relevant=[]),
        a_request(relevant={"a": 0}),
        a_request(relevant=["a"], answerable=False),
    ],
)
def test_retrieval_metrics_need_something_relevant_and_answerable(request_):
    for family in ("recall", "precision", "ndcg", "mrr", "success"):
        assert score(f"{family}_at_5", request_, found("a")) is None


@given(
    st.lists(st.sampled_from("abcdefgh"), max_size=12),
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 3), min_size=1),
    st.integers(1, 12),
)
def test_retrieval_metrics_stay_between_zero_and_one(retrieved, grades, cut):
    request = a_request(relevant=grades)

    for family in ("recall", "precision", "ndcg", "mrr", "success"):
        value = score(f"{family}_at_{cut}", request, found(*retrieved))
        assert 0 <= value <= 1 + 1e-12


@pytest.mark.parametrize(
    ("text", "answers", "match", "f1"),
    [
        ("The Eiffel Tower!", ["eiffel tower"], 1, 1),
        ("in Paris, France", ["Paris"], 0, 0.5),
        ("Paris", ["London", "paris."], 1, 1),
        ("a cat and a cat", ["cat"], 0, 0.5),
        ("", ["cat"], 0, 0),
        ("cat", ["the"], 0, 0),
        ("the", ["a"], 1, 1),
        ("theatre", ["atre"], 0, 0),
    ],
)
def test_text_metrics_are_those_computed_by_hand(text, answers, match, f1):
    request, output = a_request(answer=answers), Output(text=text)

    assert score("exact_match", request, output) == match
    assert score("token_f1", request, output) == pytest.approx(f1)


def test_a_refusal_scores_nothing_whatever_it_says():
    output = Output(text="cat", refused=True)

    assert score("exact_match", a_request(answer="cat"), output) == 0
    assert score("token_f1", a_request(answer="cat"), output) == 0


@pytest.mark.parametrize(
    "request_", [a_request(), a_request(answer=[]), a_request(answer=["x"], answerable=False)]
)
def test_text_metrics_need_a_right_answer(request_):
    assert score("exact_match", request_, Output(text="x")) is None
    assert score("token_f1", request_, Output(text="x")) is None


@pytest.mark.parametrize(
    ("answerable", "over", "correct"), [(True, 1, None), (False, None, 1), (None, None, None)]
)
def test_a_refusal_is_wrong_only_where_an_answer_exists(answerable, over, correct):
    request, output = a_request(answerable=answerable), Output(refused=True)

    assert score("over_refusal", request, output) == over
    assert score("correct_refusal", request, output) == correct


def test_refusing_always_wins_nothing():
    request = a_request(relevant=["a"], answer=["x"], answerable=True)
    refusal = Output(refused=True)

    assert [score(name, request, refusal) for name in ("exact_match", "recall_at_5")] == [0, 0]
    assert score("over_refusal", request, refusal) == 1


def test_measured_metrics_are_not_scored_and_unknown_ones_are_refused():
    assert score("latency_ms", a_request(), Output()) is None
    with pytest.raises(NotFoundError):
        score("recall", a_request(), Output())


def test_normalisation_drops_case_punctuation_articles_and_blanks():
    assert normalised("  The  U.S.-led, AN answer ") == "usled answer"


def cacm_means(qrels_name, metrics):
    qrels, run = defaultdict(dict), defaultdict(list)
    for line in (SHARED / "cacm" / qrels_name).read_text().splitlines():
        query, _, document, grade = line.split()
        qrels[query][document] = int(grade)
    for line in (SHARED / "cacm" / "run_anserini_bm25_sample.trec").read_text().splitlines():
        query, _, document, *_ = line.split()
        run[query].append(document)
    return {
        metric: fmean(
            score(metric, a_request(relevant=grades), found(*run[query]))
            for query, grades in qrels.items()
        )
        for metric in metrics
    }


@pytest.mark.skipif(not (SHARED / "cacm").is_dir(), reason="the CACM collection is not here")
def test_a_real_run_has_the_figures_of_trec_eval():
    published = cacm_means(
        "qrels.trec", ("ndcg_at_10", "mrr_at_30", "recall_at_10", "success_at_5", "precision_at_30")
    )
    mended = cacm_means("qrels_fixed.trec", ("ndcg_at_10", "recall_at_10", "precision_at_30"))

    assert published == pytest.approx(
        {
            "ndcg_at_10": 0.454282,
            "mrr_at_30": 0.704751,
            "recall_at_10": 0.334524,
            "success_at_5": 0.826923,
            "precision_at_30": 0.194231,
        },
        abs=6e-7,
    )
    assert mended == pytest.approx(
        {"ndcg_at_10": 0.460413, "recall_at_10": 0.339903, "precision_at_30": 0.198077}, abs=6e-7
    )


@pytest.mark.skipif(not (SHARED / "squad2").is_dir(), reason="the SQuAD sample is not here")
@pytest.mark.parametrize(
    ("model", "match", "f1", "refused"),
    [
        ("bert-large-single", 0.7682, 0.8253, 0.8303),
        ("nlnet-single", 0.7246, 0.7857, 0.8111),
        ("bidaf-selfattn-elmo", 0.6436, 0.6892, 0.6776),
    ],
)
def test_real_readers_have_their_official_scores(model, match, f1, refused):
    from pyarrow import parquet

    rows = parquet.read_table(SHARED / "squad2" / "reader_predictions.parquet").to_pylist()
    said = {row["request_id"]: row["prediction"] for row in rows if row["model"] == model}
    values = defaultdict(list)
    for line in (SHARED / "squad2" / "requests.jsonl").read_text().splitlines():
        row = json.loads(line)
        if not row["answers_known"]:
            continue
        request = a_request(answer=row["answers"], answerable=row["answerable"])
        text = said[row["request_id"]]
        for metric in ("exact_match", "token_f1", "correct_refusal"):
            value = score(metric, request, Output(text=text, refused=text == ""))
            if value is not None:
                values[metric].append(value)

    means = {metric: fmean(column) for metric, column in values.items()}

    assert means == pytest.approx(
        {"exact_match": match, "token_f1": f1, "correct_refusal": refused}, abs=6e-5
    )
