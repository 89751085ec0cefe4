import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter

from expplat import Call, Request
from expplat.domain.gate import GateKind
from expplat.domain.proposal import Proposal
from pocs.hybrid_rrf.variants import Hybrid
from pocs.late_interaction.variants import LateInteraction, in_place
from pocs.multi_query.variants import MultiQuery
from pocs.python_docs.corpus import document_ids, passages
from pocs.python_docs.indexes import best
from pocs.python_docs.production import SHOWN, ProductionSearch, fuse
from pocs.python_docs.words import plain_words, stems

ROOT = Path(__file__).parents[2]
SLUGS = ("hybrid_rrf", "late_interaction", "multi_query")
VARIANTS = (ProductionSearch, Hybrid, LateInteraction, MultiQuery)


def a_request(question):
    return Request(request_id="q", input={"question": question})


def answer(variant_class, question, **params):
    variant = variant_class(**params)
    variant.setup()
    return variant(a_request(question), Call())


def proposal(slug):
    text = (ROOT / "experiments" / f"{slug}.yaml").read_text(encoding="utf-8")
    return TypeAdapter(Proposal).validate_json(json.dumps(yaml.safe_load(text)))


def first_hits(variant_class):
    rows = (ROOT / "experiments/logs/python_questions.jsonl").read_text(encoding="utf-8")
    answerable = [row for row in map(json.loads, rows.splitlines()) if row["answerable"]]
    variant = variant_class()
    variant.setup()
    return [
        bool(
            set(row["expected"]["relevant_ids"])
            & set(variant(a_request(row["input"]["question"]), Call()).retrieved[:5])
        )
        for row in answerable
    ]


@pytest.mark.parametrize("variant_class", VARIANTS)
def test_a_variant_names_at_most_ten_known_documents_each_once(variant_class):
    output = answer(variant_class, "count how often each word occurs in a list")

    assert not output.refused
    assert 0 < len(output.retrieved) <= SHOWN
    assert len(set(output.retrieved)) == len(output.retrieved)
    assert set(output.retrieved) <= document_ids()
    assert 0 < output.confidence <= 1
    assert output.text


@pytest.mark.parametrize("variant_class", VARIANTS)
@pytest.mark.parametrize("question", ["", "???", "zzyzx qwrtplk", "how do I do it"])
def test_a_question_without_a_known_word_is_refused(variant_class, question):
    output = answer(variant_class, question)

    assert output.refused
    assert output.retrieved == ()


@pytest.mark.parametrize("variant_class", VARIANTS)
def test_a_variant_answers_the_same_question_the_same_way_twice(variant_class):
    question = "check whether two floats are nearly equal"

    assert answer(variant_class, question) == answer(variant_class, question)


@pytest.mark.parametrize("variant_class", VARIANTS)
def test_every_variant_refuses_by_the_rule_of_production(variant_class):
    question = "check whether two floats are nearly equal"

    assert answer(variant_class, question, refuse_below=1.1).refused
    assert not answer(variant_class, question, refuse_below=0.0).refused


@pytest.mark.parametrize("variant_class", VARIANTS)
def test_every_variant_times_its_stages(variant_class):
    call = Call()
    variant = variant_class()
    variant.setup()
    variant(a_request("sort a dictionary by its values"), call)

    assert {"retrieve", "decide", "excerpt"} <= call.stages_ms.keys()


def test_the_hybrid_helps_more_people_than_production_on_the_log():
    production, hybrid = first_hits(ProductionSearch), first_hits(Hybrid)

    assert np.mean(hybrid) - np.mean(production) >= 0.03


def test_the_versions_of_a_question_keep_its_subject():
    variant = MultiQuery(left_out=2)
    variant.setup()
    asked = stems("merge sorted iterables lazily")

    versions = variant.versions(asked, np.array([0, 1]))

    assert len(versions) == 4
    assert all(set(asked) & set(version) for version in versions)


def test_fusion_follows_the_formula_of_its_paper():
    corpus = passages()
    flat = [n for n, item in enumerate(corpus) if item.document_id.startswith("topic:")][:3]
    first, second, third = flat

    fused = fuse([(np.array([first, second]), 1.0), (np.array([second, third]), 1.0)], 0.0)

    # 1/62 + 1/61 for the one that both name, 1/61 for the first, 1/62 for the last.
    assert fused.tolist() == [second, first, third]


def test_fusion_puts_a_deeply_nested_object_after_a_flat_one_of_the_same_rank():
    corpus = passages()
    flat = next(n for n, item in enumerate(corpus) if item.document_id == "topic:with")
    deep = next(n for n, item in enumerate(corpus) if item.document_id.count(".") >= 2)

    assert fuse([(np.array([deep]), 1.0), (np.array([flat]), 1.0)], 0.1).tolist() == [flat, deep]


def test_equal_scores_stand_in_corpus_order_and_zeros_are_left_out():
    assert best(np.array([0.0, 2.0, 1.0, 2.0]), limit=3).tolist() == [1, 3, 2]


def test_a_word_alone_in_its_window_keeps_its_direction():
    vector = np.array([[3.0, 4.0]], dtype=np.float32)

    np.testing.assert_allclose(in_place(vector, window=3), [[0.6, 0.8]], rtol=1e-6)


def test_stems_take_identifiers_apart_and_let_forms_of_a_word_meet():
    assert stems("sorting sorted sorts") == ["sort"] * 3
    assert stems("assertAlmostEqual read_text") == stems("assert almost equal read text")
    assert stems("loop while it holds") == stems("loops, while holding")
    assert plain_words("read_text of a Path") == ["read_text", "path"]


@pytest.mark.parametrize("slug", SLUGS)
def test_an_experiment_file_is_a_proposal_whose_code_and_log_are_there(slug):
    found = proposal(slug)

    assert found.slug == slug
    assert found.problem.primary_metric == "success_at_5"
    assert (ROOT / found.request_log.path).is_file()
    for variant in (found.variants.control, found.variants.treatment):
        module, _, name = variant.use.partition(":")
        made = {item.__name__: item for item in VARIANTS}[name](**variant.params)
        assert type(made).__module__ == module


@pytest.mark.parametrize("slug", SLUGS)
def test_an_experiment_file_asks_for_accuracy_latency_and_cost_in_both_phases(slug):
    found = proposal(slug)

    assert {gate.metric for gate in found.offline_gates} == {
        "success_at_5", "ndcg_at_10", "latency_ms", "cost_usd_per_1k",
    }  # fmt: skip
    assert {metric.concern for metric in found.online.metrics} == {"accuracy", "latency", "cost"}
    assert {gate.metric for gate in found.online.gates} == {
        metric.name for metric in found.online.metrics
    }
    assert [gate.kind for gate in found.online.gates].count(GateKind.SUPERIORITY) == 1
