"""Rules of what is tried: the name, the paper, the two variants, and every text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from expplat.domain.proposal_rules.finding import (
    FORBIDDEN_CHARACTERS,
    SLUG_HINT,
    USE_PATTERN,
    Finding,
    Findings,
    Path,
    breaks,
    mapping_of,
    number_of,
    shown,
    slug_problem,
)

REFERENCE = re.compile(
    r"arXiv:(\d{4}\.\d{4,5}|[a-z-]+(\.[A-Z]{2})?/\d{7})(v\d+)?"
    r"|(doi:)?10\.\d{4,9}/\S+"
    r"|https?://[^\s/]+\S*",
    re.ASCII,
)
"""An arXiv number of either style, a DOI, or a web address."""


def text_faults(value: object, path: Path = ()) -> Findings:
    """Yield every text and key that would move a cursor or hide something, and every blank one."""
    if isinstance(value, str):
        yield from _one_text_faults(value, path)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if FORBIDDEN_CHARACTERS.search(key):
                yield Finding((*path, key), "The key holds an invisible character.", "Take it out.")
            yield from text_faults(item, (*path, key))
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from text_faults(item, (*path, position))


def _one_text_faults(text: str, path: Path) -> Findings:
    found = FORBIDDEN_CHARACTERS.search(text)
    if found:
        code = f"U+{ord(found.group()):04X}"
        yield Finding(path, f"It holds the invisible character {code}.", "Take it out.")
    elif text.isspace() and "params" not in path:
        yield Finding(path, "It holds nothing but blanks.", "Write a text, or leave it out.")


def slug_faults(slug: object, stem: str | None) -> Findings:
    """Yield what is wrong with the name; it must be the file's name too."""
    if not isinstance(slug, str):
        return
    if problem := slug_problem(slug):
        yield Finding(("slug",), problem, SLUG_HINT)
    elif stem is not None and slug != stem:
        yield Finding(
            ("slug",),
            f"The slug is {shown(slug)}, but the file is called {shown(stem)}.",
            "Give both the same name; the slug ties file, code and flag together.",
        )


def paper_faults(paper: Mapping[str, Any]) -> Findings:
    """Yield a reference that leads nowhere, and an interval that does not hold its estimate."""
    reference = paper.get("reference")
    if isinstance(reference, str) and not REFERENCE.fullmatch(reference):
        yield Finding(
            ("paper", "reference"),
            f"{shown(reference)} is not a reference.",
            "Write arXiv:2402.03367, a DOI such as doi:10.1145/3397271, or an http(s) address.",
        )
    yield from _claim_faults(mapping_of(paper.get("claim")))


def _claim_faults(claim: Mapping[str, Any]) -> Findings:
    effect = number_of(claim.get("effect"))
    low, high = number_of(claim.get("effect_low")), number_of(claim.get("effect_high"))
    for end, is_wrong in (("effect_low", low > effect), ("effect_high", high < effect)):
        if is_wrong:
            yield Finding(
                ("paper", "claim", end),
                f"`{end}` lies on the wrong side of `effect` ({effect:g}).",
                "An interval holds its estimate: effect_low ≤ effect ≤ effect_high.",
            )
    if math.isnan(effect) and low > high:
        yield Finding(
            ("paper", "claim", "effect_low"), "`effect_low` is above `effect_high`.", "Swap them."
        )


def variant_faults(variants: Mapping[str, Any]) -> Findings:
    """Yield what does not name code, and a pair that is no pair."""
    made_of = []
    for arm in ("control", "treatment"):
        variant = mapping_of(variants.get(arm))
        yield from use_faults(variant.get("use"), ("variants", arm, "use"))
        params = json.dumps(variant.get("params") or {}, sort_keys=True)
        made_of.append((variant.get("use"), params))
    if made_of[0] == made_of[1] and isinstance(made_of[0][0], str):
        yield Finding(
            ("variants", "treatment"),
            "Control and treatment are the same.",
            "Give the treatment another `use` or other `params`.",
        )


def use_faults(use: object, path: Path) -> Findings:
    """Yield a `use` that does not name code."""
    if breaks(use, USE_PATTERN):
        yield Finding(
            path,
            f"{shown(use)} does not name code.",
            "Write module.path:Attribute, such as pocs.hybrid_rrf.variants:Hybrid.",
        )
