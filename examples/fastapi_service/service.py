"""A small documentation search with an answer on top, under test with expplat.

`GET /search?q=…` with the header `x-user-id` ranks a handful of pages in one of two ways, writes
an answer from the best of them, and reports what that took. `POST /helpful` says that it helped.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Header

from expplat.client import Client, ExpplatMiddleware, usage

FLAG = "hybrid_rrf"
PRICES = {"small-model": (0.15, 0.60)}
PAGES = {
    "install": "Install the package with pip, then run the first example.",
    "keys": "Keys open the service. Rotate a key before it expires; the old key goes on.",
    "limits": "A batch holds at most five thousand events and one megabyte.",
    "errors": "An error names the field that is wrong, and says what to write instead.",
    "backup": "A backup is one file. Restore it before you start the service again.",
}

# Address and keys come from EXPPLAT_URL, EXPPLAT_CLIENT_KEY and EXPPLAT_INGEST_KEY.
client = Client(prices=PRICES)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Send what is waiting before the process ends."""
    yield
    await client.aclose()


app = FastAPI(lifespan=lifespan)
app.add_middleware(ExpplatMiddleware, client=client, unit="x-user-id")

User = Annotated[str | None, Header(alias="x-user-id")]


@app.get("/search")
async def search(q: str, user: User = None) -> dict[str, Any]:
    """Rank the pages as the user's variant does, and answer from the best two."""
    variant = client.variant(FLAG, unit=user or "")
    rank = by_words_and_letters if variant == "treatment" else by_words
    best = sorted(PAGES, key=lambda page: rank(q, PAGES[page]), reverse=True)[:2]
    return {"variant": variant, "pages": best, "answer": answer(q, best)}


@app.post("/helpful")
async def helpful(user: User = None) -> dict[str, bool]:
    """The user says that the answer helped."""
    return {"kept": client.outcome("task_success", 1.0, unit=user or "")}


@app.get("/health")
async def health() -> dict[str, Any]:
    """What the client says of itself."""
    return asdict(client.stats())


def answer(question: str, pages: list[str]) -> str:
    """Stand in for a language model: quote the pages, and count tokens as words."""
    text = " ".join(PAGES[page] for page in pages)
    asked = len((question + text).split())
    usage(model="small-model", input_tokens=asked, output_tokens=len(text.split()))
    return text


def by_words(query: str, text: str) -> float:
    """The control: how many words of the query the page has."""
    return float(len(words(query) & words(text)))


def by_words_and_letters(query: str, text: str) -> float:
    """The treatment: ranks by words and by triples of letters, so that typing errors are found."""
    return by_words(query, text) + len(triples(query) & triples(text)) / 10


def words(text: str) -> set[str]:
    """The words of a text, in lower case."""
    return {*re.findall(r"[a-z]+", text.lower())}


def triples(text: str) -> set[str]:
    """Every three letters that stand beside each other."""
    return {word[at : at + 3] for word in words(text) for at in range(len(word) - 2)}
