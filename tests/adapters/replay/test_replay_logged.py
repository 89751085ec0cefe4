"""What the log holds of a system is an answer like any other, for which nobody is asked."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from expplat.adapters.request_log.log import RequestLogFiles
from expplat.domain.call import Usage
from expplat.domain.proposal import RequestLogSource, Variant
from expplat.domain.replay import CONTROL, CONTROL_AGAIN, PRODUCTION_LOG, TREATMENT
from expplat.domain.request import ErrorKind
from expplat.errors import InputError
from tests.adapters.replay.working import rewritten, worked

WORKSPACE = Path(__file__).parents[2] / "assets" / "replay" / "workspace"
AT_ONCE = {"concurrency": 4, "latency_requests": 1, "shard_requests": 30}


def logging(**systems):
    """Change a request so that these systems have answered it."""
    return lambda request: {**request, "logged": systems}


def logged(system=""):
    return Variant(use=f"logged:{system}" if system else "logged")


def recorded(make_plan, entry):
    """Replay one request that production has answered so; return the call."""
    plan = rewritten(make_plan(requests=1, control=logged()), logging(production=entry))
    return worked(plan)[0].calls[CONTROL]


def test_two_recorded_systems_are_compared_without_any_code(make_plan):
    plan = make_plan(requests=4, control=logged(), treatment=logged("theirs"))
    entries = {
        "production": {"retrieved": ["r0"], "text": "so", "latency_ms": 12.5, "cost_usd": 0.0103},
        "theirs": {"retrieved": ["r3"], "text": "so and so"},
    }

    rows = worked(rewritten(plan, logging(**entries)))

    ours, theirs = rows[0].calls[CONTROL], rows[0].calls[TREATMENT]
    assert (ours.latency_ms, ours.cost_usd, ours.cpu_ms) == (12.5, Decimal("0.0103"), 0.0)
    assert (ours.is_timed, theirs.is_timed) == (True, False)
    assert (theirs.latency_ms, theirs.cost_usd) == (0.0, Decimal(0))
    assert [row.calls[CONTROL].metrics["recall_at_5"] for row in rows] == [1.0, 0.0, 0.0, 0.0]
    assert [row.calls[TREATMENT].metrics["recall_at_5"] for row in rows] == [0.0, 0.0, 0.0, 1.0]
    assert {arm for row in rows for arm in row.calls} == {CONTROL, TREATMENT}


@pytest.mark.parametrize("measurement", [{"aa_requests": 4}, {**AT_ONCE, "aa_requests": 4}])
def test_what_is_recorded_has_no_noise_floor_and_keeps_its_clock(make_plan, measurement):
    plan = make_plan(requests=4, control=logged(), measurement=measurement)

    rows = worked(rewritten(plan, logging(production={"text": "so", "latency_ms": 3})))

    assert {arm for row in rows for arm in row.calls} == {CONTROL, TREATMENT}
    assert all(row.calls[CONTROL].is_timed for row in rows)
    assert sum(row.calls[TREATMENT].is_timed for row in rows) == (
        1 if "concurrency" in measurement else 4
    )


def test_production_stands_beside_a_control_that_is_called(make_plan):
    plan = make_plan(requests=3, measurement={"repeats": 2, "aa_requests": 1})
    entry = {"retrieved": ["r1"], "latency_ms": 40, "refused": True}

    rows = worked(rewritten(plan, logging(production=entry, theirs={"text": "no"})))

    first = [row for row in rows if row.repeat == 0]
    assert all(PRODUCTION_LOG in row.calls for row in first)
    assert not any(PRODUCTION_LOG in row.calls for row in rows if row.repeat)
    assert first[1].calls[PRODUCTION_LOG].metrics["recall_at_5"] == 1.0
    assert first[0].calls[PRODUCTION_LOG].metrics["recall_at_5"] == 0.0
    assert first[0].calls[PRODUCTION_LOG].refused is True
    assert sum(CONTROL_AGAIN in row.calls for row in rows) == 1


def test_a_variant_does_not_see_what_others_have_answered(make_plan):
    plan = make_plan(requests=1, control=Variant(use="pocs.kinds.timing:sees_answers"))

    (row,) = worked(rewritten(plan, logging(production={"text": "so"})))

    assert row.calls[CONTROL].metrics["length"] == 0.0
    assert row.calls[PRODUCTION_LOG].error is None


def test_what_a_recorded_answer_cost_follows_from_its_tokens(make_plan):
    usage = {"model": "small", "input_tokens": 1000, "output_tokens": 100, "stage": "generate"}

    call = recorded(make_plan, {"text": "so", "usages": [usage]})

    assert call.cost_usd == Decimal("0.0014")
    assert call.usages == (Usage(**usage),)


def test_a_cost_that_was_recorded_needs_no_price(make_plan):
    usage = {"model": "nameless", "input_tokens": 1000, "output_tokens": 0}

    call = recorded(make_plan, {"text": "so", "usages": [usage], "cost_usd": 0.1})

    assert call.cost_usd == Decimal("0.1")
    with pytest.raises(InputError, match="nameless"):
        recorded(make_plan, {"text": "so", "usages": [usage]})


def test_recorded_stages_are_kept(make_plan):
    call = recorded(make_plan, {"text": "so", "stages_ms": {"retrieve": 3, "generate": 4.5}})

    assert call.stages_ms == {"retrieve": 3.0, "generate": 4.5}


@pytest.mark.parametrize(
    ("entry", "kind", "words"),
    [
        ({"text": "so", "error": "timeout"}, ErrorKind.TIMEOUT, "timeout"),
        ({"error": "rate_limited", "error_message": "slowly"}, ErrorKind.RATE_LIMITED, "slowly"),
        ({"text": "x" * 1_000_001}, ErrorKind.BAD_OUTPUT, "1,000,000 characters"),
    ],
)
def test_what_went_wrong_with_a_recorded_answer_is_its_error(make_plan, entry, kind, words):
    call = recorded(make_plan, entry)

    assert call.error is kind
    assert words in call.error_message
    assert call.metrics == {"exact_match": None}


def test_a_request_that_a_system_has_not_answered_is_a_bad_output(make_plan):
    plan = make_plan(requests=2, control=logged("theirs"))

    rows = worked(rewritten(plan, logging(production={"text": "so"})))

    assert {row.calls[CONTROL].error for row in rows} == {ErrorKind.BAD_OUTPUT}
    assert "no answer of theirs" in rows[0].calls[CONTROL].error_message


def test_a_failed_call_of_production_keeps_its_clock(make_plan):
    call = recorded(make_plan, {"error": "timeout", "latency_ms": 30_000, "cost_usd": 0.5})

    assert (call.latency_ms, call.is_timed, call.cost_usd) == (30_000.0, True, Decimal("0.5"))


def test_a_recorded_answer_is_not_paid_for_again(make_plan):
    class Purse:
        spent = 0.0

        def over(self):
            return ""

        def spend(self, usd):
            self.spent += usd

    purse = Purse()
    plan = make_plan(requests=2, control=logged(), treatment=logged())

    worked(rewritten(plan, logging(production={"text": "so", "cost_usd": 2})), budget=purse)

    assert purse.spent == 0.0


def test_a_log_is_frozen_in_the_form_that_is_replayed(make_plan, tmp_path):
    log, folder = tmp_path / "own.jsonl", tmp_path / "frozen"
    tokens = {"model": "small", "input_tokens": 1000, "output_tokens": 100}
    answers = [
        {"production": {"output": "so", "latency_ms": 12, **tokens}, "theirs": {"text": "yes"}},
        {"production": {"error": "it fell over"}},
    ]
    log.write_text(
        "".join(
            json.dumps({"request_id": f"r{n}", "input": {"question": "?"}, "logged": logged_now})
            + "\n"
            for n, logged_now in enumerate(answers)
        )
    )
    RequestLogFiles().freeze(
        RequestLogSource(path=str(log)), workspace=WORKSPACE, folder=folder, shard_requests=3
    )
    plan = make_plan(requests=2, control=logged(), treatment=logged("theirs"), folder=str(folder))

    first, second = worked(plan)

    assert first.calls[CONTROL].cost_usd == Decimal("0.0014")
    assert (first.calls[CONTROL].latency_ms, first.calls[CONTROL].is_timed) == (12.0, True)
    assert first.calls[TREATMENT].metrics["length"] == 3.0
    assert second.calls[CONTROL].error is ErrorKind.PROVIDER_ERROR
    assert second.calls[CONTROL].error_message == "it fell over"
    assert second.calls[TREATMENT].error is ErrorKind.BAD_OUTPUT
