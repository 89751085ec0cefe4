"""The page of an analysis: self-contained, escaped, and true to what was found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expplat.adapters.report.analysis_plots import MOST_LABELS, looks_of
from expplat.adapters.report.pages import Pages
from tests.adapters.pages.page_reading import read_page as read
from tests.flow.tables import analyzed, compared, pairs, users

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def found():
    frame = users(600, seed=1, lift=1.0)
    return analyzed(frame, "spent=mean", "bought=proportion", look="day", margins=("bought=0.05",))


def drawn(found, source="t.csv", command="expplat analyze t.csv"):
    return Pages().analysis_page(found, source=source, command=command)


def test_the_page_is_whole_and_asks_nobody_for_anything(found):
    page = drawn(found)

    reading = read(page)
    assert not reading.unclosed
    assert not reading.wrongly_closed
    assert not reading.all("script", "link", "img", "iframe")
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_the_page_says_what_was_found(found):
    text = read(drawn(found)).text

    assert found.verdict.sentence in text
    for one in found.comparisons:
        assert one.sentence in text
    for finding in found.health:
        assert finding.sentence in text
    assert "margin 5 pp" in text


def test_names_from_a_table_stay_text(found):
    plain = read(drawn(found))
    comparisons = tuple(
        replace(one, variant=EVIL, sentence=EVIL, method=EVIL, warnings=(EVIL,))
        for one in found.comparisons
    )
    evil = drawn(replace(found, comparisons=comparisons, looks=()), source=EVIL, command=EVIL)

    assert EVIL not in evil
    assert not read(evil).all("script")
    assert EVIL in read(evil).text
    assert plain.all("svg")


def test_looks_are_drawn_for_each_comparison_and_few_are_named(found):
    frame = users(2_000, seed=2).assign(day=lambda table: table.user % 40)
    many = analyzed(frame, "spent=mean", look="day")

    assert [row.title for row in looks_of(found)] == ["spent · b", "bought · b"]
    (row,) = looks_of(many)
    assert len(row.plot.marks) == 40
    assert 1 < sum(bool(mark.label) for mark in row.plot.marks) <= MOST_LABELS


def test_shares_of_control_are_percentages_and_segments_stand_apart():
    page = read(drawn(compared(pairs(lift=0.3), "ms=latency", "score=mean", segment="kind"))).text

    assert "In each segment" in page
    assert "kind=long" in page
    assert " pp" not in page
