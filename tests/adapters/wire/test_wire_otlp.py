from __future__ import annotations

from collections import Counter

import pytest

from expplat.adapters.wire import otlp
from expplat.adapters.wire.otlp_messages import Event, Span

AT = 1_780_315_200_000_000_000
MS = 1_000_000
FLAG = {"feature_flag.key": "poc", "feature_flag.result.variant": "treatment"}
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.response.model": "gpt-test-2026",
    "gen_ai.request.model": "gpt-test",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 50,
}


def an_event(**changes) -> Event:
    fields = {"name": "feature_flag.evaluation", "at_ns": AT, "trace_id": "t1", "attributes": FLAG}
    return Event(**fields | changes)


def a_span(**changes) -> Span:
    fields = {
        "trace_id": "t1",
        "span_id": "s1",
        "is_server": False,
        "is_error": False,
        "start_ns": AT,
        "end_ns": AT + 250 * MS,
        "attributes": {},
        "events": (),
    }
    return Span(**fields | changes)


def cost(model, input_tokens, output_tokens):
    return input_tokens / 1000 + output_tokens if model == "gpt-test" else None


def translated(*spans):
    return otlp.translate_spans(spans, cost)


def outcomes(telemetry):
    taken = [one.event for one in telemetry.events if one.kind == "outcome"]
    return {event["metric"]: event["value"] for event in taken}


def exposures(telemetry):
    return [one.event for one in telemetry.events if one.kind == "exposure"]


def test_a_span_of_a_model_call_is_time_tokens_and_dollars():
    telemetry = translated(a_span(attributes=CHAT | {"user.id": "u1"}))

    assert outcomes(telemetry) == {
        "llm_latency_ms": 250.0,
        "input_tokens": 1000,
        "output_tokens": 50,
        "cost_usd": 51.0,
    }
    assert telemetry.events[0].event == {
        "id": "t1:s1:llm_latency_ms",
        "unit": "u1",
        "metric": "llm_latency_ms",
        "value": 250.0,
        "timestamp": "2026-06-01T12:00:00.250000+00:00",
    }


@pytest.mark.parametrize(
    ("attributes", "dollars"),
    [
        (CHAT | {"gen_ai.usage.cost": 0.25}, 0.25),
        (CHAT | {"gen_ai.usage.cost": 0.0}, 0.0),
        (CHAT | {"gen_ai.response.model": "gpt-test", "gen_ai.request.model": "other"}, 51.0),
        (
            {"gen_ai.request.model": "gpt-test", "gen_ai.usage.prompt_tokens": 1000},
            1.0,
        ),
    ],
)
def test_dollars_are_what_is_stated_else_what_the_table_says(attributes, dollars):
    telemetry = translated(a_span(attributes=attributes | {"user.id": "u1"}))

    assert outcomes(telemetry)["cost_usd"] == dollars


def test_a_model_without_a_price_has_no_dollars_and_a_note():
    attributes = CHAT | {"gen_ai.request.model": "x", "user.id": "u1"}

    telemetry = translated(a_span(attributes=attributes))

    assert "cost_usd" not in outcomes(telemetry)
    assert telemetry.notes == {"calls of 'gpt-test-2026', which has no price": 1}


@pytest.mark.parametrize(
    "operation",
    ["invoke_agent", "execute_tool", "create_agent", "plan", "retrieval", "search_memory", "own"],
)
def test_an_operation_that_is_no_model_call_counts_as_none(operation):
    attributes = CHAT | {"gen_ai.operation.name": operation, "user.id": "u1"}

    assert outcomes(translated(a_span(attributes=attributes))) == {}


@pytest.mark.parametrize("operation", ["chat", "text_completion", "generate_content", "embeddings"])
def test_every_operation_of_a_model_counts(operation):
    attributes = {"gen_ai.operation.name": operation, "user.id": "u1"}

    assert outcomes(translated(a_span(attributes=attributes))) == {"llm_latency_ms": 250.0}


@pytest.mark.parametrize(
    ("attributes", "is_call"),
    [
        ({"gen_ai.request.model": "m"}, True),
        ({"gen_ai.response.model": "m"}, True),
        ({"gen_ai.usage.output_tokens": 0}, True),
        ({"gen_ai.usage.prompt_tokens": 5}, True),
        ({"gen_ai.prompt.name": "p", "mcp.method.name": "prompts/get"}, False),
        ({"gen_ai.conversation.id": "c1"}, False),
    ],
)
def test_without_an_operation_a_model_or_tokens_make_a_model_call(attributes, is_call):
    telemetry = translated(a_span(attributes=attributes | {"user.id": "u1"}))

    assert ("llm_latency_ms" in outcomes(telemetry)) == is_call


def test_a_server_span_is_latency_and_error():
    telemetry = translated(
        a_span(is_server=True, is_error=True, attributes={"enduser.id": "u1"}),
        a_span(is_server=True, attributes={"http.route": "/"}, trace_id="t2"),
    )

    assert outcomes(telemetry) == {"latency_ms": 250.0, "error": 1}
    assert [one.kind for one in telemetry.events] == ["outcome", "outcome", "ignored"]
    assert telemetry.places == [0, 0, 1]


@pytest.mark.parametrize(
    "flag",
    [
        FLAG,
        {"feature_flag.key": "poc", "feature_flag.variant": "treatment"},
        {"feature_flag.key": "poc", "feature_flag.result.value": "treatment"},
        FLAG | {"feature_flag.result.reason": "split"},
        FLAG | {"feature_flag.result.reason": "TARGETING_MATCH"},
    ],
)
@pytest.mark.parametrize("name", ["feature_flag.evaluation", "feature_flag"])
def test_an_evaluation_in_a_span_is_an_exposure_of_the_user_of_the_span(name, flag):
    span = a_span(attributes={"user.id": "u1"}, events=(an_event(name=name, attributes=flag),))

    (exposure,) = exposures(translated(span))

    assert exposure == {
        "experiment": "poc",
        "variation": "treatment",
        "unit": "u1",
        "timestamp": "2026-06-01T12:00:00+00:00",
        "properties": {"trace_id": "t1"},
    }


def test_a_flag_may_stand_on_the_span_itself():
    (exposure,) = exposures(translated(a_span(attributes=FLAG | {"session.id": 17})))

    assert (exposure["variation"], exposure["unit"]) == ("treatment", "17")


@pytest.mark.parametrize(
    "flag",
    [
        {"feature_flag.key": "poc"},
        FLAG | {"feature_flag.result.reason": "STATIC"},
        FLAG | {"feature_flag.result.reason": "default"},
        FLAG | {"feature_flag.result.reason": "error"},
        FLAG | {"feature_flag.result.reason": "disabled"},
    ],
)
def test_an_evaluation_that_assigned_nobody_is_ignored(flag):
    telemetry = otlp.translate_records([an_event(attributes=flag | {"user.id": "u"})])

    assert [one.kind for one in telemetry.events] == ["ignored"]
    assert telemetry.notes == {"evaluations outside a test": 1}


def test_whoever_was_hashed_stands_above_every_other_user():
    flag = FLAG | {"session.id": "s", "user.id": "u", "feature_flag.context.id": "tenant-1"}

    (exposure,) = exposures(otlp.translate_records([an_event(attributes=flag)]))

    assert exposure["unit"] == "tenant-1"


@pytest.mark.parametrize("turned", [False, True])
def test_a_span_without_a_user_takes_that_of_its_trace_in_whatever_order(turned):
    spans = [
        a_span(attributes=CHAT, span_id="a"),
        a_span(attributes=CHAT, span_id="b", trace_id="other"),
        a_span(attributes={"session.id": "s"}, span_id="c"),
        a_span(
            events=(an_event(attributes=FLAG | {"feature_flag.context.id": "u1"}),), span_id="d"
        ),
    ]

    telemetry = translated(*(reversed(spans) if turned else spans))

    units = {one.event["unit"] for one in telemetry.events if one.kind == "outcome"}
    assert units == {"u1"}
    assert telemetry.notes == {"model calls without a user": 1}


def test_a_span_that_knows_its_session_is_about_whom_the_flag_of_its_trace_was_given_to():
    spans = [
        a_span(is_server=True, attributes={"session.id": "s9"}),
        a_span(events=(an_event(attributes=FLAG | {"feature_flag.context.id": "u1"}),)),
    ]

    telemetry = translated(*spans)

    assert {one.event["unit"] for one in telemetry.events} == {"u1"}


@pytest.mark.parametrize("place", ["user.id", "feature_flag.context.id"])
def test_a_span_is_about_whom_it_names_where_its_trace_is_about_several(place):
    spans = [
        a_span(events=(an_event(attributes=FLAG | {"feature_flag.context.id": user}),))
        for user in ("u1", "u2")
    ]

    telemetry = translated(*spans, a_span(is_server=True, attributes={place: "u2"}))

    assert {one.event["unit"] for one in telemetry.events if one.kind == "outcome"} == {"u2"}


def test_spans_without_a_trace_share_no_user():
    telemetry = translated(
        a_span(attributes={"user.id": "u1"}, trace_id=""), a_span(attributes=CHAT, trace_id="")
    )

    assert outcomes(telemetry) == {}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"end_ns": AT - 1}, "endTimeUnixNano"),
        ({"span_id": ""}, "spanId"),
        ({"trace_id": ""}, "spanId"),
    ],
)
def test_a_span_that_cannot_be_is_refused(changes, field):
    telemetry = translated(a_span(is_server=True, attributes={"user.id": "u"}, **changes))

    refusals = [one.refusal for one in telemetry.events]
    assert {(one.code, one.field) for one in refusals} == {("untranslatable", field)}


def test_log_records_of_one_trace_share_a_user():
    records = [an_event(), an_event(name="login", attributes={"user.id": "u1"})]

    telemetry = otlp.translate_records(records)

    assert Counter(one.kind for one in telemetry.events) == {"exposure": 1, "ignored": 1}
    assert exposures(telemetry)[0]["unit"] == "u1"


def test_an_exposure_without_anybody_is_handed_on_to_be_refused():
    (exposure,) = exposures(otlp.translate_records([an_event(trace_id="")]))

    assert "unit" not in exposure
    assert "properties" not in exposure
