"""What a variant may do, and what becomes of it, measured by a worker."""

from __future__ import annotations

from decimal import Decimal

import pytest

from expplat.adapters.replay.journal import ReplayJournal
from expplat.domain.metric import Direction, Metric, MetricKind
from expplat.domain.proposal import Variant
from expplat.domain.replay import CONTROL, CONTROL_AGAIN, TREATMENT
from expplat.domain.request import ErrorKind
from expplat.errors import EngineError, InputError
from tests.adapters.replay.working import worked

SHAKY = Metric(
    name="shaky",
    kind=MetricKind.MEAN,
    direction=Direction.HIGHER,
    unit="points",
    use="pocs.trouble.variants:shaky",
)


def test_every_request_is_answered_once_by_each_arm(make_plan):
    rows = worked(make_plan(requests=8))

    assert [row.request_id for row in rows] == [f"r{n}" for n in range(8)]
    assert [row.position for row in rows] == list(range(8))
    assert all({CONTROL, TREATMENT} <= set(row.calls) for row in rows)
    assert sum(CONTROL_AGAIN in row.calls for row in rows) == 2
    assert [row.cluster for row in rows[:3]] == ["first", "first", "r2"]
    assert rows[1].segment == {"parity": "odd"}


def test_a_call_is_measured_priced_and_scored(make_plan, step_clock):
    rows = worked(make_plan(requests=1), clock_factory=step_clock)

    call = rows[0].calls[CONTROL]
    tick_ms = round(1000 / 1024, 6)
    assert call.latency_ms == round(3 * 1000 / 1024, 6)
    assert call.stages_ms == {"retrieve": tick_ms}
    assert call.stages_cpu_ms == {"retrieve": tick_ms}
    assert call.cpu_ms == call.latency_ms
    cpu_usd = Decimal(repr(call.cpu_ms)) * Decimal("0.036") / 3_600_000
    assert call.cost_usd == cpu_usd + Decimal(10) / 1_000_000 + Decimal(8) / 1_000_000
    assert call.metrics == {"recall_at_5": 1.0, "exact_match": None, "length": 16.0}
    assert (call.input_tokens, call.output_tokens, call.error) == (10, 2, None)


@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        ("raises", ErrorKind.VARIANT_BUG, "KeyError: 'no shelf"),
        ("raises_unspeakably", ErrorKind.VARIANT_BUG, "Unspeakable"),
        ("exits", ErrorKind.VARIANT_BUG, "SystemExit: 3"),
        ("interrupts", ErrorKind.VARIANT_BUG, "KeyboardInterrupt"),
        ("times_out", ErrorKind.TIMEOUT, "the index did not answer"),
        ("gives_nothing", ErrorKind.BAD_OUTPUT, "NoneType"),
        ("gives_garbage", ErrorKind.BAD_OUTPUT, "returned a object"),
        ("gives_unknown_field", ErrorKind.BAD_OUTPUT, "'texts'"),
        ("gives_half_a_character", ErrorKind.BAD_OUTPUT, "half a character"),
        ("gives_ten_megabytes", ErrorKind.BAD_OUTPUT, "1,000,000 characters"),
        ("gives_numbers_as_ids", ErrorKind.BAD_OUTPUT, "holds a int"),
        ("is_overconfident", ErrorKind.BAD_OUTPUT, "1.5"),
        ("books_half_a_token", ErrorKind.BAD_OUTPUT, "no counts"),
    ],
)
def test_a_failed_call_is_an_error_of_its_kind_and_costs_one_row(make_plan, trouble, kind, words):
    rows = worked(make_plan(requests=3, trouble={"r1": trouble}))

    failed = rows[1].calls[TREATMENT]
    assert (failed.error, failed.refused) == (kind, False)
    assert words in failed.error_message
    assert len(failed.error_message) < 400
    assert failed.metrics == {"exact_match": None}
    others = [call for row in rows for arm, call in row.calls.items() if call is not failed]
    assert {call.error for call in others} == {None}


def test_an_error_names_the_line_of_the_variant(make_plan):
    rows = worked(make_plan(requests=1, trouble={"r0": "times_out"}))

    message = rows[0].calls[TREATMENT].error_message
    assert message.startswith("TimeoutError: ")
    assert "(pocs/trouble/variants.py:" in message


@pytest.mark.parametrize("trouble", ["sleeps", "spins"])
def test_a_call_that_hangs_is_ended_at_its_time_limit(make_plan, trouble):
    plan = make_plan(requests=2, trouble={"r0": trouble}, measurement={"timeout_s": 0.3})

    rows = worked(plan)

    assert rows[0].calls[TREATMENT].error is ErrorKind.TIMEOUT
    assert 300 <= rows[0].calls[TREATMENT].latency_ms < 1300
    assert rows[1].calls[TREATMENT].error is None


@pytest.mark.parametrize(
    ("trouble", "refused", "recall"), [("gives_text", False, 0.0), ("gives_dict", True, 1.0)]
)
def test_a_text_or_a_dict_is_an_output_too(make_plan, trouble, refused, recall):
    rows = worked(make_plan(requests=1, trouble={"r0": trouble}))

    call = rows[0].calls[TREATMENT]
    assert (call.error, call.refused) == (None, refused)
    assert call.metrics["recall_at_5"] == recall
    assert call.metrics["length"] == 2.0


def test_waits_for_somebodys_rate_limit_are_no_latency(make_plan):
    rows = worked(make_plan(requests=1, trouble={"r0": "waits"}))

    call = rows[0].calls[TREATMENT]
    assert call.stages_ms["waiting"] >= 200
    assert call.latency_ms < 100


def test_a_variant_cannot_see_the_references(make_plan):
    rows = worked(make_plan(requests=1, trouble={"r0": "peeks"}))

    assert rows[0].calls[TREATMENT].metrics["recall_at_5"] == 0.0


def test_a_variant_cannot_spoil_the_request_of_the_other(make_plan):
    plan = make_plan(requests=2, trouble={"r0": "spoils", "r1": "spoils"})

    rows = worked(plan)

    assert [row.calls[CONTROL].metrics["length"] for row in rows] == [16.0, 16.0]


def test_an_own_metric_that_is_not_a_number_is_a_bad_output(make_plan):
    rows = worked(make_plan(requests=3, metrics=(SHAKY,)))

    assert rows[0].calls[CONTROL].metrics == {"shaky": 1.0}
    assert rows[1].calls[CONTROL].error is ErrorKind.BAD_OUTPUT
    assert "nan" in rows[1].calls[CONTROL].error_message
    assert rows[1].calls[CONTROL].metrics == {}
    assert (rows[2].calls[CONTROL].error, rows[2].calls[CONTROL].metrics) == (None, {"shaky": None})


def test_a_model_without_a_price_ends_the_replay(make_plan):
    plan = make_plan(requests=2, trouble={"r1": "uses_an_unpriced_model"})

    with pytest.raises(InputError, match="nameless"):
        worked(plan)

    assert [row.request_id for row in ReplayJournal().rows(plan)] == ["r0"]


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ("pocs.trouble.variants:Unready", "index.bin"),
        ("pocs.trouble.nothing:x", "no module 'pocs.trouble.nothing'"),
        ("pocs.trouble.variants:absent", "has no 'absent'"),
    ],
)
def test_a_variant_that_cannot_be_set_up_is_named(make_plan, use, words):
    plan = make_plan(treatment=Variant(use=use))

    with pytest.raises(EngineError, match="reatment") as caught:
        worked(plan)

    assert words in caught.value.message


def test_warm_up_is_not_journalled_and_meets_each_variant(make_plan, tmp_path):
    note = tmp_path / "note"
    plan = make_plan(requests=4, note=str(note), measurement={"warmup": 5, "shard_requests": 2})

    rows = worked(plan)

    assert len(rows) == 4
    # Of the first shard, r0 and r1 in turn; then each request once.
    assert note.read_text().split() == ["r0", "r1", "r0", "r1", "r0", "r0", "r1", "r2", "r3"]


def test_a_variant_is_closed_at_the_end(make_plan, tmp_path):
    worked(make_plan(requests=1, note=str(tmp_path / "note")))

    assert (tmp_path / "note.closed").read_text() == "closed\n"


def test_the_code_of_a_workspace_is_forgotten(make_plan):
    import sys

    before = list(sys.path)

    worked(make_plan(requests=1))

    assert "pocs.trouble.variants" not in sys.modules
    assert sys.path == before
