"""Names of what a row of a request log may hold."""

from __future__ import annotations

FIELDS = ("request_id", "input", "expected", "answerable", "cluster", "segment", "logged")
"""The fields of a request."""

OBJECTS = ("input", "expected", "segment", "logged")
"""Fields that hold fields, each of which may come from a column of its own: `input.question`."""

FIELDS_HINT = (
    f"There are {', '.join(FIELDS)}, and input.<name>, expected.<name>, segment.<name>, "
    "logged.<field>, logged.<system>.<field>."
)


def is_request_field(name: str) -> bool:
    """Tell whether a name is that of a field of a request, or of a part of one."""
    field, dot, part = name.partition(".")
    return field in OBJECTS and bool(part) if dot else name in FIELDS
