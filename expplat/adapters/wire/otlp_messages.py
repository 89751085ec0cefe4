"""OTLP over HTTP as bytes: requests of protobuf or JSON, read into plain values, and answers."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.json_format import MessageToJson, ParseDict, ParseError
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from expplat.errors import InputError

Attributes = Mapping[str, str | bool | int | float]
Request = TypeVar("Request", ExportTraceServiceRequest, ExportLogsServiceRequest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a span, or a log record."""

    name: str
    at_ns: int
    """Since 1970; 0 where it is not said."""

    trace_id: str
    """In hex; empty outside any trace."""

    attributes: Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span."""

    trace_id: str
    span_id: str
    """In hex."""

    is_server: bool
    is_error: bool
    start_ns: int
    end_ns: int
    """Since 1970; 0 where it is not said."""

    attributes: Attributes
    events: tuple[Event, ...]


def read_spans(content: object, *, is_json: bool) -> list[Span]:
    """Return the spans of a request.

    Args:
        content: Bytes of protobuf, or decoded JSON.
        is_json: Which of the two.

    Raises:
        InputError: If it is no such request.
    """
    request = _parsed(ExportTraceServiceRequest(), content, is_json=is_json)
    return [
        _span(span, is_json)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def read_records(content: object, *, is_json: bool) -> list[Event]:
    """Return the log records of a request; as `read_spans`."""
    request = _parsed(ExportLogsServiceRequest(), content, is_json=is_json)
    records = [
        record
        for resource in request.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]
    found = []
    for record in records:
        attributes = _attributes(record.attributes)
        found.append(
            Event(
                name=record.event_name or str(attributes.get("event.name", "")),
                at_ns=record.time_unix_nano or record.observed_time_unix_nano,
                trace_id=_hex(record.trace_id, is_json),
                attributes=attributes,
            )
        )
    return found


def answer_to_spans(rejected: int, message: str, *, is_json: bool) -> bytes:
    """Return the answer to spans: how many were refused, and why; nothing where all is well."""
    answer = ExportTraceServiceResponse()
    if rejected or message:
        answer.partial_success.rejected_spans = rejected
        answer.partial_success.error_message = message
    return _written(answer, is_json=is_json)


def answer_to_records(rejected: int, message: str, *, is_json: bool) -> bytes:
    """Return the answer to log records; as `answer_to_spans`."""
    answer = ExportLogsServiceResponse()
    if rejected or message:
        answer.partial_success.rejected_log_records = rejected
        answer.partial_success.error_message = message
    return _written(answer, is_json=is_json)


def _parsed(request: Request, content: object, *, is_json: bool) -> Request:
    try:
        if is_json and not isinstance(content, dict):
            raise TypeError("a message is an object")
        if is_json:
            ParseDict(content, request, ignore_unknown_fields=True)
        else:
            request.ParseFromString(content)
    except (
        DecodeError,
        ParseError,
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
        SystemError,  # what its C code raises for a lone surrogate in a name
    ) as error:
        raise InputError(
            "The body is no OTLP request.", hint="Send protobuf, or JSON as OTLP maps it."
        ) from error
    return request


def _written(answer: Message, *, is_json: bool) -> bytes:
    written = MessageToJson(answer, indent=None).encode() if is_json else answer.SerializeToString()
    return bytes(written)


def _span(span: SpanMessage, is_json: bool) -> Span:
    trace_id = _hex(span.trace_id, is_json)
    return Span(
        trace_id=trace_id,
        span_id=_hex(span.span_id, is_json),
        is_server=span.kind == SpanMessage.SPAN_KIND_SERVER,
        is_error=span.status.code == Status.STATUS_CODE_ERROR,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        events=tuple(
            Event(
                name=event.name,
                at_ns=event.time_unix_nano,
                trace_id=trace_id,
                attributes=_attributes(event.attributes),
            )
            for event in span.events
        ),
    )


def _hex(identity: bytes, is_json: bool) -> str:
    """Return an id in hex.

    OTLP writes ids into JSON in hex, where protobuf's own mapping has Base64. Every hex digit is
    one of Base64 too, so that to write the bytes as Base64 again gives back what was sent.
    """
    return base64.b64encode(identity).decode().lower() if is_json else identity.hex()


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Return the attributes whose values are plain: no lists, objects or bytes."""
    found = {}
    for pair in pairs:
        which = pair.value.WhichOneof("value")
        if which in ("string_value", "bool_value", "int_value", "double_value"):
            found[pair.key] = getattr(pair.value, which)
    return found
