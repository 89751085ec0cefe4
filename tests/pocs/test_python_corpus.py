import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pocs.python_docs.corpus import PASSAGE_WORDS, cut, document_ids, passages
from pocs.python_docs.overlap import overlaps

ROOT = Path(__file__).parents[2]
LOGS = ROOT / "experiments" / "logs"
LOG = LOGS / "python_questions.jsonl"
TUNING = LOGS / "python_questions_tuning.jsonl"

SECOND_PROCESS = """
import hashlib
from pocs.python_docs.corpus import passages
print(hashlib.sha256(repr(passages()).encode()).hexdigest())
"""


ALL_IDS = """
import json
from pocs.python_docs.corpus import document_ids
print(json.dumps(sorted(document_ids())))
"""


@pytest.fixture(scope="module")
def known_ids():
    """As a worker finds them: Ray may have wrapped the `print` of a process that tests it."""
    done = subprocess.run(
        [sys.executable, "-c", ALL_IDS],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


def rows_of(log):
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def hash_in_a_fresh_process(seed):
    done = subprocess.run(
        [sys.executable, "-c", SECOND_PROCESS],
        cwd=ROOT,
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_corpus_is_the_same_in_every_process():
    first, second = hash_in_a_fresh_process("1"), hash_in_a_fresh_process("2")

    assert first == second


def test_the_corpus_has_topics_and_objects_in_passages_of_a_readable_length():
    kinds = Counter(passage.document_id.partition(":")[0] for passage in passages())

    assert 2_500 <= len(passages()) <= 6_000
    assert set(kinds) == {"topic", "obj"}
    assert kinds["topic"] > 100
    assert all(passage.text.strip() for passage in passages())


def test_no_passage_holds_an_address_of_this_process():
    assert not [item for item in passages() if " at 0x" in f"{item.title} {item.text}"]


def test_a_document_is_not_listed_again_under_a_second_name():
    assert {"obj:OSError", "obj:itertools.groupby", "topic:with"} <= document_ids()
    assert "obj:IOError" not in document_ids()


def test_a_long_text_is_cut_between_paragraphs_and_nothing_is_lost():
    paragraphs = [f"{number} " + "word " * 60 for number in range(10)]

    pieces = list(cut(paragraphs))

    assert "\n\n".join(pieces) == "\n\n".join(paragraphs)
    assert all(PASSAGE_WORDS <= len(piece.split()) < 2 * PASSAGE_WORDS for piece in pieces[:-1])


def test_the_log_is_large_enough_and_has_every_segment():
    rows = rows_of(LOG)
    unanswerable = Counter(row["segment"]["topic"] for row in rows if not row["answerable"])

    assert sum(row["answerable"] for row in rows) >= 300
    assert unanswerable.total() >= 60
    assert set(unanswerable) == {"syntax", "stdlib", "errors", "how-to"}
    assert {row["segment"]["topic"] for row in rows} == set(unanswerable)


@pytest.mark.parametrize("log", [LOG, TUNING], ids=["log", "tuning"])
def test_every_reference_of_a_log_is_in_the_corpus(log, known_ids):
    missing = {
        (row["request_id"], name)
        for row in rows_of(log)
        for name in row["expected"]["relevant_ids"]
        if name not in known_ids
    }

    assert not missing


@pytest.mark.parametrize("log", [LOG, TUNING], ids=["log", "tuning"])
def test_a_question_is_answerable_exactly_when_it_names_an_answer_once(log):
    for row in rows_of(log):
        names = row["expected"]["relevant_ids"]
        assert row["answerable"] is bool(names), row["request_id"]
        assert len(set(names)) == len(names), row["request_id"]


def test_no_question_stands_twice_and_none_that_was_tuned_on_is_judged_on():
    rows = rows_of(LOG)
    both = [*rows, *rows_of(TUNING)]

    assert len({row["request_id"] for row in both}) == len(both)
    assert len({row["input"]["question"].casefold() for row in both}) == len(both)


def test_questions_are_not_made_of_the_words_of_their_answers():
    found = list(overlaps(LOG))
    relevant = sum(item.relevant for item in found) / len(found)
    other = sum(item.other for item in found) / len(found)

    assert 0.40 < relevant < 0.65
    assert other > relevant
