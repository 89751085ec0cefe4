"""Everything that a report says, from a journal as workers write it."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from expplat.adapters.replay.journal import ReplayJournal, ShardJournal, note_setup
from expplat.adapters.replay.journal_files import claim, shard_path
from expplat.domain.gate import GateKind, Ruling
from expplat.domain.metric import Direction
from expplat.domain.plain import from_plain, to_plain
from expplat.domain.proposal import Measurement, Variant
from expplat.domain.replay import (
    CONTROL,
    CONTROL_AGAIN,
    PRODUCTION_LOG,
    TREATMENT,
    ReplayReport,
    Sample,
)
from expplat.flow.evidence import gathered, measured_requests
from expplat.flow.evidence_requests import SHOWN_REQUESTS, extremes, variance_of
from expplat.flow.evidence_verdicts import unruled, verdicts_again
from tests.builders import T0, a_plan, a_proposal, superiority
from tests.flow.replayed_rows import METRICS, RECALL, a_call, a_row, material

REQUESTS = 120
GATES = (
    superiority("recall_at_5", 0.02),
    replace(superiority("recall_at_5", 0.02), segment="topic=*"),
)


@pytest.fixture
def plan(tmp_path):
    made = a_plan(
        folder=str(tmp_path),
        metrics=METRICS,
        shards=3,
        requests=REQUESTS,
        measurement=Measurement(repeats=2),
    )
    (tmp_path / "shards").mkdir()
    claim(made)
    for shard in range(made.shards):
        lines = [
            {"request_id": f"q{i}", "input": {"question": f"what is {i}?"}}
            for i in range(50 * shard, min(REQUESTS, 50 * shard + 50))
        ]
        shard_path(made, shard).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return made


@pytest.fixture
def proposal():
    return replace(a_proposal(), offline_gates=GATES)


def the_rows(logged=0.0):
    """Rows whose treatment is better by 0.2 but for request 7, which it loses; in odd order."""
    draw = np.random.default_rng(1)
    for repeat in (1, 0):
        for position in reversed(range(REQUESTS)):
            size = round(float(draw.random()) * 0.5, 3)
            gain = -0.5 if position == 7 else 0.2 + 0.05 * float(draw.random())
            call = a_call(size + 0.25, stages_ms={"retrieve": 3.0 + size}, latency_ms=5.0 + size)
            better = a_call(size + 0.25 + gain, stages_ms={"retrieve": 9.0 + size},
                            latency_ms=11.0 + size)  # fmt: skip
            calls = {CONTROL: call, TREATMENT: better}
            if repeat == 0 and position < 60:
                calls[CONTROL_AGAIN] = a_call(size + 0.25 + 0.01 * float(draw.random()))
            if logged:
                calls[PRODUCTION_LOG] = a_call(size + 0.25 + logged * float(draw.random()))
            topic = "ab"[position % 2]
            yield a_row(position, calls, repeat=repeat, segment={"topic": topic})


def journalled(plan, rows):
    kept = {shard: [] for shard in range(plan.shards)}
    for row in rows:
        kept[row.position // 50].append(row)
    for shard, own in kept.items():
        with ShardJournal(plan, shard) as journal:
            for row in own:
                journal.add(row, {CONTROL: f"c{row.position}.{row.repeat}", TREATMENT: "better"})
    note_setup(plan, "w0", {CONTROL: 40.0, TREATMENT: 90.0})


def test_a_report_is_filled_from_the_journal_alone(plan, proposal):
    journalled(plan, the_rows())

    found = gathered(plan, proposal, ReplayJournal())

    assert [effect.metric for effect in found.effects] == [metric.name for metric in METRICS]
    assert found.effects[0].noise_high > 0
    assert {effect.n_control for effect in found.effects} == {REQUESTS}
    assert [verdict.ruling for verdict in found.verdicts] == [Ruling.PASS] * 3
    assert [verdict.effect.segment for verdict in found.verdicts] == ["", "topic=a", "topic=b"]
    assert list(found.segments) == ["topic=a", "topic=b"]
    assert [delta.stage for delta in found.stages] == ["retrieve", "rest"]
    assert found.stages[0].mean.difference == pytest.approx(6.0)
    assert found.measured == REQUESTS == measured_requests(plan, ReplayJournal())
    assert found.trust is None
    assert a_report_of(plan, found).ruling is Ruling.PASS


def a_report_of(plan, found, **changed):
    fields = {name: getattr(found, name) for name in found.__slots__} | changed
    return ReplayReport(plan=plan, engine="local", started_at=T0, finished_at=T0, **fields)


@pytest.mark.parametrize("cut", ["", "The budget of 5 USD is spent."])
def test_verdicts_are_made_again_from_what_a_report_stores(plan, proposal, cut):
    journalled(plan, the_rows(logged=0.5))
    found = gathered(plan, proposal, ReplayJournal())
    verdicts = unruled(found.verdicts, cut) if cut else found.verdicts
    report = a_report_of(plan, found, verdicts=verdicts, stopped=cut, is_cut=bool(cut))

    stored = from_plain(ReplayReport, to_plain(report))

    assert verdicts_again(stored, proposal) == report.verdicts
    assert len(report.verdicts) == 4
    rulings = {verdict.ruling for verdict in report.verdicts}
    assert rulings == ({Ruling.UNKNOWN} if cut else {Ruling.PASS, Ruling.FAIL})


def test_an_effect_that_was_taken_away_or_edited_gives_another_verdict(plan, proposal):
    journalled(plan, the_rows())
    report = a_report_of(plan, gathered(plan, proposal, ReplayJournal()))
    part = report.verdicts[1]
    worse = replace(part, effect=replace(part.effect, low=-0.3))

    edited = replace(report, verdicts=(report.verdicts[0], worse, report.verdicts[2]))
    emptied = replace(report, verdicts=report.verdicts[:1])

    assert verdicts_again(edited, proposal)[1].ruling is Ruling.UNKNOWN
    assert verdicts_again(emptied, proposal)[1].ruling is Ruling.UNKNOWN


def test_both_arms_are_summed_up_with_what_setting_up_took(plan, proposal):
    journalled(plan, the_rows())

    arms = gathered(plan, proposal, ReplayJournal()).arms

    assert list(arms) == [CONTROL, TREATMENT]
    assert (arms[CONTROL].calls, arms[CONTROL].setup_ms) == (2 * REQUESTS, 40.0)
    assert arms[TREATMENT].setup_ms == 90.0
    assert arms[CONTROL].cost_usd == Decimal("0.002") * 2 * REQUESTS


def test_the_worst_and_the_best_are_shown_with_their_words(plan, proposal):
    journalled(plan, the_rows())

    found = gathered(plan, proposal, ReplayJournal())

    (worst,) = found.worst
    assert (worst.request_id, worst.position) == ("q7", 7)
    assert worst.treatment - worst.control == pytest.approx(-0.5)
    assert (worst.asked, worst.control_answer) == ("what is 7?", "c7.0")
    gains = [delta.treatment - delta.control for delta in found.best]
    assert len(gains) == SHOWN_REQUESTS
    assert gains == sorted(gains, reverse=True)


def test_a_log_that_no_longer_reproduces_production_is_a_verdict_of_its_own(plan, proposal):
    journalled(plan, the_rows(logged=0.5))

    found = gathered(plan, proposal, ReplayJournal())

    last = found.verdicts[-1]
    assert (last.gate.kind, last.gate.margin) == (GateKind.REPLAY_TRUST, 0.02)
    assert last.ruling is Ruling.FAIL
    assert last.effect == found.trust
    assert found.trust.difference < -0.2


def test_a_log_that_does_is_one_that_passes(plan, proposal):
    journalled(plan, the_rows(logged=0.01))

    found = gathered(plan, proposal, ReplayJournal())

    assert found.verdicts[-1].ruling is Ruling.PASS


def test_the_order_in_which_rows_were_written_changes_no_verdict(plan, proposal, tmp_path):
    other = replace(plan, folder=str(tmp_path / "other"))
    Path(other.folder).mkdir()
    claim(other)
    (tmp_path / "shards").rename(tmp_path / "other" / "shards")
    journalled(other, sorted(the_rows(), key=lambda row: (row.position, row.repeat)))
    second = gathered(other, proposal, ReplayJournal())
    (tmp_path / "other" / "shards").rename(tmp_path / "shards")
    journalled(plan, the_rows())

    first = gathered(plan, proposal, ReplayJournal())

    assert first == second


def test_a_logged_variant_has_no_stages_and_no_latency_to_compare(plan, proposal):
    logged = replace(plan, control=Variant(use="logged"))
    journalled(logged, the_rows())

    found = gathered(logged, proposal, ReplayJournal())

    assert found.stages == ()
    assert found.effects[2].low is None
    assert found.effects[0].low is not None


def test_the_spread_is_split_between_requests_and_repeats():
    draw = np.random.default_rng(2)
    own = draw.normal(0, 3.0, 400)
    rows = [
        a_row(position, {
            CONTROL: a_call(0.0),
            TREATMENT: a_call(float(own[position] + draw.normal(0, 2.0))),
        }, repeat=repeat)
        for position in range(400)
        for repeat in range(4)
    ]  # fmt: skip

    found = variance_of(material(rows, measured={"repeats": 4}), RECALL)

    assert (found.metric, found.repeats, found.requests) == ("recall_at_5", 4, 400)
    assert found.between == pytest.approx(9.0, rel=0.2)
    assert found.within == pytest.approx(4.0, rel=0.1)


def test_without_repeats_there_is_no_split():
    rows = [a_row(i, {CONTROL: a_call(0.1), TREATMENT: a_call(0.2)}) for i in range(30)]

    assert variance_of(material(rows), RECALL) is None
    assert variance_of(material([]), RECALL) is None
    assert variance_of(material(rows[:1], measured={"repeats": 3}), RECALL) is None


class Words:
    """Gives samples of rows that are there."""

    def __init__(self, rows):
        self.rows = {row.position: row for row in rows if row.repeat == 0}

    def samples(self, plan, positions):
        return tuple(
            Sample(row=self.rows[place], asked="?", answers={})
            for place in positions
            if place in self.rows
        )


def test_where_lower_is_better_the_worst_are_those_that_rose():
    metric = replace(RECALL, direction=Direction.LOWER)
    rows = [
        a_row(i, {CONTROL: a_call(0.5), TREATMENT: a_call(0.5 + change)})
        for i, change in enumerate((0.1, -0.1, 0.2, 0.0, 0.2))
    ]

    worst, best = extremes(material(rows), metric, a_plan(), Words(rows))

    assert [delta.position for delta in worst] == [2, 4, 0]
    assert [delta.position for delta in best] == [1]
