"""The rules across the fields of an experiment file, one by one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.domain.metric import Concern, Direction, Metric, MetricKind
from expplat.domain.proposal_rules import Catalogue, Finding, Path, rule_faults, shown, slug_problem

BUILT_IN = {
    name: Metric(name=name, kind=kind, direction=direction, unit=unit, concern=concern)
    for name, kind, direction, unit, concern in (
        ("hits", MetricKind.PROPORTION, Direction.HIGHER, "fraction", Concern.ACCURACY),
        ("wait_ms", MetricKind.QUANTILE, Direction.LOWER, "ms", Concern.LATENCY),
        ("cost_usd", MetricKind.MEAN, Direction.LOWER, "usd", Concern.COST),
    )
}


def suggestions(name: str) -> Sequence[str]:
    return tuple(known for known in BUILT_IN if known[:2] == name[:2])


CATALOGUE = Catalogue(built_in=BUILT_IN.get, suggestions=suggestions)

WHOLE: dict[str, Any] = {
    "slug": "fusion",
    "owner": "a team",
    "problem": {"primary_metric": "hits"},
    "paper": {
        "reference": "arXiv:2402.03367",
        "claim": {"effect": 0.03, "effect_low": 0.01, "effect_high": 0.05},
    },
    "variants": {
        "control": {"use": "pocs.fusion.variants:Control", "params": {"k": 1}},
        "treatment": {"use": "pocs.fusion.variants:Treatment", "params": {"k": 1}},
    },
    "metrics": ["hits", "wait_ms", "cost_usd"],
    "offline_gates": [
        {"kind": "superiority", "metric": "hits", "min_effect": 0.02},
        {"kind": "non_inferiority", "metric": "wait_ms", "margin": 20},
        {"kind": "equivalence", "metric": "cost_usd", "margin": 0.1},
    ],
    "online": {
        "metrics": [
            {
                "name": "success",
                "kind": "proportion",
                "unit": "fraction",
                "concern": "accuracy",
                "expected": 0.4,
            },
            {"name": "answer_ms", "kind": "mean", "unit": "ms", "concern": "latency"},
            {"name": "calls", "kind": "count", "unit": "calls", "concern": "cost"},
        ],
        "gates": [
            {"kind": "superiority", "metric": "success", "min_effect": 0.01},
            {"kind": "non_inferiority", "metric": "answer_ms", "margin": 20},
            {"kind": "non_inferiority", "metric": "calls", "margin": 0.2},
        ],
        "max_units": 10_000,
    },
}

GONE = object()
OWN = {"name": "polite", "kind": "mean", "direction": "higher", "unit": "points", "use": "a.b:c"}


def changed(*changes: tuple[Path, Any]) -> dict[str, Any]:
    """Return the whole file with other values at some paths; GONE takes a field out."""
    data = copy.deepcopy(WHOLE)
    for path, value in changes:
        place: Any = data
        for part in path[:-1]:
            place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
        if value is GONE:
            del place[path[-1]]
        elif isinstance(place, list) and path[-1] == len(place):
            place.append(value)
        else:
            place[path[-1]] = copy.deepcopy(value)
    return data


def findings(*changes: tuple[Path, Any], stem: str | None = "fusion") -> list[Finding]:
    return list(rule_faults(changed(*changes), catalogue=CATALOGUE, stem=stem))


def test_a_whole_file_breaks_no_rule():
    assert findings() == []


SEGMENT_GATE = {
    "kind": "non_inferiority", "metric": "hits", "margin": 0.1, "segment": "topic=syntax",
}  # fmt: skip
TWO_RECORDED: list[tuple[Path, Any]] = [
    (("variants", "control"), {"use": "logged"}),
    (("variants", "treatment"), {"use": "logged:reader-2.0"}),
]

ONE_FAULT: list[tuple[str, list[tuple[Path, Any]], Path, str]] = [
    ("slug in capitals", [(("slug",), "Fusion")], ("slug",), "not a slug"),
    ("slug of another file", [(("slug",), "other")], ("slug",), "file is called 'fusion'"),
    ("slug that Python reserves", [(("slug",), "class")], ("slug",), "word of Python"),
    ("control character", [(("owner",), "a\x1b[2J")], ("owner",), "U+001B"),
    ("bidirectional text", [(("owner",), "a\u202eb")], ("owner",), "U+202E"),
    ("lone surrogate", [(("owner",), "a\ud800")], ("owner",), "U+D800"),
    ("control in a param", [(("variants", "control", "params", "s"), ["\x07"])],
     ("variants", "control", "params", "s", 0), "U+0007"),
    ("control in a key", [(("variants", "control", "params", "\x07"), 1)],
     ("variants", "control", "params", "\x07"), "key"),
    ("blank text", [(("owner",), " \n")], ("owner",), "nothing but blanks"),
    ("reference to nothing", [(("paper", "reference"), "Smith 2020")], ("paper", "reference"),
     "not a reference"),
    ("reference that runs", [(("paper", "reference"), "javascript:alert(1)")],
     ("paper", "reference"), "not a reference"),
    ("interval above", [(("paper", "claim", "effect_low"), 0.04)],
     ("paper", "claim", "effect_low"), "wrong side"),
    ("interval below", [(("paper", "claim", "effect_high"), 0.02)],
     ("paper", "claim", "effect_high"), "wrong side"),
    ("path as code", [(("variants", "control", "use"), "pocs/x.py")],
     ("variants", "control", "use"), "does not name code"),
    ("same pair", [(("variants", "treatment", "use"), "pocs.fusion.variants:Control")],
     ("variants", "treatment"), "are the same"),
    ("unknown metric", [(("metrics", 3), "zzz")], ("metrics", 3), "No built-in metric"),
    ("metric twice", [(("metrics", 3), "hits")], ("metrics", 3), "twice"),
    ("own metric twice", [(("metrics", 3), OWN), (("metrics", 4), OWN)], ("metrics", 4, "name"),
     "twice"),
    ("own metric without code", [(("metrics", 3), {**OWN, "use": None})], ("metrics", 3, "use"),
     "needs `use`"),
    ("own metric with a path", [(("metrics", 3), {**OWN, "use": "a.py"})], ("metrics", 3, "use"),
     "does not name code"),
    ("own metric of a ratio", [(("metrics", 3), {**OWN, "kind": "ratio"})], ("metrics", 3, "kind"),
     "not yet offered"),
    ("own metric without unit", [(("metrics", 3), {**OWN, "unit": ""})], ("metrics", 3, "unit"),
     "unit is empty"),
    ("own metric with a bad name", [(("metrics", 3), {**OWN, "name": "a b"})],
     ("metrics", 3, "name"), "not the name of a metric"),
    ("own metric under a taken name",
     [(("metrics", 0), {**OWN, "name": "hits", "concern": "accuracy"})],
     ("metrics", 0, "name"), "built-in metric"),
    ("built-in metric declared otherwise",
     [(("metrics", 0), {"name": "hits", "kind": "proportion", "direction": "lower",
                        "unit": "fraction", "concern": "accuracy"})],
     ("metrics", 0, "direction"), "its direction is higher"),
    ("online metric with code", [(("online", "metrics", 0, "use"), "a:b")],
     ("online", "metrics", 0, "use"), "no `use`"),
    ("success metric without an expected value",
     [(("online", "metrics", 0, "expected"), None)],
     ("online", "metrics", 0, "expected"), "cannot be sized"),
    ("online quantile", [(("online", "metrics", 1, "kind"), "quantile")],
     ("online", "metrics", 1, "kind"), "not yet offered"),
    ("online ratio", [(("online", "metrics", 1, "kind"), "ratio")],
     ("online", "metrics", 1, "kind"), "not yet offered"),
    ("online metric twice", [(("online", "metrics", 3), {"name": "calls", "kind": "count"})],
     ("online", "metrics", 3, "name"), "twice"),
    ("expected share in per cent", [(("online", "metrics", 0, "expected"), 30)],
     ("online", "metrics", 0, "expected"), "between 0 and 1"),
    ("superiority without effect", [(("offline_gates", 0, "min_effect"), GONE)],
     ("offline_gates", 0, "min_effect"), "needs `min_effect`"),
    ("non-inferiority without margin", [(("offline_gates", 1, "margin"), GONE)],
     ("offline_gates", 1, "margin"), "needs `margin`"),
    ("equivalence without margin", [(("offline_gates", 2, "margin"), None)],
     ("offline_gates", 2, "margin"), "needs `margin`"),
    ("superiority with margin", [(("offline_gates", 0, "margin"), 0.1)],
     ("offline_gates", 0, "margin"), "has no `margin`"),
    ("non-inferiority, strict", [(("offline_gates", 1, "strict"), True)],
     ("offline_gates", 1, "strict"), "has no `strict`"),
    ("equivalence with effect", [(("offline_gates", 2, "min_effect"), 0.1)],
     ("offline_gates", 2, "min_effect"), "has no `min_effect`"),
    ("gate with threshold", [(("online", "gates", 1, "threshold"), 0.1)],
     ("online", "gates", 1, "threshold"), "has no `threshold`"),
    ("health gate offline", [(("offline_gates", 3), {"kind": "srm"})],
     ("offline_gates", 3, "kind"), "health gate"),
    ("health gate online", [(("online", "gates", 3), {"kind": "min_days", "threshold": 7})],
     ("online", "gates", 3, "kind"), "health gate"),
    ("gate without metric",
     [(("offline_gates", 3), {"kind": "non_inferiority", "margin": 1})], ("offline_gates", 3),
     "names no metric"),
    ("gate on another metric",
     [(("offline_gates", 3), {"kind": "equivalence", "metric": "success", "margin": 1})],
     ("offline_gates", 3, "metric"), "not one of `metrics`"),
    ("online gate on an offline metric",
     [(("online", "gates", 3), {"kind": "equivalence", "metric": "hits", "margin": 0.1})],
     ("online", "gates", 3, "metric"), "not one of `online.metrics`"),
    ("gate twice",
     [(("offline_gates", 3), {"kind": "equivalence", "metric": "cost_usd", "margin": 2})],
     ("offline_gates", 3), "twice"),
    ("gate of a share in per cent", [(("offline_gates", 0, "min_effect"), 2)],
     ("offline_gates", 0, "min_effect"), "between 0 and 1"),
    ("nothing better online", [(("online", "gates", 0, "kind"), "non_inferiority"),
                               (("online", "gates", 0, "margin"), 0.01),
                               (("online", "gates", 0, "min_effect"), None)],
     ("online", "gates"), "kind superiority"),
    ("primary metric that is not measured", [(("problem", "primary_metric"), "hit")],
     ("problem", "primary_metric"), "not one of `metrics`"),
    ("primary metric that nothing judges", [(("problem", "primary_metric"), "wait_ms")],
     ("problem", "primary_metric"), "No offline superiority gate"),
    ("no accuracy gate online", [(("online", "metrics", 0, "concern"), "other")],
     ("online", "gates"), "No online gate judges accuracy"),
    ("no latency gate offline", [(("offline_gates", 1), {"kind": "equivalence", "metric": "hits",
                                                         "margin": 0.1})],
     ("offline_gates",), "No offline gate judges latency"),
    ("no cost gate online", [(("online", "gates", 2), GONE)], ("online", "gates"),
     "No online gate judges cost"),
    ("waiver of a gate that stands",
     [(("waivers",), [{"phase": "online", "concern": "cost"}])], ("waivers", 0), "is waived"),
    ("waiver twice",
     [(("online", "gates", 2), GONE), (("waivers",), [{"phase": "online", "concern": "cost"}] * 2)],
     ("waivers", 1), "twice"),
    ("ramp that stands", [(("online", "ramp_percent"), [5, 5])], ("online", "ramp_percent", 1),
     "does not go beyond"),
    ("ramp that narrows", [(("online", "ramp_percent"), [5, 50, 20])],
     ("online", "ramp_percent", 2), "20 does not go beyond 50"),
    ("hold that is never met", [(("online", "hold"), {"min_units": 5_001})],
     ("online", "max_units"), "`hold.min_units` asks for 5001"),
    ("health that is never met", [(("online", "health"), {"min_units": 6_000})],
     ("online", "max_units"), "`health.min_units` asks for 6000"),
    ("ramp longer than the test", [(("online", "hold"), {"min_hours": 240})],
     ("online", "max_days"), "ramp alone holds for 30"),
    ("test shorter than its least", [(("online", "max_days"), 5)], ("online", "max_days"),
     "asks for 7"),
    ("log nowhere", [(("request_log",), {})], ("request_log", "path"), "neither `path` nor"),
    ("query over nothing", [(("request_log",), {"query": "SELECT 1"})], ("request_log", "query"),
     "does not say what it reads"),
    ("database without a query", [(("request_log",), {"database_env": "LOGS"})],
     ("request_log", "database_env"), "needs a `query`"),
    ("files and a database", [(("request_log",), {"path": "a", "query": "SELECT 1",
                                                  "database_env": "LOGS"})],
     ("request_log", "path"), "runs in a database"),
    ("address of a database", [(("request_log",), {"query": "SELECT 1",
                                                   "database_env": "sqlite:///x.db"})],
     ("request_log", "database_env"), "not the name of an environment variable"),
    ("store of no known kind", [(("request_log",), {"path": "ftp://host/x.csv"})],
     ("request_log", "path"), "no kind of store"),
    ("query over a store", [(("request_log",), {"path": "s3://b/x.csv", "query": "SELECT 1"})],
     ("request_log", "path"), "does not read files in a store"),
    ("secret in an address", [(("request_log",), {"path": "s3://key:hidden@bucket/x.csv"})],
     ("request_log", "path"), "'bucket' holds a secret"),
    ("column of no field", [(("request_log",), {"path": "a", "columns": {"inptu.q": "q"}})],
     ("request_log", "columns", "inptu.q"), "no such field"),
    ("recorded system with blanks",
     [*TWO_RECORDED, (("variants", "control"), {"use": "logged:a b"})],
     ("variants", "control", "use"), "names no recorded answers"),
    ("recorded answers with params", [
        *TWO_RECORDED, (("variants", "control", "params"), {"k": 1})],
     ("variants", "control", "params"), "take no `params`"),
    ("same recorded answers", [(("variants", "control"), {"use": "logged"}),
                               (("variants", "treatment"), {"use": "logged:production"})],
     ("variants", "treatment"), "are the same"),
    ("asset above", [(("variants", "control", "assets"), {"index": "data/../../x"})],
     ("variants", "control", "assets", "index"), "not lie in the workspace"),
    ("asset elsewhere", [(("variants", "control", "assets"), {"index": "/etc/passwd"})],
     ("variants", "control", "assets", "index"), "not lie in the workspace"),
    ("asset at home", [(("variants", "control", "assets"), {"index": "~/x"})],
     ("variants", "control", "assets", "index"), "not lie in the workspace"),
    ("asset with an odd name", [(("variants", "control", "assets"), {"my index": "x"})],
     ("variants", "control", "assets", "my index"), "not the name of an asset"),
    ("segment without a value", [(("offline_gates", 3), {**SEGMENT_GATE, "segment": "topic"})],
     ("offline_gates", 3, "segment"), "names no segment"),
    ("segment without a key", [(("offline_gates", 3), {**SEGMENT_GATE, "segment": " =a"})],
     ("offline_gates", 3, "segment"), "names no segment"),
    ("same segment twice", [(("offline_gates", 3), SEGMENT_GATE),
                            (("offline_gates", 4), {**SEGMENT_GATE, "margin": 0.2})],
     ("offline_gates", 4), "twice"),
    ("segment online", [(("online", "gates", 1, "segment"), "topic=a"),
                        (("waivers",), [{"phase": "online", "concern": "latency"}])],
     ("online", "gates", 1, "segment"), "no `segment`"),
    ("cost of a segment alone", [(("offline_gates", 2, "segment"), "topic=*")],
     ("offline_gates",), "No offline gate judges cost"),
    ("nothing timed", [(("measurement",), {"concurrency": 8, "latency_requests": 0})],
     ("measurement", "latency_requests"), "Nothing would be timed"),
    ("clocks of two machines", [(("variants", "control"), {"use": "logged"})],
     ("offline_gates", 1), "clocks of two machines"),
    ("recorded answers again", [*TWO_RECORDED, (("measurement",), {"repeats": 3})],
     ("measurement", "repeats"), "the same each time"),
    ("recorded answers paid for", [*TWO_RECORDED, (("measurement",), {"budget_usd": 3})],
     ("measurement", "budget_usd"), "nothing is paid"),
    ("budget shorter than a call", [(("measurement",), {"budget_minutes": 0.1})],
     ("measurement", "budget_minutes"), "0.1 minutes ends before"),
    ("early stop of unknown length",
     [(("measurement",), {"early_stop": True, "errors": "drop_pair"})],
     ("measurement", "early_stop"), "nobody knows how many pairs"),
    ("more gates than anybody reads",
     [(("online", "ramp_percent"), [number / 10 for number in range(1, 200)]),
      (("online", "hold"), {"min_hours": 0})],
     ("online", "ramp_percent"), "199 entries"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [each[1:] for each in ONE_FAULT],
    ids=[each[0] for each in ONE_FAULT],
)
def test_a_breach_of_a_rule_is_one_fault_at_its_field(changes, path, message):
    (finding,) = findings(*changes)

    assert finding.path == path
    assert message in finding.message
    assert finding.hint


ALLOWED: list[tuple[str, list[tuple[Path, Any]]]] = [
    ("newline and tab in a text", [(("owner",), "a\n\tb")]),
    ("emoji", [(("owner",), "search 🔎")]),
    ("blank param", [(("variants", "control", "params", "s"), " ")]),
    ("arXiv with version", [(("paper", "reference"), "arXiv:2402.03367v3")]),
    ("old arXiv", [(("paper", "reference"), "arXiv:cs.CL/0112017")]),
    ("DOI", [(("paper", "reference"), "10.1145/3397271.3401075")]),
    ("DOI with prefix", [(("paper", "reference"), "doi:10.1145/3397271")]),
    ("address", [(("paper", "reference"), "https://example.org/post")]),
    ("claim without interval", [(("paper", "claim"), {"effect": -0.1})]),
    ("same code, other params", [(("variants", "treatment"), {
        "use": "pocs.fusion.variants:Control", "params": {"k": True}})]),
    ("built-in metric with another worst", [(("metrics", 1), {
        "name": "wait_ms", "kind": "quantile", "direction": "lower", "unit": "ms",
        "concern": "latency", "worst": 30_000})]),
    ("own metric", [(("metrics", 3), OWN)]),
    ("waived gate", [(("offline_gates", 2), GONE),
                     (("waivers",), [{"phase": "offline", "concern": "cost"}])]),
    ("strict superiority", [(("offline_gates", 0, "strict"), True)]),
    ("hold just met", [(("online", "hold"), {"min_units": 5_000})]),
    ("one step", [(("online", "ramp_percent"), [100])]),
    ("folder in a store", [(("request_log",), {"path": "s3://bucket/logs/2026-*.parquet"})]),
    ("user of a store", [(("request_log",), {"path": "abfs://container@account/logs"})]),
    ("query over files", [(("request_log",), {"path": "logs", "query": "SELECT 1"})]),
    ("query in a database", [(("request_log",), {"query": "SELECT 1", "database_env": "LOGS"})]),
    ("columns", [(("request_log",), {"path": "a", "columns": {
        "request_id": "id", "logged.gpt-3.5.text": "answer", "segment.topic": "t"}})]),
    ("two recorded systems", TWO_RECORDED),
    ("recorded systems, no clock", [*TWO_RECORDED, (("measurement",), {
        "concurrency": 4, "latency_requests": 0})]),
    ("one recorded system, latency waived", [
        (("variants", "control"), {"use": "logged"}), (("offline_gates", 1), SEGMENT_GATE),
        (("waivers",), [{"phase": "offline", "concern": "latency"}])]),
    ("assets", [(("variants", "control", "assets"), {"index": "data/v..2/index.bin"})]),
    ("same code, other assets", [(("variants", "treatment"), {
        "use": "pocs.fusion.variants:Control", "params": {"k": 1}, "assets": {"a": "b"}})]),
    ("gates of segments beside that of all", [
        (("offline_gates", 3), SEGMENT_GATE),
        (("offline_gates", 4), {**SEGMENT_GATE, "segment": "topic=*"}),
        (("offline_gates", 5), {**SEGMENT_GATE, "segment": "lang=Português (Brasil)"}),
        (("offline_gates", 6), {**SEGMENT_GATE, "segment": None})]),
    ("untimed requests, one by one", [(("measurement",), {"latency_requests": 0})]),
    ("budget and early stop", [(("measurement",), {
        "budget_usd": 5, "budget_minutes": 30, "early_stop": True, "repeats": 3})]),
]  # fmt: skip


@pytest.mark.parametrize(
    "changes", [each[1] for each in ALLOWED], ids=[each[0] for each in ALLOWED]
)
def test_what_keeps_the_rules_is_no_fault(changes):
    assert findings(*changes) == []


def test_a_misspelt_metric_is_one_fault_and_names_what_was_meant():
    (finding,) = findings(
        (("metrics", 0), "hist"),
        (("offline_gates", 0, "metric"), "hist"),
        (("problem", "primary_metric"), "hist"),
    )

    assert finding.path == ("metrics", 0)
    assert "`hits`" in finding.hint


def test_a_file_without_a_name_is_held_against_none():
    assert findings((("slug",), "other"), stem=None) == []


def test_every_mandatory_question_is_asked_in_both_phases():
    said = [
        finding.message
        for finding in findings(
            (("offline_gates",), [{"kind": "superiority", "metric": "hits", "min_effect": 0.1}]),
            (("online", "gates"), [{"kind": "superiority", "metric": "calls", "min_effect": 0.1}]),
        )
        if "gate judges" in finding.message
    ]

    assert said == [
        "No offline gate judges latency.",
        "No offline gate judges cost.",
        "No online gate judges accuracy.",
        "No online gate judges latency.",
    ]


@pytest.mark.parametrize("slug", ["a", "a1_b", "z" * 63])
def test_a_slug_has_no_problem(slug):
    assert slug_problem(slug) == ""


@given(st.text())
def test_what_is_shown_stays_on_its_line(text):
    assert shown(text).isprintable()
    assert len(shown(text)) <= 80


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["superiority", "srm", "hits", "ratio", "offline", "cost", "proportion"])
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
PATHS: list[Path] = [
    *((key,) for key in (*WHOLE, "waivers", "measurement")),
    *(("online", key) for key in (*WHOLE["online"], "hold", "health", "ramp_percent", "max_days")),
    ("problem", "primary_metric"), ("paper", "claim"), ("paper", "claim", "effect"),
    ("variants", "control"), ("variants", "control", "params"), ("metrics", 0),
    ("offline_gates", 0), ("offline_gates", 0, "kind"), ("offline_gates", 0, "metric"),
    ("offline_gates", 0, "min_effect"), ("offline_gates", 0, "segment"), ("request_log",),
    ("request_log", "path"), ("request_log", "columns"), ("variants", "control", "use"),
    ("variants", "control", "assets"), ("measurement", "concurrency"),
    ("measurement", "budget_minutes"), ("online", "metrics", 0), ("online", "metrics", 0, "name"),
    ("online", "metrics", 0, "kind"), ("online", "gates", 0), ("online", "gates", 0, "metric"),
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(PATHS), anything, max_size=4))
def test_anything_may_stand_anywhere(changes):
    by_depth = sorted(changes.items(), key=lambda change: -len(change[0]))

    assert all(isinstance(finding, Finding) for finding in findings(*by_depth))


@given(anything)
def test_rules_pass_over_a_file_that_is_nothing_like_one(value):
    data = dict.fromkeys(WHOLE, value)

    assert all(finding.message for finding in rule_faults(data, catalogue=CATALOGUE))
