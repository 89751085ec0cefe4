"""Some calls of a replay as traces in MLflow, with their stages as spans.

They are written when everything is measured, from what the journal holds: tracing a call while it
is timed would be part of the time. MLflow's tracer makes 16 traces durable in a second; whole
batches through its tracing client are four times as fast.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expplat.adapters.tracking.names import cut
from expplat.adapters.tracking.runs import epoch_ms
from expplat.domain.call import WAITING
from expplat.domain.replay import CONTROL, TREATMENT, CallRecord, ReplayReport, Sample

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Span, TraceInfo

MOST_TRACES = 100
TRACES_IN_A_BATCH = 20
PATIENCE_S = 10.0
"""What all traces of a copy may take; a batch that has begun is ended."""

SHOWN_CHARACTERS = 1000
"""Length of an answer in MLflow's list of traces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCall:
    """One call that becomes a trace."""

    trace_id: str
    run_id: str
    arm: str
    list: str
    """`worst`, `best` or `random`."""

    sample: Sample
    call: CallRecord
    start_ns: int
    """When the trace says that it began: nobody keeps the true moment, so the order is that of the
    lists, the worst last, which MLflow shows first."""

    @property
    def duration_ms(self) -> float:
        """Latency and waits together."""
        return self.call.latency_ms + self.call.stages_ms.get(WAITING, 0.0)


def shown_calls(
    report: ReplayReport, samples: Sequence[Sample], run_ids: Mapping[str, str]
) -> tuple[ShownCall, ...]:
    """Return the calls that become traces: the worst first, then the best, then those at random.

    Args:
        report: Says which requests are worst and best.
        samples: At most half as many are taken as there may be traces.
        run_ids: The finished run by arm; its id is part of a trace's, so that the same copy never
            holds a trace twice.
    """
    lists = {delta.request_id: "best" for delta in report.best}
    lists |= {delta.request_id: "worst" for delta in report.worst}
    order = {"worst": 0, "best": 1, "random": 2}
    chosen = sorted(samples, key=lambda sample: order[lists.get(sample.row.request_id, "random")])
    end_ns = epoch_ms(report.finished_at) * 1_000_000
    return tuple(
        ShownCall(
            trace_id=_trace_id(run_ids[arm], sample),
            run_id=run_ids[arm],
            arm=arm,
            list=lists.get(sample.row.request_id, "random"),
            sample=sample,
            call=sample.row.calls[arm],
            start_ns=end_ns - 1_000_000 * (2 * rank + place),
        )
        for rank, sample in enumerate(chosen[: MOST_TRACES // 2])
        for place, arm in enumerate((TREATMENT, CONTROL))
        if arm in sample.row.calls
    )


def log_traces(
    client: MlflowClient,
    uri: str,
    experiment_id: str,
    replay_id: str,
    calls: Sequence[ShownCall],
    patience_s: float = PATIENCE_S,
) -> str:
    """Write the traces that are not there yet; delete those of an earlier copy of the replay.

    Returns:
        How many there are, of how many; and why not all, where time ran out.
    """
    from mlflow.tracing.client import TracingClient

    wanted = {call.trace_id for call in calls}
    known = _known(client, experiment_id, replay_id)
    outdated = [trace_id for trace_id in known if trace_id not in wanted]
    if outdated:
        client.delete_traces(experiment_id, trace_ids=outdated)
    missing = [call for call in calls if call.trace_id not in known]
    tracing = TracingClient(uri)
    deadline = time.monotonic() + patience_s
    done = len(calls) - len(missing)
    for batch in _batches(missing):
        if time.monotonic() > deadline:
            return f"{done} of {len(calls)}: stopped after {patience_s:g} s"
        tracing.log_spans(experiment_id, [span for call in batch for span in _spans(call)])
        for call in batch:
            tracing.start_trace(_info(call, experiment_id, replay_id))
        done += len(batch)
    return f"{done} of {len(calls)}"


def _known(client: MlflowClient, experiment_id: str, replay_id: str) -> set[str]:
    found = client.search_traces(
        locations=[experiment_id],
        filter_string=f"tags.`expplat.replay_id` = '{replay_id}'",
        max_results=500,
        include_spans=False,
    )
    return {str(trace.info.trace_id) for trace in found}


def _batches(calls: Sequence[ShownCall]) -> Iterator[Sequence[ShownCall]]:
    for start in range(0, len(calls), TRACES_IN_A_BATCH):
        yield calls[start : start + TRACES_IN_A_BATCH]


def _trace_id(run_id: str, sample: Sample) -> str:
    named = json.dumps([run_id, sample.row.request_id, sample.row.repeat])
    return f"tr-{hashlib.sha256(named.encode()).hexdigest()[:32]}"


def _info(call: ShownCall, experiment_id: str, replay_id: str) -> TraceInfo:
    from mlflow.entities import TraceInfo, TraceLocation, TraceState

    request_id = call.sample.row.request_id
    metadata = {"mlflow.sourceRun": call.run_id, "mlflow.trace_schema.version": "3"}
    if call.call.usages:
        metadata["mlflow.trace.tokenUsage"] = json.dumps(_tokens(call.call))
    return TraceInfo(
        trace_id=call.trace_id,
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        request_time=call.start_ns // 1_000_000,
        state=TraceState.ERROR if call.call.error else TraceState.OK,
        request_preview=cut(call.sample.asked, SHOWN_CHARACTERS),
        response_preview=cut(_answer(call), SHOWN_CHARACTERS),
        client_request_id=cut(request_id, 50),
        execution_duration=round(call.duration_ms),
        trace_metadata=metadata,
        tags={
            "mlflow.traceName": cut(f"{call.arm} {request_id}", 250),
            "expplat.replay_id": replay_id,
            "expplat.role": call.arm,
            "expplat.list": call.list,
        },
    )


def _answer(call: ShownCall) -> str:
    if call.call.error:
        return f"{call.call.error.value}: {call.call.error_message}"
    return call.sample.answers.get(call.arm, "")


def _tokens(call: CallRecord) -> dict[str, int]:
    return {
        "input_tokens": call.input_tokens,
        "output_tokens": call.output_tokens,
        "total_tokens": call.input_tokens + call.output_tokens,
    }


def _spans(call: ShownCall) -> list[Span]:
    """Return the call as a span, and its stages below it, laid end to end.

    Stages within stages are timed in both, so together they may take longer than the call; then
    the last of them lie over one another, and none ends after the call.
    """
    end_ns = call.start_ns + _ns(call.duration_ms)
    spans = [_span(call, 1, call.arm, (call.start_ns, end_ns), _attributes(call))]
    cursor = call.start_ns
    for number, (stage, spent_ms) in enumerate(call.call.stages_ms.items(), start=2):
        start = max(call.start_ns, min(cursor, end_ns - _ns(spent_ms)))
        end = min(end_ns, start + _ns(spent_ms))
        told = {"expplat.stage_ms": spent_ms, "mlflow.spanType": "TASK"}
        spans.append(_span(call, number, stage, (start, end), told))
        cursor = end
    return spans


def _ns(milliseconds: float) -> int:
    return round(milliseconds * 1_000_000)


def _span(
    call: ShownCall, number: int, name: str, ends: tuple[int, int], attributes: dict[str, Any]
) -> Span:
    from mlflow.entities import Span

    failed = number == 1 and call.call.error is not None
    told = {"mlflow.traceRequestId": call.trace_id} | attributes
    return Span.from_dict(
        {
            "name": cut(name, 250) or "unnamed",
            "trace_id": call.trace_id,
            "span_id": f"{number:016x}",
            "parent_span_id": "" if number == 1 else f"{1:016x}",
            "start_time_unix_nano": ends[0],
            "end_time_unix_nano": ends[1],
            "status": {"code": "ERROR" if failed else "OK", "message": _fault(call)},
            "attributes": {key: json.dumps(value) for key, value in told.items()},
            "events": [],
        }
    )


def _fault(call: ShownCall) -> str:
    return f"{call.call.error.value}: {call.call.error_message}" if call.call.error else ""


def _attributes(call: ShownCall) -> dict[str, Any]:
    record = call.call
    told: dict[str, Any] = {
        "mlflow.spanType": "CHAIN",
        "mlflow.spanInputs": {"asked": call.sample.asked},
        "mlflow.spanOutputs": call.sample.answers.get(call.arm, ""),
        "expplat.request_id": call.sample.row.request_id,
        "expplat.arm": call.arm,
        "expplat.latency_ms": record.latency_ms,
        "expplat.cpu_ms": record.cpu_ms,
        "expplat.cost_usd": float(record.cost_usd),
        "expplat.metrics": dict(record.metrics),
        "expplat.attempts": record.attempts,
        "expplat.is_timed": record.is_timed,
    }
    if record.usages:
        told["mlflow.chat.tokenUsage"] = _tokens(record)
    if record.error:
        told["expplat.error"] = record.error.value
    return told
