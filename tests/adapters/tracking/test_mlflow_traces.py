from __future__ import annotations

import json
import time
from typing import Any

import pytest

from expplat.adapters.tracking import traces as mlflow_traces
from expplat.adapters.tracking.mlflow_tracking import MlflowTracking
from expplat.adapters.tracking.traces import MOST_TRACES, log_traces, shown_calls
from expplat.domain.replay import CONTROL, TREATMENT
from tests.adapters.pages.example_stories import proposal
from tests.adapters.tracking.full_report import (
    a_call,
    a_failed_call,
    a_sample,
    full_report,
    samples_of,
)
from tests.adapters.tracking.local_store import PAGE, Store


def traces_of(store: Store, slug: str) -> list[Any]:
    return list(store.client.search_traces(locations=[store.experiment_id(slug)], max_results=500))


def test_every_sample_becomes_a_trace_of_each_variant_linked_to_its_run(store: Store) -> None:
    one = full_report("traced")

    store.copy(one, samples_of(one, random=2))

    runs = store.runs("traced")
    traces = traces_of(store, "traced")
    assert len(traces) == 2 * 8
    for trace in traces:
        arm = trace.info.tags["expplat.role"]
        assert trace.info.trace_metadata["mlflow.sourceRun"] == runs[arm].info.run_id
        assert trace.info.tags["expplat.replay_id"] == one.plan.replay_id
    lists = [trace.info.tags["expplat.list"] for trace in traces]
    assert {name: lists.count(name) for name in set(lists)} == {"worst": 6, "best": 6, "random": 4}
    assert runs["verdict"].data.tags["expplat.traces"] == "16 of 16"


def test_the_worst_requests_stand_first_in_mlflows_list(store: Store) -> None:
    one = full_report("ordered")

    store.copy(one, samples_of(one, random=3)[::-1])

    newest_first = sorted(
        traces_of(store, "ordered"), key=lambda trace: trace.info.request_time, reverse=True
    )
    assert [trace.info.tags["expplat.list"] for trace in newest_first] == (
        ["worst"] * 6 + ["best"] * 6 + ["random"] * 6
    )


def test_the_stages_are_spans_end_to_end_within_the_call(store: Store) -> None:
    one = full_report("spans", worst=(), best=())

    store.copy(one, (a_sample("q1"),))

    (trace,) = [
        trace for trace in traces_of(store, "spans") if trace.info.tags["expplat.role"] == CONTROL
    ]
    call, *stages = trace.data.spans
    start = call.start_time_ns
    assert (call.name, call.parent_id) == ("control", None)
    assert (call.end_time_ns - start) / 1e6 == 20.0 + 4.0
    assert [
        (stage.name, (stage.start_time_ns - start) / 1e6, (stage.end_time_ns - start) / 1e6)
        for stage in stages
    ] == [("retrieve", 0.0, 5.0), ("waiting", 5.0, 9.0), ("answer", 9.0, 23.0)]
    assert {stage.parent_id for stage in stages} == {call.span_id}
    assert trace.info.execution_duration == 24


def test_a_call_is_told_with_its_numbers_and_words(store: Store) -> None:
    one = full_report("told", worst=(), best=())

    store.copy(one, (a_sample("q1", control=a_failed_call()),))

    found = {trace.info.tags["expplat.role"]: trace for trace in traces_of(store, "told")}
    span = found[TREATMENT].data.spans[0]
    assert span.inputs == {"asked": "How do I reset q1?"}
    assert span.outputs == "doc-2, doc-7"
    assert span.attributes["expplat.request_id"] == "q1"
    assert span.attributes["expplat.cost_usd"] == 0.00012
    assert span.attributes["expplat.metrics"]["recall_at_5"] == 0.6
    assert json.loads(found[TREATMENT].info.trace_metadata["mlflow.trace.tokenUsage"]) == {
        "input_tokens": 300,
        "output_tokens": 40,
        "total_tokens": 340,
    }
    failed = found[CONTROL]
    assert failed.info.state.value == "ERROR"
    assert failed.info.response_preview == "rate_limited: come back in 2 s"
    assert failed.data.spans[0].attributes["expplat.error"] == "rate_limited"


def test_stages_within_stages_never_end_after_the_call(store: Store) -> None:
    nested = a_call(latency_ms=10.0, stages_ms={"agent": 9.0, "tool": 6.0, "long": 30.0})
    one = full_report("nested", worst=(), best=())

    store.copy(one, (a_sample("q1", control=nested, treatment=nested),))

    call, *stages = traces_of(store, "nested")[0].data.spans
    assert len(stages) == 3
    assert [stage for stage in stages if stage.start_time_ns < call.start_time_ns] == []
    assert [stage for stage in stages if stage.end_time_ns > call.end_time_ns] == []


def test_a_second_copy_writes_no_trace_twice_and_adds_those_that_were_missing(
    store: Store,
) -> None:
    one = full_report("again")
    samples = samples_of(one, random=2)
    store.copy(one, samples[:5])
    before = {trace.info.trace_id for trace in traces_of(store, "again")}

    store.copy(one, samples)
    store.copy(one, samples)

    after = [trace.info.trace_id for trace in traces_of(store, "again")]
    assert len(after) == len(set(after)) == 16
    assert before < set(after)


def test_a_replay_that_was_measured_anew_replaces_its_traces(store: Store) -> None:
    store.copy(full_report("remeasured"), (a_sample("old"),))

    store.copy(full_report("remeasured", measured=7), (a_sample("new"),))

    found = traces_of(store, "remeasured")
    assert {trace.info.client_request_id for trace in found} == {"new"}
    assert len(found) == 2


def test_a_copy_that_broke_off_between_two_traces_is_completed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = full_report("halfway")
    samples = samples_of(one, random=2)
    true_info, made = mlflow_traces._info, iter(range(100))

    def failing(*args: Any) -> Any:
        if next(made) == 5:
            raise ConnectionResetError("the other side hung up")
        return true_info(*args)

    monkeypatch.setattr(mlflow_traces, "_info", failing)
    store.copy(one, samples)
    broken = store.runs("halfway")["verdict"].data.tags["expplat.warning.traces"]
    monkeypatch.undo()

    store.copy(one, samples)

    assert broken == "the other side hung up"
    tags = store.runs("halfway")["verdict"].data.tags
    assert tags["expplat.traces"] == "16 of 16"
    assert "expplat.warning.traces" not in tags
    assert len(traces_of(store, "halfway")) == 16


def test_there_are_at_most_a_hundred_traces_and_the_worst_are_among_them() -> None:
    one = full_report("crowd")

    calls = shown_calls(one, samples_of(one, random=90)[::-1], {CONTROL: "c", TREATMENT: "t"})

    assert len(calls) == MOST_TRACES
    assert [call.list for call in calls[:12]] == ["worst"] * 6 + ["best"] * 6
    assert len({call.trace_id for call in calls}) == MOST_TRACES


def test_the_traces_that_time_does_not_allow_are_left_out_and_counted(store: Store) -> None:
    one = full_report("patience")
    store.copy(one)
    run_ids = {arm: store.runs("patience")[arm].info.run_id for arm in (CONTROL, TREATMENT)}
    calls = shown_calls(one, samples_of(one, random=44), run_ids)
    where = (store.client, store.uri, store.experiment_id("patience"), one.plan.replay_id)

    told = log_traces(*where, calls, patience_s=-1.0)

    assert told == "0 of 100: stopped after -1 s"


def test_an_mlflow_whose_tracer_has_changed_costs_the_traces_and_not_the_copy(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("mlflow.tracing.client.TracingClient.log_spans")
    one = full_report("changed")

    store.copy(one, samples_of(one))

    tags = store.runs("changed")["verdict"].data.tags
    assert "log_spans" in tags["expplat.warning.traces"]


@pytest.mark.long
def test_a_hundred_traces_are_written_within_the_time_they_are_given(store: Store) -> None:
    one = full_report("speed")
    tracking = MlflowTracking(store.uri, store.folder)
    tracking.copy(one, proposal("speed"), PAGE)

    started = time.process_time()
    tracking.copy(one, proposal("speed"), PAGE, samples_of(one, random=44))
    spent_s = time.process_time() - started

    assert len(traces_of(store, "speed")) == 100
    assert spent_s < mlflow_traces.PATIENCE_S
