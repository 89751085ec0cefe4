"""A replay as JUnit XML and as Markdown: what a build server and a pull request show."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expplat.adapters.report.junit import junit_xml
from expplat.adapters.report.markdown_report import LONGEST, report_markdown
from expplat.adapters.report.markdown_text import cell
from expplat.adapters.report.pages import Pages
from expplat.domain.gate import Ruling
from expplat.domain.proposal import Waiver
from tests.builders import a_proposal, a_verdict
from tests.rich_reports import (
    a_hostile_report,
    a_report_of_nothing,
    a_rich_report,
    an_extreme_report,
)

HOSTILE = st.sampled_from(
    [
        "]]>",
        "<!--",
        "\x00\x0b\x1f",
        "\ufffe",
        "&amp;",
        '"/><failure/>',
        "a\r\nb\tc",
        "\U0001f600",
    ]
) | st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30)


def parsed(report, proposal=None):
    """The suite, as a build server reads the file: from bytes in UTF-8."""
    return ElementTree.fromstring(junit_xml(report, proposal or a_proposal()).encode())[0]


def test_every_verdict_is_a_case_and_only_a_pass_passes():
    suite = parsed(a_rich_report())

    cases = suite.findall("testcase")
    kinds = [[failure.get("type") for failure in case.findall("failure")] for case in cases]
    assert kinds == [["unknown"], [], ["fail"], []]
    assert (suite.get("tests"), suite.get("failures")) == ("4", "2")


def test_an_unknown_answer_says_why_it_fails_the_build():
    failure = parsed(a_rich_report(verdicts=(a_verdict(Ruling.UNKNOWN),))).find("testcase/failure")

    assert failure is not None
    assert failure.get("message", "").startswith("Not known, and what is not proven does not pass")


def test_a_replay_without_any_verdict_fails_the_build():
    suite = parsed(a_report_of_nothing())

    assert suite.get("failures") == "1"
    assert suite.find("testcase/failure[@type='unknown']") is not None


def test_the_properties_tell_which_replay_it_was():
    waiver = Waiver(phase="offline", concern="cost", reason="It costs what it costs.")
    suite = parsed(a_rich_report(), replace(a_proposal(), waivers=(waiver,)))

    told = {one.get("name"): one.get("value") for one in suite.iter("property")}
    plan = a_rich_report().plan
    assert told["replay_id"] == plan.replay_id
    assert told["log_sha256"] == plan.log_sha256
    assert told["ruling"] == "fail"
    assert told["waived.offline.cost"] == "It costs what it costs."


def test_the_suite_took_as_long_as_the_replay():
    assert parsed(a_rich_report()).get("time") == "240.000"


@given(HOSTILE)
@settings(max_examples=60, deadline=None)
def test_no_text_breaks_the_xml_or_adds_a_case(text):
    suite = parsed(a_hostile_report(text))

    assert len(suite.findall("testcase")) == 4
    assert len(list(suite.iter("failure"))) == 2


def test_half_a_sign_of_a_broken_log_can_be_written_all_the_same():
    request = replace(a_rich_report().worst[0], asked="half \ud83d a sign", control_answer="\udcff")
    report = a_rich_report(worst=(request,), stopped="\ud83d")

    texts = (
        junit_xml(report, a_proposal()),
        report_markdown(report, a_proposal()),
        Pages().replay_page(report, a_proposal()),
    )

    assert all(text.encode() for text in texts)


def test_markdown_leads_with_the_ruling_the_blockers_and_the_claim():
    lines = report_markdown(a_rich_report(), a_proposal()).splitlines()

    assert lines[0] == "## ✗ fail: replay of hybrid\\_rrf"
    assert lines[2].startswith("**2 of 4 gates stand in the way")
    assert lines[4].startswith("claimed MAP +4 pp")
    assert lines[4].endswith("22 % \\[−85, +130\\] of the claim")


def test_markdown_tells_what_stands_in_the_way_first():
    text = report_markdown(a_rich_report(), a_proposal())

    marks = re.findall(r"^\| ([✗?✓])", text, re.M)
    assert marks == ["✗", "?", "✓", "✓"]


def test_markdown_names_the_slower_stage_the_cost_and_the_five_worst_requests():
    text = report_markdown(a_rich_report(), a_proposal())

    assert "rerank added 21.3 ms" in text
    assert "1,000 requests cost" in text
    assert len(re.findall(r"^\| req-", text, re.M)) == 5


def test_markdown_of_nothing_is_a_short_comment_that_says_so():
    text = report_markdown(a_report_of_nothing(), a_proposal())

    assert "No gate was judged" in text
    assert "|---|" not in text


def cells_of(line: str) -> int:
    return len(re.split(r"(?<!\\)\|", line)) - 2


@given(
    st.sampled_from(
        ["|", "a|b\n|---|", "<img src=x onerror=alert(1)>", "[x](javascript:y)", "`", "# h", "@all"]
    )
    | st.text(min_size=1, max_size=30)
)
@settings(max_examples=60, deadline=None)
def test_no_text_adds_a_row_a_column_or_a_tag_to_the_markdown(text):
    hostile = report_markdown(a_hostile_report(text), a_proposal()).splitlines()
    harmless = report_markdown(a_hostile_report("word"), a_proposal()).splitlines()

    assert [cells_of(line) for line in hostile] == [cells_of(line) for line in harmless]
    assert not [line for line in hostile if "<" in line or ">" in line]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a_b *c* [d](e)", "a\\_b \\*c\\* \\[d\\](e)"),
        ("<b>&lt;", "&lt;b&gt;&amp;lt;"),
        ("two\n\nlines\tand tabs", "two lines and tabs"),
        ("~~no~~ #12 !x $y$", "\\~\\~no\\~\\~ \\#12 \\!x &#36;y&#36;"),
        ("ask @ada", "ask @\u200bada"),
        ("nDCG@10", "nDCG@10"),
        ("see https://x.example", "see https:\u200b//x.example"),
        ("www.x.example", "www\u200b.x.example"),
        ("\x1b[31mred\u202e", "\\[31mred"),
    ],
)
def test_a_cell_shows_its_text_and_does_nothing_else(text, shown):
    assert cell(text) == shown


def test_a_cell_is_cut_before_it_is_escaped():
    assert cell("_" * 50, longest=4) == "\\_\\_\\_…"


def test_a_comment_is_never_longer_than_a_host_takes():
    verdicts = tuple(replace(a_verdict(Ruling.FAIL), sentence="<&|>" * 500) for _ in range(2000))
    text = report_markdown(an_extreme_report(verdicts=verdicts), a_proposal())

    assert len(text) <= LONGEST
    assert "Cut here" in text
    assert {cells_of(line) for line in text.splitlines() if line.startswith("| ")} == {5}
