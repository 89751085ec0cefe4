"""Rules of the request log: does it say where the requests are, once?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from expplat.domain.proposal_rules.finding import Finding, Findings, Path, breaks, mapping_of, shown
from expplat.domain.proposal_rules.request_fields import FIELDS_HINT, is_request_field

STORES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs", "file")
"""Schemes of the stores that are read."""

_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
_SECRET = re.compile(r"^[a-z0-9+]+://[^/@]*:[^/@]+@")


def request_log_faults(source: Mapping[str, Any]) -> Findings:
    """Yield a log that lies nowhere or in two places, and columns that no request has."""
    path, query, variable = (source.get(name) or "" for name in ("path", "query", "database_env"))
    yield from _place_faults(path, query, variable)
    yield from _address_faults(path, is_queried=bool(query))
    yield from _variable_faults(variable)
    for ours in mapping_of(source.get("columns")):
        if not is_request_field(ours):
            place: Path = ("request_log", "columns", ours)
            yield Finding(place, "A request has no such field.", FIELDS_HINT)


def _place_faults(path: object, query: object, variable: object) -> Findings:
    if not path and not query and not variable:
        yield Finding(
            ("request_log", "path"),
            "The request log says neither `path` nor `query`.",
            "Name a file, a folder or an address; or write a query, with the `path` of the files "
            "that it calls data, or with the `database_env` that it runs in.",
        )
    elif query and not path and not variable:
        yield Finding(
            ("request_log", "query"),
            "The query does not say what it reads.",
            "Add `path`, the files that it calls data, or `database_env`.",
        )
    if variable and not query:
        yield Finding(
            ("request_log", "database_env"),
            "A database needs a `query`.",
            "Write one SELECT whose rows are the requests.",
        )
    elif variable and path:
        yield Finding(
            ("request_log", "path"),
            "The query runs in a database, and reads no file.",
            "Take out `path` or `database_env`.",
        )


def _address_faults(path: object, *, is_queried: bool) -> Findings:
    if not isinstance(path, str) or "://" not in path:
        return
    place: Path = ("request_log", "path")
    scheme = path.partition("://")[0].lower()
    if scheme not in STORES:
        yield Finding(
            place,
            f"{shown(scheme)} is no kind of store that is read.",
            f"There are {', '.join(STORES)}; a database is asked with `query` and `database_env`.",
        )
    elif is_queried:
        yield Finding(
            place,
            "A query does not read files in a store.",
            "Fetch them first, or leave the query out and map `columns`.",
        )
    elif _SECRET.match(path):
        yield Finding(
            place,
            f"The address of {shown(_host(path))} holds a secret.",
            "Take it out; credentials are those of the environment.",
        )


def _host(path: str) -> str:
    try:
        return urlsplit(path).netloc.rpartition("@")[2]
    except ValueError:
        return "the store"


def _variable_faults(variable: object) -> Findings:
    if breaks(variable, _VARIABLE) and variable:
        yield Finding(
            ("request_log", "database_env"),
            "It is not the name of an environment variable.",
            "Write a name such as REQUESTS_DATABASE; the address stands in the environment, "
            "because it may hold a password.",
        )
