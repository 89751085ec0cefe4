"""What telemetry says of flags, of model calls and of requests.

- An event, a log record or a span that names a flag and a variant becomes an exposure.
- A span of a model call becomes `llm_latency_ms`, `input_tokens`, `output_tokens` and `cost_usd`.
  Several of them in one trace are as many events, which a metric of the kind `count` adds up.
- A span of a server that names a user becomes `latency_ms` and `error`.

Everything else is ignored. Outcomes have ids of trace, span and metric, so that a span that is sent
again is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

from expplat.adapters.wire.otlp_messages import Attributes, Event, Span
from expplat.adapters.wire.tracked import first_of, text_of, without_nothing
from expplat.flow.event_judging import UNTRANSLATABLE, Incoming, Refusal

Cost: TypeAlias = Callable[[str, int, int], float | None]
"""Returns what a call of a model cost in USD, of input and output tokens; None without a price."""

FLAG_EVENTS = frozenset({"feature_flag.evaluation", "feature_flag"})
NO_TEST = frozenset({"static", "default", "disabled", "error"})
"""Reasons of an evaluation that assigned nobody."""

MODEL_CALLS = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
"""Operations of one model call. Agents are made of such calls, which have spans of their own, so
that nothing counts twice; retrieval, memory and tools call no model themselves."""

USERS = ("feature_flag.context.id", "user.id", "enduser.id", "session.id")
"""Where the user stands, the best place first."""

_VARIANT = ("feature_flag.result.variant", "feature_flag.variant", "feature_flag.result.value")
_INPUT_TOKENS = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
_OUTPUT_TOKENS = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
_MODELS = ("gen_ai.response.model", "gen_ai.request.model")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS_PER_MS = 1_000_000

_NAMELESS = Refusal(
    code=UNTRANSLATABLE, field="spanId", message="The span has no id, or none of its trace."
)
_BACKWARDS = Refusal(
    code=UNTRANSLATABLE, field="endTimeUnixNano", message="The span ends before it begins."
)


class _User(NamedTuple):
    """Whom something is about."""

    rank: int
    """Where that stands, as a place in `USERS`; lower is better."""

    name: object
    is_only: bool = True
    """Whether no other user stands in as good a place."""


_NOBODY = _User(len(USERS), None)


@dataclass(slots=True)
class Telemetry:
    """What a request comes to."""

    events: list[Incoming] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    """Of each event, the number of the span or log record that it is made of."""

    notes: Counter[str] = field(default_factory=Counter)
    """Why something was ignored that might have counted, and how often."""

    def add(self, place: int, events: Iterable[Incoming]) -> None:
        """Add what one span or log record is made into; nothing is one that is ignored."""
        found = list(events) or [Incoming(kind="ignored")]
        self.events += found
        self.places += [place] * len(found)


def translate_spans(spans: Sequence[Span], cost: Cost) -> Telemetry:
    """Return what spans come to.

    A span is about whom it names, unless its trace names somebody, and nobody else, in a better
    place: a server span knows its session, and a flag of the same trace the user it was given to.

    Args:
        spans: Of one request.
        cost: Prices model calls that do not say what they cost.
    """
    telemetry = Telemetry()
    said = [(span.trace_id, own) for span in spans for own in _all_attributes(span)]
    by_trace = _users(one for one in said if one[0])
    for place, span in enumerate(spans):
        own = min(map(_user_of, _all_attributes(span)), key=attrgetter("rank"))
        whole = by_trace.get(span.trace_id, _NOBODY)
        is_better = whole.rank < own.rank and (whole.is_only or own == _NOBODY)
        user = whole.name if is_better else own.name
        telemetry.add(place, _events_of(span, user, cost, telemetry.notes))
    return telemetry


def translate_records(records: Sequence[Event]) -> Telemetry:
    """Return what log records come to; only those count that name a flag and a variant."""
    telemetry = Telemetry()
    by_trace = _users((one.trace_id, one.attributes) for one in records if one.trace_id)
    for place, record in enumerate(records):
        user = by_trace.get(record.trace_id, _NOBODY).name
        telemetry.add(place, _exposures_of(record, user, telemetry.notes))
    return telemetry


def _all_attributes(span: Span) -> Iterator[Attributes]:
    yield span.attributes
    for event in span.events:
        yield event.attributes


def _users(said: Iterable[tuple[str, Attributes]]) -> dict[str, _User]:
    """Return whom each trace is about: the best of what is said of it, else the first."""
    best: dict[str, _User] = {}
    for trace_id, attributes in said:
        found, known = _user_of(attributes), best.get(trace_id, _NOBODY)
        if found.rank < known.rank:
            best[trace_id] = found
        elif found.rank == known.rank and found.name != known.name:
            best[trace_id] = known._replace(is_only=False)
    return best


def _user_of(attributes: Attributes) -> _User:
    for rank, place in enumerate(USERS):
        name = attributes.get(place)
        if name not in (None, ""):
            return _User(rank, text_of(name))
    return _NOBODY


def _events_of(span: Span, user: object, cost: Cost, notes: Counter[str]) -> Iterator[Incoming]:
    itself = Event(
        name="feature_flag.evaluation",
        at_ns=span.start_ns,
        trace_id=span.trace_id,
        attributes=span.attributes,
    )
    if "feature_flag.key" in span.attributes:
        yield from _exposures_of(itself, user, notes)
    for event in span.events:
        yield from _exposures_of(event, user, notes)
    if _is_model_call(span.attributes):
        if user is None:
            notes["model calls without a user"] += 1
        else:
            yield from _outcomes(span, user, _model_call(span, cost, notes))
    if span.is_server and user is not None:
        yield from _outcomes(span, user, _request(span))


def _exposures_of(event: Event, user: object, notes: Counter[str]) -> Iterator[Incoming]:
    attributes = event.attributes
    if event.name not in FLAG_EVENTS:
        return
    variant = first_of(attributes, _VARIANT)
    reason = str(attributes.get("feature_flag.result.reason", "")).lower()
    if variant is None or reason in NO_TEST:
        notes["evaluations outside a test"] += 1
        return
    own = _user_of(attributes)
    exposure = {
        "experiment": attributes.get("feature_flag.key"),
        "variation": variant,
        "unit": user if own == _NOBODY else own.name,
        "timestamp": _instant(event.at_ns),
        "properties": {"trace_id": event.trace_id} if event.trace_id else None,
    }
    yield Incoming(kind="exposure", event=without_nothing(exposure))


def _is_model_call(attributes: Attributes) -> bool:
    operation = attributes.get("gen_ai.operation.name")
    if operation is not None:
        return operation in MODEL_CALLS
    return any(name in attributes for name in (*_MODELS, *_INPUT_TOKENS, *_OUTPUT_TOKENS))


def _model_call(span: Span, cost: Cost, notes: Counter[str]) -> Mapping[str, Any]:
    tokens_in = first_of(span.attributes, _INPUT_TOKENS)
    tokens_out = first_of(span.attributes, _OUTPUT_TOKENS)
    return {
        "llm_latency_ms": _duration_ms(span),
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "cost_usd": _cost_usd(span.attributes, tokens_in, tokens_out, cost, notes),
    }


def _cost_usd(
    attributes: Attributes, tokens_in: object, tokens_out: object, cost: Cost, notes: Counter[str]
) -> object:
    stated = attributes.get("gen_ai.usage.cost")
    counts = [count for count in (tokens_in, tokens_out) if isinstance(count, int)]
    if stated is not None or not counts:
        return stated
    models = [str(attributes[name]) for name in _MODELS if attributes.get(name)]
    for model in models:
        dollars = cost(model, _whole(tokens_in), _whole(tokens_out))
        if dollars is not None:
            return dollars
    named = f"{models[0][:100]!a}" if models else "a model without a name"
    notes[f"calls of {named}, which has no price"] += 1
    return None


def _whole(count: object) -> int:
    return count if isinstance(count, int) else 0


def _request(span: Span) -> Mapping[str, Any]:
    return {"latency_ms": _duration_ms(span), "error": int(span.is_error)}


def _duration_ms(span: Span) -> float:
    return (span.end_ns - span.start_ns) / _NS_PER_MS


def _outcomes(span: Span, user: object, values: Mapping[str, Any]) -> Iterator[Incoming]:
    refusal = _BACKWARDS if span.end_ns < span.start_ns else None
    if not (span.trace_id and span.span_id):
        refusal = _NAMELESS
    for metric, value in without_nothing(values).items():
        outcome = {
            "id": f"{span.trace_id}:{span.span_id}:{metric}",
            "unit": user,
            "metric": metric,
            "value": value,
            "timestamp": _instant(span.end_ns),
        }
        yield Incoming(kind="outcome", event=without_nothing(outcome), refusal=refusal)


def _instant(nanoseconds: int) -> str | None:
    """Return a time as RFC 3339, to the microsecond; None where it is not said."""
    if not nanoseconds:
        return None
    return (_EPOCH + timedelta(microseconds=nanoseconds // 1000)).isoformat()
