"""Reads a page as a browser would: its elements, their attributes, and whether they close."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "hr", "img", "input"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]


@dataclass
class PageReading:
    elements: list[Element] = field(default_factory=list)
    unclosed: list[str] = field(default_factory=list)
    wrongly_closed: list[str] = field(default_factory=list)
    text: str = ""

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """Tags and the names of their attributes: what escaped text can never change."""
        return [(one.tag, tuple(one.attributes)) for one in self.elements]

    def all(self, *tags: str) -> list[Element]:
        return [one for one in self.elements if one.tag in tags]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.reading = PageReading()
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.reading.elements.append(Element(tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.reading.elements.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.reading.wrongly_closed.append(tag)

    def handle_data(self, data: str) -> None:
        self.reading.text += data

    def close(self) -> None:
        super().close()
        self.reading.unclosed = self._open


def read_page(html: str) -> PageReading:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.reading
