from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expplat.adapters.report.pages import Pages, tracking_link
from expplat.domain.story import Story
from expplat.domain.wording import change
from tests.adapters.pages.example_stories import (
    all_stories,
    effect,
    proposal,
    report,
    running_story,
    scaled,
)
from tests.adapters.pages.page_reading import read_page
from tests.builders import a_proposal
from tests.rich_reports import a_report_of_nothing, a_rich_report, an_extreme_report

PAGES = Pages()


def rich_story() -> Story:
    return replace(running_story(), replay=a_rich_report())


DRAWN: dict[str, Callable[[], str]] = {
    "overview": lambda: PAGES.overview(all_stories()),
    "overview without POCs": lambda: PAGES.overview(()),
    "poc": lambda: PAGES.poc_page(running_story()),
    "poc without replay": lambda: PAGES.poc_page(all_stories()[0]),
    "replay": lambda: PAGES.replay_page(report(), proposal()),
    "replay with everything": lambda: PAGES.replay_page(a_rich_report(), a_proposal()),
    "replay of extremes": lambda: PAGES.replay_page(an_extreme_report(), a_proposal()),
    "replay of nothing": lambda: PAGES.replay_page(a_report_of_nothing(), a_proposal()),
    "poc with everything": lambda: PAGES.poc_page(rich_story()),
}

MAILED = {name for name in DRAWN if name.startswith("replay")}

MARKUP = st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        "</title></style><svg onload=alert(1)>",
        "javascript:alert(1)",
        "{{ 7 * 7 }}{% raw %}",
        "&lt;b&gt;&amp;&#60;",
        "<!--",
        "]]>",
    ]
)


def with_text_everywhere(value: Any, text: str) -> Any:
    """Return the value with every string in it, at any depth, replaced."""
    match value:
        case enum.Enum() | None | bool() | int() | float() | datetime() | Decimal():
            return value
        case str():
            return text
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            f.name: with_text_everywhere(getattr(value, f.name), text)
            for f in dataclasses.fields(value)
        }
        return type(value)(**fields)
    if isinstance(value, Mapping):
        return {
            with_text_everywhere(k, text): with_text_everywhere(v, text) for k, v in value.items()
        }
    return tuple(with_text_everywhere(item, text) for item in value)


def all_pages_of(story: Story, note: str) -> list[str]:
    assert story.replay is not None
    return [
        PAGES.overview((story,), note=note),
        PAGES.poc_page(story, note=note),
        PAGES.replay_page(story.replay, story.proposal),
    ]


@given(text=MARKUP | st.text(min_size=1, max_size=40) | st.tuples(MARKUP, MARKUP).map("".join))
@settings(max_examples=40, deadline=None)
def test_no_text_of_a_file_log_or_event_ever_becomes_markup(text: str) -> None:
    hostile = with_text_everywhere(rich_story(), text)
    harmless = with_text_everywhere(rich_story(), "word")

    shapes = [read_page(page).shape for page in all_pages_of(hostile, text)]

    assert shapes == [read_page(page).shape for page in all_pages_of(harmless, "word")]


@given(text=MARKUP)
@settings(max_examples=9, deadline=None)
def test_hostile_text_is_shown_as_it_was_written(text: str) -> None:
    hostile = replace(running_story(), proposal=replace(proposal(), owner=text))

    page = read_page(PAGES.poc_page(hostile))

    assert " ".join(text.split()) in " ".join(page.text.split())


@pytest.mark.parametrize("name", DRAWN)
def test_every_element_of_a_page_is_closed_where_it_was_opened(name: str) -> None:
    page = read_page(DRAWN[name]())

    assert not page.unclosed
    assert not page.wrongly_closed


@pytest.mark.parametrize("name", DRAWN)
def test_a_page_asks_for_nothing_outside_its_own_server(name: str) -> None:
    html = DRAWN[name]()

    addresses = [
        one.attributes[key] or ""
        for one in read_page(html).elements
        for key in ("href", "src", "action", "xlink:href", "srcset", "poster", "data")
        if key in one.attributes
    ]
    outside = [a for a in addresses if not a.startswith(("/", "#", "data:,")) or a[:2] == "//"]
    assert outside == []
    assert "@import" not in html
    assert "url(" not in html


@pytest.mark.parametrize("name", DRAWN)
def test_a_page_has_no_script_and_no_inline_style(name: str) -> None:
    page = read_page(DRAWN[name]())

    assert page.all("script", "iframe", "object", "embed", "base", "form") == []
    attributes = {key for one in page.elements for key in one.attributes}
    assert "style" not in attributes
    assert not [key for key in attributes if key.startswith("on")]
    assert len(page.all("style")) == (1 if name in MAILED else 0)


@pytest.mark.parametrize("name", sorted(MAILED))
def test_a_mailed_replay_is_whole_in_itself(name: str) -> None:
    page = read_page(DRAWN[name]())

    ids = {f"#{one.attributes.get('id')}" for one in page.elements}
    assert page.all("link", "img") == []
    assert {one.attributes["href"] for one in page.all("a")} <= ids
    assert PAGES.stylesheet().decode() in page.text


@pytest.mark.parametrize("name", DRAWN)
def test_tables_have_captions_and_their_heads_a_scope(name: str) -> None:
    page = read_page(DRAWN[name]())

    assert len(page.all("caption")) == len(page.all("table"))
    assert [th for th in page.all("th") if "scope" not in th.attributes] == []


@pytest.mark.parametrize("name", DRAWN)
def test_every_plot_says_in_words_what_it_shows(name: str) -> None:
    html = DRAWN[name]()

    plots = re.findall(r"<svg[^>]*>\s*<title>([^<]+)</title>", html)
    assert len(plots) == html.count("<svg")


@pytest.mark.parametrize("name", DRAWN)
def test_ids_are_given_once(name: str) -> None:
    ids = [e.attributes["id"] for e in read_page(DRAWN[name]()).elements if "id" in e.attributes]

    assert len(ids) == len(set(ids))


def test_the_page_of_a_poc_leads_with_claimed_replayed_and_online() -> None:
    text = " ".join(read_page(PAGES.poc_page(running_story())).text.split())

    claimed = f"claimed nDCG@10 {change(0.052, 'fraction')}"
    replayed = f"replayed recall_at_5 {change(0.041, 'fraction')}"
    online = f"online task_success {change(0.022, 'fraction')}"
    assert -1 < text.index(claimed) < text.index(replayed) < text.index(online)


def test_the_page_of_a_poc_names_the_six_checks_the_waiver_and_the_gate_sentences() -> None:
    text = read_page(PAGES.poc_page(running_story())).text

    for words in (
        "Problem relevance",
        "Reproducibility in house",
        "Real accuracy delta",
        "Latency and cost",
        "Operational complexity",
        "Controlled experiment",
        "Waived: online cost gate.",
        "The gain of task_success is significant.",
        "latency_p95_ms is at most 60 ms slower.",
    ):
        assert words in text


def test_an_edited_transition_is_called_edited() -> None:
    story = running_story()
    forged = replace(story.poc.history[1], reason="nothing to see here")
    history = (story.poc.history[0], forged, *story.poc.history[2:])

    text = read_page(PAGES.poc_page(replace(story, poc=replace(story.poc, history=history)))).text

    assert text.count("edited") == 1
    assert text.count("intact") == len(history) - 1


def test_looks_that_only_watch_are_drawn_apart_from_looks_that_decide() -> None:
    html = PAGES.poc_page(running_story())

    assert html.count('<g class="monitoring">') == 4  # two looks, two metrics
    assert html.count('<g class="decisive">') == 8


def test_a_note_stands_on_the_pages_that_it_is_given_to() -> None:
    note = "The users of this test are simulated."

    assert note in PAGES.overview(all_stories(), note=note)
    assert note in PAGES.poc_page(running_story(), note=note)
    assert "simulated" not in PAGES.poc_page(running_story())


def test_an_effect_that_could_not_be_computed_is_drawn_as_not_estimable() -> None:
    missing = replace(
        effect(proposal().online.metrics[0], 0.5, 0.1, 0.1),
        metric="recall_at_5",
        control=None,
        treatment=None,
        difference=None,
        low=None,
        high=None,
        p=None,
    )
    broken = replace(
        report(),
        effects=(missing,),
        verdicts=tuple(replace(v, effect=missing) for v in report().verdicts),
        segments={"topic=syntax": (missing,)},
    )

    text = read_page(PAGES.replay_page(broken, proposal())).text

    assert "not estimable" in text


@given(exponent=st.integers(-9, 9))
@settings(max_examples=19, deadline=None)
def test_marks_stay_inside_their_plots_at_any_scale(exponent: int) -> None:
    html = PAGES.poc_page(scaled(running_story(), 10.0**exponent))

    drawings = re.findall(r'<svg[^>]*viewBox="0 0 ([\d.]+) .+?>(.+?)</svg>', html, re.S)
    places = [
        (float(x), float(width))
        for width, drawing in drawings
        for x in re.findall(r' (?:cx|x1|x2)="([^"]+)"', drawing)
    ]
    assert len(drawings) >= 5
    assert len(places) > 3 * len(drawings)
    assert [place for place in places if not 0 <= place[0] <= place[1]] == []


@pytest.mark.parametrize(
    ("address", "link"),
    [
        (None, None),
        ("#/experiments/1", "/mlflow/#/experiments/1"),
        ("https://mlflow.example/#/experiments/1", "https://mlflow.example/#/experiments/1"),
        ("javascript:alert(1)", None),
        ("//elsewhere.example", None),
    ],
)
def test_only_known_kinds_of_tracking_addresses_become_links(
    address: str | None, link: str | None
) -> None:
    assert tracking_link(address) == link


def test_the_stylesheet_is_the_file_of_the_dashboards_folder() -> None:
    file = Path(__file__).parents[3] / "dashboards" / "expplat.css"

    assert PAGES.stylesheet() == file.read_bytes()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        ("ink", "surface"),
        ("ink", "ground"),
        ("muted", "surface"),
        ("muted", "ground"),
        ("muted", "raised"),
        ("link", "surface"),
        ("link", "ground"),
        ("pass", "pass-tint"),
        ("fail", "fail-tint"),
        ("unknown", "unknown-tint"),
        ("ink", "unknown-tint"),
        ("ink", "fail-tint"),
        ("pass", "surface"),
        ("fail", "surface"),
        ("unknown", "surface"),
        ("claimed", "surface"),
        ("replayed", "surface"),
        ("online", "surface"),
    ],
)
def test_text_has_the_contrast_of_wcag_aa(scheme: str, ink: str, ground: str) -> None:
    light, dark = re.findall(r":root \{(.+?)\}", PAGES.stylesheet().decode(), re.S)[:2]
    colours = dict(re.findall(r"--([\w-]+): (#\w{6});", light if scheme == "light" else dark))

    brighter, darker = sorted((_luminance(colours[ink]), _luminance(colours[ground])))[::-1]

    assert (brighter + 0.05) / (darker + 0.05) >= 4.5


def _luminance(colour: str) -> float:
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
