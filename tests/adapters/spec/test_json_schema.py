"""The published JSON Schema: valid, described, and never stricter than the reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from expplat.adapters.spec_file import SpecFile, json_schema, read_document

ASSET = Path(__file__).parent / "assets" / "short_answers.yaml"
EXPERIMENTS = sorted(
    path
    for path in (Path(__file__).parents[3] / "experiments").glob("*.yaml")
    if path.name != "prices.yaml"
)


def errors_of(data: dict[str, Any]) -> list[str]:
    validator = jsonschema.Draft202012Validator(json_schema())
    return [error.message for error in validator.iter_errors(data)]


def fields_of(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    described = {**schema["$defs"], "Proposal": schema}
    return [
        (f"{name}.{field}", place)
        for name, definition in described.items()
        for field, place in definition.get("properties", {}).items()
    ]


def test_the_schema_is_a_schema_of_the_draft_that_it_names():
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)

    assert schema["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$schema"]
    assert schema["title"] == "expplat experiment file"
    assert "$id" not in schema


def test_every_field_has_a_description_of_its_own_or_of_its_type():
    schema = json_schema()
    silent = [
        name
        for name, place in fields_of(schema)
        if not place.get("description")
        and not schema["$defs"]
        .get(str(place.get("$ref")).rpartition("/")[2], {})
        .get("description")
    ]

    assert silent == []


@pytest.mark.parametrize("path", [ASSET, *EXPERIMENTS], ids=lambda path: path.name)
def test_a_file_that_the_reader_takes_is_valid(path):
    SpecFile().read(path.read_bytes(), str(path))

    assert errors_of(read_document(path.read_bytes(), path.name).value) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"slug: short_answers", b"slug: Short-Answers"),
        (b"owner:", b"ownr:"),
        (b"code_available: true", b"code_available: yes"),
        (b"kind: equivalence", b"kind: srm"),
        (b"pocs.short_answers.variants:Control", b"variants.py"),
        (b"max_units: 40000", b"max_units: 1"),
        (b"margin: 0.5", b"threshold: 0.5"),
    ],
)
def test_an_editor_marks_what_the_reader_would_refuse(old, new):
    content = ASSET.read_bytes().replace(old, new)

    assert errors_of(read_document(content, "x").value) != []
