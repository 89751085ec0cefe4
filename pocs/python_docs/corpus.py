"""The corpus: the documentation that every Python carries with it, cut into passages.

Two sources, both found on any machine without a download: the chapters of the language reference
that `help()` shows (`pydoc_data.topics`), and the docstrings of a fixed list of standard modules.

A *document* is one topic or one object, and its id holds on every supported Python
(`topic:with`, `obj:itertools.groupby`); that is what a request is judged by. A *passage* is a part
of a document that is short enough to be ranked on its own. The texts differ a little between two
minor versions of Python; the ids that the request log names are in all of them.

Only the standard library is imported here.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from pocs.python_docs.modules import MODULES

PASSAGE_WORDS = 160
"""A passage is closed at the end of the paragraph in which it passes this many words."""

SHORTEST_DOCSTRING = 12
"""Characters below which a docstring says nothing that its name does not."""

BOILERPLATE = ("Alias for field number", "Create and return a new object.")
"""How docstrings begin that are the same on many objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A part of a document: what a retriever ranks."""

    document_id: str
    """Such as `topic:with` or `obj:itertools.groupby`; several passages may share one."""

    title: str
    """The name of the topic or object, with the names of its parameters where it has any."""

    text: str


@cache
def passages() -> tuple[Passage, ...]:
    """Return the whole corpus in an order that depends on the Python version alone."""
    found = [*_topics(), *_objects()]
    return tuple(found)


@cache
def document_ids() -> frozenset[str]:
    """Return the id of every document."""
    return frozenset(passage.document_id for passage in passages())


def cut(paragraphs: Iterable[str]) -> Iterator[str]:
    """Join paragraphs into pieces of about `PASSAGE_WORDS` words."""
    piece: list[str] = []
    words = 0
    for paragraph in paragraphs:
        piece.append(paragraph)
        words += len(paragraph.split())
        if words >= PASSAGE_WORDS:
            yield "\n\n".join(piece)
            piece, words = [], 0
    if piece:
        yield "\n\n".join(piece)


def _paragraphs(text: str) -> list[str]:
    return re.split(r"\n\s*\n", text.strip())


def _topics() -> Iterator[Passage]:
    """Yield the topics, shortest first: a paragraph stands once, under its narrowest topic.

    Some topics are whole chapters whose sections are topics of their own; kept whole, they would
    be an answer to everything.
    """
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    seen: set[str] = set()
    for name in sorted(topics, key=lambda name: (len(topics[name]), name)):
        fresh = [text for text in _paragraphs(topics[name]) if " ".join(text.split()) not in seen]
        seen.update(" ".join(text.split()) for text in fresh)
        for piece in cut(fresh):
            yield Passage(document_id=f"topic:{name}", title=name.replace("-", " "), text=piece)


def _objects() -> Iterator[Passage]:
    seen: set[int] = set()
    for name in MODULES:
        module = importlib.import_module(name)
        yield from _document(name, name, module)
        owned = [(f"{name}.{key}", value) for key, value in _members(module)]
        for path, value in owned:
            yield from _once(path, value, seen)
        for path, value in owned:
            if inspect.isclass(value):
                for key, method in sorted(vars(value).items()):
                    if not key.startswith("_"):
                        yield from _once(f"{path}.{key}", method, seen)


def _members(module: ModuleType) -> list[tuple[str, object]]:
    """Return what the module offers: what it lists in `__all__`, else what was made in it."""
    listed = getattr(module, "__all__", None)
    offered = {
        name: value
        for name in (vars(module) if listed is None else listed)
        if not name.startswith("_")
        and not inspect.ismodule(value := getattr(module, name, None))
        and (listed is not None or _is_at_home(value, module))
    }
    names = sorted(name for name in offered if not _is_second_name(name, offered))
    return [(name, offered[name]) for name in names]


def _is_at_home(value: object, module: ModuleType) -> bool:
    home = getattr(value, "__module__", None)
    return home is None or home.lstrip("_") == module.__name__


def _is_second_name(name: str, offered: Mapping[str, object]) -> bool:
    """Tell whether it is an alias, such as `IOError` of `OSError`."""
    first = getattr(offered[name], "__name__", name)
    return first != name and isinstance(first, str) and offered.get(first) is offered[name]


def _once(path: str, value: object, seen: set[int]) -> Iterator[Passage]:
    inner = getattr(value, "__func__", value)
    if id(inner) in seen:
        return
    seen.add(id(inner))
    label = path.removeprefix("builtins.")
    yield from _document(label, f"{label}{_parameters(value)}", value)


def _document(name: str, title: str, value: object) -> Iterator[Passage]:
    docstring = getattr(value, "__doc__", None)
    inherited = None if inspect.isclass(value) else getattr(type(value), "__doc__", None)
    if not isinstance(docstring, str) or docstring == inherited:
        return
    text = inspect.cleandoc(docstring)
    if len(text) < SHORTEST_DOCSTRING or text.startswith(BOILERPLATE):
        return
    for piece in cut(_paragraphs(text)):
        yield Passage(document_id=f"obj:{name}", title=title, text=piece)


def _parameters(value: object) -> str:
    """Return the names of the parameters; defaults may hold addresses and are left out."""
    if not callable(value):
        return ""
    try:
        names = list(inspect.signature(value).parameters)
    except (TypeError, ValueError, AttributeError):  # a builtin without, or with a broken one
        return ""
    return f"({', '.join(name for name in names if name not in ('self', 'cls'))})"
