"""Who enters a test, from the file: read with every value, or every fault with its line."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from expplat.adapters.spec_file import SpecFile, json_schema, read_document
from expplat.domain.entrance import Exclusion, Holdout
from expplat.errors import FaultsError

WHOLE = (Path(__file__).parent / "assets" / "short_answers.yaml").read_text(encoding="utf-8")

STATED = """\
  targeting:
    country: {$in: [CH, DE]}
    plan.tier: {$ne: free}
  exclusion: {group: rag_ranking, from_percent: 0, to_percent: 33.33}
  holdout: {name: search_2026, percent: 5}
  requires: hybrid_rrf
"""

BROKEN = """\
  targeting:
    country: {$regex: "^C"}
    age: null
    $or:
      - {plan: {$size: many}}
  exclusion:
    group: RAG
    from_percent: 0.001
    to_percent: 101
  holdout: {name: search_2026, percent: 5, percents: 5}
  requires: short_answers
"""


def with_entrance(stated: str) -> str:
    before, at, after = WHOLE.partition("  max_units:")
    assert at
    return f"{before}{stated}{at}{after}"


def test_who_enters_is_read_with_every_value_and_again_when_it_was_frozen():
    text = with_entrance(STATED)

    online = SpecFile().read(text.encode(), "short_answers.yaml").online

    assert online.targeting == {"country": {"$in": ["CH", "DE"]}, "plan.tier": {"$ne": "free"}}
    assert online.exclusion == Exclusion(group="rag_ranking", from_percent=0, to_percent=33.33)
    assert online.holdout == Holdout(name="search_2026", percent=5)
    assert online.requires == "hybrid_rrf"
    assert SpecFile().thaw(text).online == online


def test_every_fault_is_told_at_once_on_its_line():
    text = with_entrance(BROKEN)

    with pytest.raises(FaultsError) as caught:
        SpecFile().read(text.encode(), "short_answers.yaml")

    lines = text.splitlines()
    assert [(lines[fault.line - 1].strip(), fault.field) for fault in caught.value.faults] == [
        ('country: {$regex: "^C"}', "online.targeting.country['$regex']"),
        ("age: null", "online.targeting.age"),
        ("- {plan: {$size: many}}", "online.targeting['$or'][0].plan['$size']"),
        ("group: RAG", "online.exclusion.group"),
        ("from_percent: 0.001", "online.exclusion.from_percent"),
        ("to_percent: 101", "online.exclusion.to_percent"),
        ("holdout: {name: search_2026, percent: 5, percents: 5}", "online.holdout.percents"),
        ("requires: short_answers", "online.requires"),
    ]
    assert all(fault.hint for fault in caught.value.faults)


def test_an_editor_takes_what_the_reader_takes_and_marks_a_group_that_is_no_name():
    validator = jsonschema.Draft202012Validator(json_schema())

    def is_marked(text: str) -> bool:
        return bool(list(validator.iter_errors(read_document(text.encode(), "x").value)))

    assert not is_marked(with_entrance(STATED))
    assert is_marked(with_entrance(STATED.replace("rag_ranking", "RAG")))
    assert is_marked(with_entrance(STATED.replace("percent: 5", "percent: 100")))
