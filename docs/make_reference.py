"""Fills in the generated parts of `docs/reference/` from the code that they describe.

    .venv/bin/python docs/make_reference.py            writes them
    .venv/bin/python docs/make_reference.py --check    exits with 1 where one is out of date

A generated part stands between `<!-- generated: NAME -->` and `<!-- end of generated part -->`;
everything around it is written by hand and kept.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

import expplat.domain.analysis
import expplat.errors
import expplat.settings
from expplat.adapters.spec_file import json_schema
from expplat.api.problems import STATUSES
from expplat.cli._main import app
from expplat.domain.gate import GateKind
from expplat.domain.metric import Metric
from expplat.errors import ExpplatError
from expplat.gates import GATES, health
from expplat.gates.replay_trust import trust_verdict
from expplat.metrics import catalogue

REFERENCE = Path(__file__).parent / "reference"

PART = re.compile(
    r"<!-- generated: (?P<name>[a-z ]+) -->\n.*?<!-- end of generated part -->", re.DOTALL
)


def main(arguments: list[str]) -> int:
    """Write the parts, or hold the pages against them; return the exit status."""
    is_check = arguments == ["--check"]
    stale = [page for page in sorted(REFERENCE.glob("*.md")) if _is_stale(page)]
    for page in stale:
        print(f"{'out of date' if is_check else 'written'}: {page.name}")
        if not is_check:
            page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 1 if stale and is_check else 0


def renewed(content: str) -> str:
    """Return a page with its generated parts made anew."""
    return PART.sub(lambda found: _part(found["name"]), content)


def _is_stale(page: Path) -> bool:
    content = page.read_text(encoding="utf-8")
    return renewed(content) != content


def _part(name: str) -> str:
    made = "\n".join(MAKERS[name]())
    return f"<!-- generated: {name} -->\n{made.strip()}\n<!-- end of generated part -->"


def commands() -> Iterator[str]:
    """Give the help of every command, as `--help` prints it on a terminal of 80 columns."""
    for words in _command_paths(typer.main.get_command(app)):
        heading = " ".join(("expplat", *words))
        shown = CliRunner().invoke(app, [*words, "--help"], prog_name="expplat").output
        yield f"## `{heading}`\n" if words else "## `expplat`\n"
        yield f"```text\n{shown.strip()}\n```\n"


def _command_paths(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from _command_paths(inner, (*words, name))


def experiment_file() -> Iterator[str]:
    """Give a table of fields for each part of an experiment file."""
    schema = json_schema()
    definitions: dict[str, Any] = schema["$defs"]
    yield from _fields("The whole file", schema, definitions)
    for name, definition in definitions.items():
        if "properties" in definition:
            yield from _fields(name, definition, definitions)
    for name, definition in definitions.items():
        if "enum" in definition:
            choices = ", ".join(f"`{choice}`" for choice in definition["enum"])
            yield f"### {name}\n\n{_line(definition.get('description', ''))}\nOne of {choices}.\n"


def _fields(
    name: str, definition: Mapping[str, Any], definitions: Mapping[str, Any]
) -> Iterator[str]:
    yield f"### {name}\n"
    if name != "The whole file":
        yield f"{_line(definition.get('description', ''))}\n"
    yield "| field | type | default | meaning |\n| --- | --- | --- | --- |"
    required = definition.get("required", [])
    for field, place in definition["properties"].items():
        default = "**required**" if field in required else _default(place)
        meaning = _meaning(place, definitions).replace("|", "\\|")
        yield f"| `{field}` | {_type(place)} | {default} | {meaning} |"
    yield ""


def _meaning(place: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return what a field says of itself, or what the part that it holds says."""
    inner = definitions.get(str(place.get("$ref", "")).rpartition("/")[2], {})
    return _line(place.get("description") or inner.get("description", ""))


def _default(place: Mapping[str, Any]) -> str:
    default = place.get("default")
    if default is None:
        return "left out" if "default" in place else "see there"
    if isinstance(default, dict | list) and not default:
        return "`{}`" if isinstance(default, dict) else "`[]`"
    if isinstance(default, dict):
        return "see there"
    if default == "":
        return "an empty text"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _type(place: Mapping[str, Any]) -> str:
    """Return a type in words, with its limits."""
    if "$ref" in place:
        name = place["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in place:
        choices = [choice for choice in place["anyOf"] if choice.get("type") != "null"]
        return " or ".join(_type(choice) for choice in choices)
    if "const" in place:
        return f"`{place['const']}`"
    if "enum" in place:
        return ", ".join(f"`{choice}`" for choice in place["enum"])
    if place.get("type") == "array":
        return f"list of {_type(place.get('items', {}))}{_limits(place)}"
    names = {"object": "mapping", "string": "text", "boolean": "true or false"}
    kind = str(place.get("type", "any value"))
    return names.get(kind, kind) + _limits(place)


def _limits(place: Mapping[str, Any]) -> str:
    words = {
        "exclusiveMinimum": "above",
        "minimum": "at least",
        "exclusiveMaximum": "below",
        "maximum": "at most",
    }
    if "maxLength" in place:
        return f", {place.get('minLength', 0)} to {place['maxLength']} characters"
    limits = [f"{words[name]} {place[name]:g}" for name in words if name in place]
    limits += ["not empty"] if place.get("minItems") else []
    return f", {', '.join(limits)}" if limits else ""


def settings() -> Iterator[str]:
    """Give a table of the settings, with the docstring of each."""
    yield "| setting | environment variable, and what it is without |\n| --- | --- |"
    for name, text in _attribute_docstrings(expplat.settings, "Settings"):
        yield f"| {name} | {_line(text)} |"


def _attribute_docstrings(module: Any, class_name: str) -> Iterator[tuple[str, str]]:
    for field, text in _attributes(module, class_name):
        if text:
            yield ast.unparse(field.target), text


def _attributes(module: Any, class_name: str) -> Iterator[tuple[ast.AnnAssign, str]]:
    """Give each annotated attribute of a class with its docstring, or an empty text."""
    tree = ast.parse(inspect.getsource(module))
    body = next(
        node.body
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == class_name
    )
    for field, below in itertools.pairwise([*body, ast.Pass()]):
        if isinstance(field, ast.AnnAssign):
            yield field, ast.literal_eval(below.value) if isinstance(below, ast.Expr) else ""


OBVIOUS = {
    "comparisons": "Every metric under every treatment, in the order asked for.",
    "health": "Every check of the table.",
    "verdict": "The last line of the answer.",
    "looks": "Every comparison at every look; empty without `--look`.",
    "segments": "The comparisons within each segment; empty without `--segment`.",
    "alpha": "Two-sided level, 0 to 1.",
    "correction": "Name of the correction over all that was asked.",
    "ruling": "What follows.",
    "sentence": "The same for a person.",
    "metric": "Its name, as it was asked for.",
    "variant": "The treatment.",
    "method": "How the interval was made.",
    "n_control": "Units (or requests) of control with a value.",
    "n_treatment": "The same of the treatment.",
    "treatment": "The same under the treatment.",
    "effect": "Treatment less control.",
    "standard_error": "Of the effect; null where the interval rests on none.",
    "ci_low": "Lower end of the effect's interval.",
    "ci_high": "Its upper end.",
    "relative_ci_low": "Lower end of the lift's interval.",
    "relative_ci_high": "Its upper end.",
    "role": "See below.",
    "direction": "Which way is better.",
    "margin": "Of a guardrail: the largest harm allowed, above 0.",
    "min_effect": "The smallest gain that matters, above 0.",
    "warnings": "What a reader of this number must know.",
    "look": "Value of the column of looks.",
    "p": "Of the check; null where it rests on none.",
    "detail": "Numbers and names behind the sentence.",
}
"""Of fields of an analysis whose name says it all in the code."""


def analysis() -> Iterator[str]:
    """Give a table of fields for each part of an analysis."""
    for name in ("Analysis", "Overall", "Comparison", "LookReading", "Finding"):
        said = inspect.getdoc(getattr(expplat.domain.analysis, name)) or ""
        yield f"### {name}\n\n{_line(said)}\n"
        yield "| field | type | meaning |\n| --- | --- | --- |"
        for field, text in _attributes(expplat.domain.analysis, name):
            kind = _json_type(ast.unparse(field.annotation))
            target = ast.unparse(field.target)
            yield f"| `{target}` | {kind} | {_line(text or OBVIOUS[target])} |"
        yield ""


def _json_type(annotation: str) -> str:
    """Return the type of an attribute as JSON has it."""
    plain, _, optional = annotation.partition(" | ")
    inner = re.fullmatch(r"tuple\[(\w+), \.\.\.\]", plain)
    if inner:
        return f"list of {_json_type(inner[1])}"
    if plain.startswith("Mapping"):
        return "object"
    found: Any = getattr(expplat.domain.analysis, plain, None)
    if inspect.isclass(found) and issubclass(found, StrEnum):
        kind = ", ".join(f"`{choice}`" for choice in found)
    elif found is not None:
        kind = f"[{plain}](#{plain.lower()})"
    else:
        kind = {"str": "text", "float": "number", "int": "integer"}[plain]
    return f"{kind} or null" if optional == "None" else kind


def errors() -> Iterator[str]:
    """Give a table of every error class: its code, exit status and HTTP status."""
    yield "| class | code | exit status | HTTP status | meaning |\n| --- | --- | --- | --- | --- |"
    for kind in error_classes():
        http = next(STATUSES[base] for base in kind.__mro__ if base in STATUSES)
        meaning = _line(inspect.getdoc(kind) or "").split(". ")[0].rstrip(".")
        parent = "" if kind is ExpplatError else f" ({kind.__mro__[1].__name__})"
        row = (f"`{kind.__name__}`{parent}", f"`{kind.code}`", kind.exit_status, http, meaning)
        yield f"| {' | '.join(map(str, row))} |"


def error_classes() -> list[type[ExpplatError]]:
    """Return every class of `expplat.errors`, each after its parent."""
    return [
        kind
        for _, kind in sorted(
            inspect.getmembers(expplat.errors, inspect.isclass),
            key=lambda member: inspect.getsourcelines(member[1])[1],
        )
        if issubclass(kind, ExpplatError)
    ]


def metrics() -> Iterator[str]:
    """Give a table of the built-in metrics."""
    yield "| name | kind | unit | better | concern |\n| --- | --- | --- | --- | --- |"
    for name in _metric_names():
        metric = catalogue.built_in(name.replace("K", "10").replace("NAME", "retrieve"))
        if isinstance(metric, Metric):
            row = (f"`{name}`", metric.kind, metric.unit, metric.direction, metric.concern)
            yield f"| {' | '.join(row)} |"


def _metric_names() -> Iterable[str]:
    ranked = (f"{family}_at_K" for family in catalogue.RANKED)
    return (*ranked, *catalogue._FIXED, "stage_NAME_ms")


def gates() -> Iterator[str]:
    """Give the docstring of every kind of gate, as its rule states it."""
    rules: dict[GateKind, Callable[..., Any]] = {**GATES, GateKind.REPLAY_TRUST: trust_verdict}
    for kind in GateKind:
        rule = rules.get(kind) or getattr(health, kind.value)
        said = (inspect.getdoc(rule) or "").partition("\n\nArgs:")[0]
        yield f"### `{kind.value}`\n\n{said}\n"


def _line(text: str) -> str:
    return " ".join(text.split())


MAKERS: dict[str, Callable[[], Iterator[str]]] = {
    "commands": commands,
    "experiment file": experiment_file,
    "analysis": analysis,
    "settings": settings,
    "errors": errors,
    "metrics": metrics,
    "gates": gates,
}
"""Who makes which part."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
