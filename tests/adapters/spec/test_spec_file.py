"""Experiment files: a proposal, or every fault with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from expplat.adapters.spec_file import SpecFile
from expplat.domain.gate import GateKind
from expplat.domain.metric import Concern, Metric
from expplat.errors import Fault, FaultsError

WHOLE = (Path(__file__).parent / "assets" / "short_answers.yaml").read_text()


def faults_of(text: str, source: str = "short_answers.yaml") -> tuple[Fault, ...]:
    with pytest.raises(FaultsError) as caught:
        SpecFile().read(text.encode(), source)
    return caught.value.faults


def with_line(old: str, new: str) -> str:
    assert WHOLE.count(old) == 1
    return WHOLE.replace(old, new)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def the_fault(text: str) -> Fault:
    (fault,) = faults_of(text)
    return fault


def test_a_whole_file_becomes_a_proposal_with_every_value():
    proposal = SpecFile().read(WHOLE.encode(), "experiments/short_answers.yaml")

    assert proposal.slug == "short_answers"
    assert proposal.problem.why_now == "The corpus has doubled.\nControl has not.\n"
    assert proposal.variants.control.params["nested"] == {"list": [1, 2.5, None, True]}
    assert proposal.metrics[0] == "recall_at_5"
    assert isinstance(proposal.metrics[3], Metric)
    assert proposal.metrics[3].concern is Concern.OTHER
    assert proposal.offline_gates[2].kind is GateKind.EQUIVALENCE
    assert proposal.online.ramp_percent == (1.0, 5.5, 50.0, 100.0)
    assert proposal.online.health.srm_alpha == 0.001
    assert proposal.measurement.timeout_s == 30.0


def test_a_source_without_the_ending_of_a_file_is_held_against_no_name():
    assert SpecFile().read(WHOLE.encode(), "revision 7f3a").slug == "short_answers"


def test_every_kind_of_fault_is_told_at_once_and_on_its_line():
    text = (
        WHOLE.replace("slug: short_answers", "slug: other_name")
        .replace("owner: search team", "ownr: search team")
        .replace("code_available: true", "code_available: yes")
        .replace("effect: 0.03", "effect: .nan")
        .replace("unit: points", "unit: *points")
        .replace("margin: 25", "min_effect: 25")
        .replace("max_units: 40000", "max_units: 4e4")
        .replace("  - phase: offline", "  - phase: nowhere")
        + "slug: twice\n"
    )
    faults = faults_of(text)

    assert [(fault.line, fault.field) for fault in faults] == [
        (0, "owner"),
        (1, "slug"),
        (2, "ownr"),
        (line_of(text, "code_available"), "paper.code_available"),
        (line_of(text, "effect: .nan"), "paper.claim.effect"),
        (line_of(text, "unit: *points"), "metrics[3].unit"),
        (line_of(text, "offline_gates"), "offline_gates"),
        (line_of(text, "min_effect: 25"), "offline_gates[1].margin"),
        (line_of(text, "min_effect: 25"), "offline_gates[1].min_effect"),
        (line_of(text, "max_units"), "online.max_units"),
        (line_of(text, "phase: nowhere"), "waivers[0].phase"),
        (len(text.splitlines()), "slug"),
    ]
    assert all(fault.message and fault.hint for fault in faults)


@pytest.mark.parametrize(
    ("old", "new", "field", "message", "hint"),
    [
        ("owner: search team\n", "", "owner", "`owner` is missing", "Who answers for it by day."),
        ("  on_call: search on call\n", "", "operations.on_call", "is missing", "called at 2am"),
        ("  table: T", "  tabel: T", "paper.claim.tabel", "no field 'tabel'",
         "Did you mean `table`?"),
        ("  path: exp", "  zzz: 1\n  path: exp", "request_log.zzz", "no field", "path, query"),
        ("search team", "12", "owner", "must be a text, not the number 12", "Put it in quotes."),
        ("search team", "[a]", "owner", "must be a text, not a list", "Who answers"),
        ("search team", "", "owner", "It is empty", "Who answers"),
        ("search team", '""', "owner", "It is empty", "Who answers"),
        ("available: true", "available: on", "paper.code_available", "the text 'on'", "Write true"),
        ("effect: 0.03", "effect: 3%", "paper.claim.effect", "a number, not the text '3%'",
         "digits"),
        ("40000", "40000.5", "online.max_units", "must be a whole number", "horizon"),
        ("40000", "19", "online.max_units", "must be at least 20, not 19", "horizon"),
        ("[1, 5.5, 50, 100]", "[1, 101]", "online.ramp_percent[1]", "at most 100", ""),
        ("[1, 5.5, 50, 100]", "7", "online.ramp_percent", "must be a list", "dash"),
        ("[1, 5.5, 50, 100]", "[]", "online.ramp_percent", "It is empty", "only ever more"),
        ("alpha: 0.1", "alpha: 0.5", "offline_gates[2].alpha", "less than 0.5, not 0.5", "level"),
        ("{k: 5}", "[5]", "variants.treatment.params", "a mapping", "Keyword arguments"),
        ("direction: lower, unit: ms", "direction: down, unit: ms", "online.metrics[1].direction",
         "'down' is not one", "higher, lower"),
        ("kind: equivalence", "kind: equivalense", "offline_gates[2].kind", "not one",
         "Did you mean `equivalence`?"),
        ("recall_at_5\n  - lat", "5\n  - lat", "metrics[0]", "a name or a declaration", "built-in"),
        ("    use: pocs.short_answers.metrics:politeness", "    use: 5", "metrics[3].use",
         "must be a text", "quotes"),
        ("reason: Both variants do the same work on the same machine.", "reason: no",
         "waivers[0].reason", "fewer than 10 characters", "Why."),
    ],
)  # fmt: skip
def test_a_field_that_does_not_fit_is_one_fault_in_plain_words(old, new, field, message, hint):
    faults = [fault for fault in faults_of(with_line(old, new)) if fault.field == field]

    assert len(faults) == 1
    assert message in faults[0].message
    assert hint in faults[0].hint


def test_a_fault_stands_on_the_line_of_its_field_and_a_missing_field_on_its_parents():
    text = with_line("    dataset: BEIR, 13 data sets\n", "")

    assert the_fault(text).line == line_of(text, "  claim:")


def test_a_field_that_could_not_be_read_has_no_second_fault():
    fault = the_fault(with_line("effect: 0.03", "effect: !!float 0.03"))

    assert fault.field == "paper.claim.effect"
    assert "tag" in fault.message


def test_entries_with_faults_do_not_make_their_list_too_short():
    fields = {fault.field for fault in faults_of(with_line("[1, 5.5, 50, 100]", "[a]"))}

    assert fields == {"online.ramp_percent[0]"}


def test_only_the_first_hundred_faults_are_told_with_the_number_of_the_others():
    text = WHOLE + "".join(f"unknown_{number}: 1\n" for number in range(300))
    faults = faults_of(text)

    assert len(faults) == 101
    assert faults[-1].message == "And at least 200 more."


def test_what_is_quoted_of_a_file_cannot_move_the_cursor():
    text = with_line("slug: short_answers", 'slug: "a\\e[2Jb"') + '"\\u202Ekey": 1\n'
    said = "".join(fault.field + fault.message + fault.hint for fault in faults_of(text))

    assert said.isprintable()
