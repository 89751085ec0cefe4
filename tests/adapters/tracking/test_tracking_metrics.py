from __future__ import annotations

import json
from dataclasses import replace

import pytest

from expplat.adapters.tracking.content import TABLE, paired_deltas, run_contents
from expplat.adapters.tracking.metrics import SEGMENTS, arm_numbers, verdict_numbers
from expplat.adapters.tracking.names import safe_name, segment_name
from expplat.domain.replay import CONTROL, TREATMENT
from tests.adapters.pages.example_stories import effect, proposal, report
from tests.adapters.tracking.full_report import (
    a_call,
    a_failed_call,
    a_sample,
    full_report,
    samples_of,
)
from tests.builders import RECALL


def test_stages_are_told_with_all_their_percentiles_and_what_is_left_over() -> None:
    numbers = arm_numbers(full_report("stages"), TREATMENT)

    assert numbers["stage/fuse/mean"] == 12.0
    assert numbers["stage/fuse/p99"] == 36.0
    assert numbers["stage/rest/p50"] == pytest.approx(1.75 * 0.9)


def test_a_report_without_stage_deltas_tells_the_stages_of_its_arms() -> None:
    arm = full_report("plain").arms[CONTROL]
    one = report("plain", arms={CONTROL: arm})

    numbers = arm_numbers(one, CONTROL)

    assert numbers["stage/retrieve/p95"] == 22.0
    assert numbers["stage/retrieve/p99"] == 31.0


def test_cost_is_told_by_stage_and_model_per_thousand_requests() -> None:
    numbers = arm_numbers(full_report("costs"), TREATMENT)

    assert numbers["cost/answer/small"] == 0.08
    assert numbers["cost/no stage/cpu"] == 0.004


def test_better_is_in_percent_of_control_and_points_up_also_where_lower_is_better() -> None:
    one = full_report("better")

    control, treatment = arm_numbers(one, CONTROL), arm_numbers(one, TREATMENT)

    assert treatment["better/recall_at_5_percent"] == pytest.approx(100 * 0.041 / 0.612)
    assert treatment["better/latency_p95_ms_percent"] == pytest.approx(-100 * 31 / 184)
    assert {value for name, value in control.items() if name.startswith("better/")} == {0.0}


def test_nothing_is_better_by_a_share_of_zero() -> None:
    from_zero = effect(RECALL, 0.0, 0.02, 0.01)

    numbers = arm_numbers(report("zero", effects=(from_zero,)), TREATMENT)

    assert [name for name in numbers if name.startswith("better/")] == []


def test_a_kind_of_error_is_counted_for_both_variants_once_one_has_it() -> None:
    one = full_report("errors")

    assert one.arms[CONTROL].errors == {}
    assert arm_numbers(one, CONTROL)["errors/timeout"] == 0.0
    assert arm_numbers(one, TREATMENT)["errors/timeout"] == 3.0


def test_the_verdict_tells_what_each_stage_did_to_the_latency_with_its_interval() -> None:
    numbers = verdict_numbers(full_report("stage_deltas"), proposal())

    assert numbers["stage_delta/fuse"] == 12.0
    assert numbers["stage_delta/fuse/ci_low"] == 12.0 - 0.4
    assert numbers["stage_delta/fuse/ci_high"] == 12.0 + 0.4
    assert numbers["stage_delta/rest"] == -0.25


def test_the_verdict_tells_segments_trust_repeats_and_how_much_of_the_claim_came_true() -> None:
    numbers = verdict_numbers(full_report("parts"), proposal())

    assert numbers["segment/topic:syntax/recall_at_5"] == -0.011
    assert numbers["segment/topic:syntax/recall_at_5/ci_high"] == pytest.approx(0.017)
    assert numbers["trust/difference"] == 0.002
    assert numbers["variance/between_repeats"] == 0.01
    assert numbers["reproduction/ratio"] == pytest.approx(0.041 / 0.052)
    assert numbers["requests/measured"] == 1100.0
    assert numbers["delta/recall_at_5/relative"] == pytest.approx(0.041 / 0.612)


def test_the_most_harmed_segments_are_copied_where_there_are_too_many() -> None:
    segments = {
        f"user=u{k:03d}": (effect(RECALL, 0.6, 0.001 * k - 0.05, 0.01),) for k in range(150)
    }
    one = report("crowd", segments=segments)

    *_, verdict = run_contents(one, proposal(), "")

    copied = {name for name in verdict.metrics if name.startswith("segment/")}
    assert len(copied) == 3 * SEGMENTS
    assert "segment/user:u000/recall_at_5" in copied
    assert "segment/user:u149/recall_at_5" not in copied
    assert verdict.tags["expplat.segments_left_out"] == "50"
    assert len(json.loads(verdict.files["verdict.json"])["segments"]) == 150


def test_two_segments_never_meet_in_one_name() -> None:
    segments = [
        "topic=syntax",
        "topic:syntax=",
        "a=b=c",
        "a=b:c",
        "a:b=c",
        "a=b/c",
        "a/b=c",
        "=",
    ]

    names = [segment_name(segment) for segment in segments]

    assert len(set(names)) == len(segments)
    assert names[0] == "topic:syntax"
    assert not [name for name in names if "/" in name]
    assert [name for name in names if safe_name(name) != name] == []


def test_verdict_json_holds_the_whole_report() -> None:
    *_, verdict = run_contents(full_report("whole"), proposal(), "")

    kept = json.loads(verdict.files["verdict.json"])

    assert [stage["stage"] for stage in kept["stages"]] == ["retrieve", "fuse", "answer", "rest"]
    assert kept["variance"]["repeats"] == 3
    assert kept["trust"]["difference"] == 0.002
    assert kept["stopped"].startswith("The answer was clear")
    assert kept["arms"]["treatment"]["costs"][0]["model"] == "small"
    assert kept["reproduction"]["ratio"] == pytest.approx(0.041 / 0.052)
    assert kept["worst"][0]["request_id"] == "req-00000"


def test_the_table_lists_the_worst_the_best_and_some_at_random_with_their_words() -> None:
    one = full_report("table")
    samples = samples_of(one, random=2)

    *_, verdict = run_contents(one, proposal(), "", samples)

    table = json.loads(verdict.files[TABLE])
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [row["list"] for row in rows] == ["worst"] * 3 + ["best"] * 3 + ["random"] * 2
    assert rows[-1]["request_id"] == "drawn-001"
    assert rows[-1]["asked"] == "How do I reset drawn-001?"
    assert rows[-1]["treatment_answer"] == "doc-2, doc-7"


def test_a_sampled_request_without_both_values_is_not_in_the_table() -> None:
    samples = (
        a_sample("failed", treatment=a_failed_call()),
        a_sample("none", control=a_call(metrics={"recall_at_5": None})),
    )

    table = json.loads(paired_deltas(report("gaps", worst=(), best=()), "recall_at_5", samples))

    assert table["data"] == []


def test_a_replay_that_stopped_early_says_why() -> None:
    one = replace(full_report("early"), stopped="The budget of $2.00 was spent.")

    *_, verdict = run_contents(one, proposal(), "")

    assert verdict.tags["expplat.stopped"] == "The budget of $2.00 was spent."
