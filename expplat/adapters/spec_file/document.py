"""YAML as plain data, with the line of every field; no object is ever made of a tag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from expplat.adapters.spec_file.characters import decode
from expplat.adapters.spec_file.scalars import core_value
from expplat.domain.proposal_rules import Path, shown
from expplat.errors import Fault, FaultsError

MAX_DEPTH = 50
MAX_NODES = 20_000
QUOTE_IT = "Put it in quotes if a text is meant."


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One file, read as far as it can be."""

    value: dict[str, Any]
    """Mappings, lists, texts, numbers, booleans and None."""

    lines: Mapping[Path, int]
    """Where each field stands, counted from 1."""

    numbers: Mapping[Path, str]
    """Numbers as they were written, for those who need every digit."""

    faults: tuple[Fault, ...]
    """What could not be read."""

    spoilt: frozenset[Path]
    """Fields whose value could not be read; nothing else should be said of them."""

    def line_of(self, path: Path) -> int:
        """Return the line of a field, or of what should hold it; 0 for the file as a whole."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 0

    def is_spoilt(self, path: Path) -> bool:
        """Tell whether the field, or what holds it, could not be read."""
        return any(path[:end] in self.spoilt for end in range(1, len(path) + 1))


def field_name(path: Path) -> str:
    """Return a path as people write it, such as `online.gates[2].margin`."""
    name = ""
    for part in path:
        if isinstance(part, int):
            name += f"[{part}]"
        elif part.isidentifier() and len(part) <= 63:
            name += f".{part}"
        else:
            name += f"[{shown(part)}]"
    return name.removeprefix(".")


def read_document(content: bytes, source: str) -> Document:
    """Read one YAML document whose root is a mapping.

    Args:
        content: The file, UTF-8, at most 1 MB.
        source: What to call the file in an error.

    Raises:
        FaultsError: If there is no telling what the file holds. A fault that leaves the rest
            readable is kept in the document instead, so that all can be shown at once.
    """
    text, faults = decode(content, source)
    composer = _Composer(text=text, faults=faults)
    try:
        value = composer.document()
    except _UnreadableError as error:
        raise FaultsError(source, (*composer.faults, error.fault)) from None
    return Document(
        value=value,
        lines=composer.lines,
        numbers=composer.numbers,
        faults=tuple(composer.faults),
        spoilt=frozenset(composer.spoilt),
    )


class _UnreadableError(Exception):
    """Reading cannot go on."""

    def __init__(self, line: int, message: str, hint: str, name: str = "") -> None:
        super().__init__(message)
        self.fault = Fault(line=line, field=name, message=message, hint=hint)


@dataclass(kw_only=True)
class _Composer:
    """Turns the events of PyYAML's parser into plain data; holds one node at a time."""

    text: str
    faults: list[Fault]
    lines: dict[Path, int] = field(default_factory=dict)
    numbers: dict[Path, str] = field(default_factory=dict)
    spoilt: set[Path] = field(default_factory=set)
    nodes: int = 0

    def __post_init__(self) -> None:
        self._events = _events(self.text)

    def document(self) -> dict[str, Any]:
        """Read the whole stream."""
        next(self._events)
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            raise _UnreadableError(0, "The file is empty.", "`expplat schema` shows what it holds.")
        if start.version or start.tags:
            raise _UnreadableError(1, "The file has a directive.", "Take out the line with %.")
        root = next(self._events)
        value = self._node(root, ())
        if not isinstance(value, dict):
            raise _UnreadableError(
                _line(root), "The file is not a mapping.", "Begin with a line such as `slug: …`."
            )
        next(self._events)
        second = next(self._events)
        if not isinstance(second, yaml.StreamEndEvent):
            raise _UnreadableError(
                _line(second), "A second document begins here.", "One file, one document."
            )
        return value

    def _node(self, event: Any, path: Path) -> Any:
        self._count(event, path)
        if isinstance(event, yaml.AliasEvent):
            self._spoil(event, path, "An alias stands here.", "Write the value out.")
            return None
        if event.anchor is not None:
            self._fault(event, path, "An anchor stands here.", "Take it out; aliases are not read.")
        if event.tag is not None:
            self._spoil(event, path, f"The tag {shown(event.tag)} stands here.", "Take it out.")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return self._mapping(path)

    def _count(self, event: yaml.Event, path: Path) -> None:
        self.lines.setdefault(path, _line(event))
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _UnreadableError(
                _line(event), f"The file has more than {MAX_NODES:,} values.", "Make it smaller."
            )
        if len(path) > MAX_DEPTH:
            raise _UnreadableError(
                _line(event), f"The file is nested deeper than {MAX_DEPTH} levels.", "Flatten it."
            )

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> Any:
        if not event.implicit[0]:
            return event.value
        try:
            value = core_value(event.value)
        except ValueError as error:
            self._spoil(event, path, str(error), QUOTE_IT)
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            self.numbers.setdefault(path, event.value)
        return value

    def _sequence(self, path: Path) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._node(event, (*path, len(values))))
        return values

    def _mapping(self, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            place = (*path, key)
            if key in values:
                lines = f"{self.lines[place]} and {_line(event)}"
                self._fault(
                    event, place, f"The key stands twice, on lines {lines}.", "Keep one of them."
                )
            self.lines.setdefault(place, _line(event))
            value = self._node(next(self._events), place)
            values.setdefault(key, value)
        return values

    def _key(self, event: yaml.Event, path: Path) -> str:
        """Return a key; one that is no text is a fault, and stands for itself."""
        place = (*path, event.value) if isinstance(event, yaml.ScalarEvent) else (*path, "?")
        key = self._node(event, place)
        if not isinstance(key, str) and place not in self.spoilt:
            self._spoil(event, place, "A key is not a text.", "Put it in quotes, or name a field.")
        return str(place[-1])

    def _spoil(self, event: yaml.Event, path: Path, message: str, hint: str) -> None:
        self.spoilt.add(path)
        self._fault(event, path, message, hint)

    def _fault(self, event: yaml.Event, path: Path, message: str, hint: str) -> None:
        self.faults.append(
            Fault(line=_line(event), field=field_name(path), message=message, hint=hint)
        )


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def _events(text: str) -> Iterator[Any]:
    """Yield the parser's events; whatever it raises becomes one fault."""
    loader: Any = yaml.SafeLoader(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise _UnreadableError(line, *_in_plain_words(error)) from None
    except (yaml.YAMLError, ValueError, OverflowError):
        # PyYAML hands numbers of escapes and directives to chr() and int() as they stand.
        line = loader.get_mark().line + 1
        raise _UnreadableError(
            line, "The file is not YAML: an escape or a directive is broken.", "Look at this line."
        ) from None
    finally:
        loader.dispose()


def _in_plain_words(error: yaml.MarkedYAMLError) -> tuple[str, str]:
    problem = error.problem or error.context or "it cannot be read"
    if "\\t" in problem:
        return "A tab stands where the line should begin.", "Indent with spaces."
    return (
        f"The file is not YAML: {problem}.",
        "Look at the indentation, the colons and the quotes of this line and the one above.",
    )
