"""Rules of what is tried: the name, the paper, the two variants, and every text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from expplat.domain.online import VARIANTS
from expplat.domain.proposal_rules.finding import (
    ASSET_PATTERN,
    FORBIDDEN_CHARACTERS,
    LOGGED_PATTERN,
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
from expplat.domain.request import logged_system

REFERENCE = re.compile(
    r"arXiv:(\d{4}\.\d{4,5}|[a-z-]+(\.[A-Z]{2})?/\d{7})(v\d+)?"
    r"|(doi:)?10\.\d{4,9}/\S+"
    r"|https?://[^\s/]+\S*",
    re.ASCII,
)
"""An arXiv number of either style, a DOI, or a web address."""

FURTHER_TREATMENTS = VARIANTS[2:]
"""Names of the treatments after the first; a test of more than eight variants finds nothing."""


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
    """Yield what names neither code nor recorded answers, and a pair that is no pair."""
    made_of: dict[Any, str] = {}
    for place, variant in _placed_variants(variants):
        use = variant.get("use")
        if is_logged(use):
            yield from _recorded_faults(variant, place)
        else:
            yield from use_faults(use, (*place, "use"), is_variant=True)
            yield from _asset_faults(mapping_of(variant.get("assets")), (*place, "assets"))
        given = [variant.get(name) or {} for name in ("params", "assets")]
        named = f"logged:{logged_system(use)}" if is_logged(use) else use
        made = (named, json.dumps(given, sort_keys=True))
        if isinstance(named, str) and made in made_of:
            yield Finding(
                place,
                f"{made_of[made]} and {place[-1]} are the same.".capitalize(),
                "Give the treatment another `use` or other `params`.",
            )
        if isinstance(named, str):
            made_of.setdefault(made, str(place[-1]))
    yield from _further_faults(mapping_of(variants.get("more")))


def _placed_variants(variants: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for arm in ("control", "treatment"):
        yield ("variants", arm), mapping_of(variants.get(arm))
    for arm, variant in mapping_of(variants.get("more")).items():
        yield ("variants", "more", arm), mapping_of(variant)


def _further_faults(more: Mapping[str, Any]) -> Findings:
    """Yield further treatments that are too many, or not named in turn."""
    if set(more) != {*FURTHER_TREATMENTS[: len(more)]}:
        yield Finding(
            ("variants", "more"),
            f"Further treatments are called {', '.join(FURTHER_TREATMENTS)}, in turn.",
            "Name the first one treatment_b; flags, events and reports know them by these names.",
        )


def is_logged(use: object) -> TypeGuard[str]:
    """Tell whether a `use` names answers that were recorded, rather than code."""
    return isinstance(use, str) and logged_system(use) is not None


def _recorded_faults(variant: Mapping[str, Any], place: Path) -> Findings:
    if breaks(variant.get("use"), LOGGED_PATTERN):
        yield Finding(
            (*place, "use"),
            f"{shown(variant.get('use'))} names no recorded answers.",
            "Write `logged` for production's, or `logged:` and the name that the log gives a "
            "system: no blanks, 100 letters at most.",
        )
    for name in ("params", "assets"):
        if variant.get(name):
            yield Finding(
                (*place, name),
                f"Recorded answers take no `{name}`.",
                "Take them out; nothing is called.",
            )


def _asset_faults(assets: Mapping[str, Any], place: Path) -> Findings:
    for name, path in assets.items():
        if breaks(name, ASSET_PATTERN):
            yield Finding(
                (*place, name),
                f"{shown(name)} is not the name of an asset.",
                "Begin with a letter; then letters, digits, underscores; 63 in all.",
            )
        elif isinstance(path, str) and not _is_within(path):
            yield Finding(
                (*place, name),
                f"{shown(path)} does not lie in the workspace.",
                "Write a path from the workspace's folder, such as data/index.bin, without `..`.",
            )


def _is_within(path: str) -> bool:
    parts = path.replace("\\", "/").split("/")
    starts_elsewhere = parts[0] in ("", "~") or ":" in parts[0]
    return bool(path.strip(" ./")) and not starts_elsewhere and ".." not in parts


def use_faults(use: object, path: Path, *, is_variant: bool = False) -> Findings:
    """Yield a `use` that does not name code."""
    if breaks(use, USE_PATTERN):
        recorded = "; or `logged`, for recorded answers" if is_variant else ""
        yield Finding(
            path,
            f"{shown(use)} does not name code.",
            f"Write module.path:Attribute, such as pocs.hybrid_rrf.variants:Hybrid{recorded}.",
        )
