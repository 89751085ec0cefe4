"""The state machine: what is open from where, and what an illegal step leaves behind (nothing)."""

from __future__ import annotations

import itertools
import sqlite3
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expplat.adapters.flag_brake import FlagBrake
from expplat.domain.poc import NEXT, Poc, Stage
from expplat.errors import ConfigurationError, DatabaseError, NotFoundError, StageError
from expplat.flow.audit import verify
from expplat.flow.desk import Desk, Step, write_step
from expplat.flow.graduate import graduate
from expplat.flow.look import take_look
from expplat.flow.promote import promote
from expplat.flow.ramp import ramp
from expplat.flow.reject import reject
from expplat.flow.replay import replay
from expplat.flow.rollback import rollback
from tests.builders import SLUG, T0, a_poc, a_proposal, keep_poc

NUMBERS = itertools.count()

NO_BENCH = SimpleNamespace()  # an illegal step must be refused before anything is measured

VERBS = {
    "replay": (
        lambda desk: replay(SLUG, desk=desk, bench=NO_BENCH, runner=NO_BENCH), Stage.REPLAYED
    ),
    "promote": (lambda desk: promote(SLUG, desk=desk, bench=NO_BENCH), Stage.PROMOTED),
    "ramp": (lambda desk: ramp(SLUG, desk=desk), Stage.PROMOTED),
    "graduate": (lambda desk: graduate(SLUG, desk=desk), Stage.GRADUATED),
    "rollback": (lambda desk: rollback(SLUG, reason="r", desk=desk), Stage.ROLLED_BACK),
    "reject": (lambda desk: reject(SLUG, reason="r", desk=desk), Stage.REJECTED),
}  # fmt: skip

NO_OPS = {
    ("promote", Stage.PROMOTED),
    ("graduate", Stage.GRADUATED),
    ("rollback", Stage.ROLLED_BACK),
    ("reject", Stage.REJECTED),
}
"""Where a repeated verb finds its work done."""

ILLEGAL = [
    (verb, stage)
    for verb, (_, target) in VERBS.items()
    for stage in Stage
    if (verb == "ramp" and stage is not Stage.PROMOTED)
    or (verb != "ramp" and target not in NEXT[stage] and (verb, stage) not in NO_OPS)
]


@pytest.fixture
def desk(sqlite_uow_factory, tmp_path):
    reader = SimpleNamespace(thaw=lambda text: a_proposal())
    return Desk(
        uow=sqlite_uow_factory(),
        reading=sqlite_uow_factory(),
        reader=reader,
        flags=FlagBrake(tmp_path / "closed"),
        now=lambda: T0,
        by="ada",
    )


def kept(desk: Desk, stage: Stage) -> Poc:
    poc = a_poc(stage)
    with desk.uow as uow:
        keep_poc(uow, poc)
        uow.commit()
    return poc


def history(desk: Desk) -> Poc:
    with desk.uow as uow:
        return uow.pocs.find(SLUG)


@pytest.mark.parametrize(("verb", "stage"), ILLEGAL)
def test_an_illegal_step_is_refused_and_writes_nothing(desk, verb, stage):
    before = kept(desk, stage)

    with pytest.raises(StageError):
        VERBS[verb][0](desk)

    assert history(desk) == before
    assert desk.flags.closed() == {}


@pytest.mark.parametrize(("verb", "stage"), sorted(NO_OPS))
def test_a_repeated_verb_changes_nothing(desk, verb, stage):
    before = kept(desk, stage)

    outcome = VERBS[verb][0](desk)

    assert (outcome.is_new, outcome.standing) == (False, ())
    assert history(desk) == before


@pytest.mark.parametrize("verb", VERBS)
def test_a_poc_that_nobody_proposed_is_not_found(desk, verb):
    with pytest.raises(NotFoundError):
        VERBS[verb][0](desk)

    assert history(desk).history == ()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(targets=st.lists(st.sampled_from(list(Stage)), max_size=12))
def test_whatever_is_asked_only_open_steps_are_written_and_the_chain_holds(desk, targets):
    slug = f"poc_{next(NUMBERS)}"  # one database for all examples, a POC each
    with desk.uow as uow:
        keep_poc(uow, a_poc(Stage.PROPOSED, slug=slug))
        uow.commit()
        poc = uow.pocs.get(slug)
    stage, written = Stage.PROPOSED, 1
    for target in targets:
        step = Step(stage=target, reason="asked for", traffic_percent=5.0)
        if target in NEXT[stage]:
            poc = write_step(poc, step, desk)
            stage, written = target, written + 1
        else:
            with pytest.raises(StageError):
                write_step(poc, step, desk)

    with desk.uow as uow:
        poc = uow.pocs.get(slug)
    times = [step.at for step in poc.history]
    assert (poc.stage, len(poc.history)) == (stage, written)
    assert times == sorted(set(times))
    assert verify(uow=desk.uow).findings == ()


def test_rolling_back_closes_the_flag_even_where_the_commit_fails(desk):
    kept(desk, Stage.PROMOTED)

    class Unwilling:
        def __getattr__(self, name):
            return getattr(desk.uow, name)

        def __enter__(self):
            desk.uow.__enter__()
            return self

        def __exit__(self, *error):
            return desk.uow.__exit__(*error)

        def commit(self):
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        rollback(SLUG, reason="harm", desk=replace(desk, uow=Unwilling()))

    assert set(desk.flags.closed()) == {SLUG}
    assert history(desk).stage is Stage.PROMOTED


def test_rolling_back_closes_the_flag_even_where_the_database_is_away(desk):
    class Away:
        def __enter__(self):
            raise DatabaseError("The database is out of reach.")

        def __exit__(self, *error):
            pass

    with pytest.raises(DatabaseError) as refusal:
        rollback(SLUG, reason="harm", desk=replace(desk, uow=Away()))

    assert set(desk.flags.closed()) == {SLUG}
    assert "closed" in refusal.value.hint


def test_rolling_back_closes_the_flag_also_where_the_schema_is_another(desk):
    class Newer:
        def __enter__(self):
            raise ConfigurationError("The database has schema 9.", hint="Update expplat.")

        def __exit__(self, *error):
            pass

    with pytest.raises(ConfigurationError) as refusal:
        rollback(SLUG, reason="harm", desk=replace(desk, uow=Newer()))

    assert set(desk.flags.closed()) == {SLUG}
    assert refusal.value.hint == "The flag is closed here all the same. Update expplat."


def test_promote_repeated_does_not_open_what_the_brake_holds(desk):
    kept(desk, Stage.PROMOTED)
    desk.flags.close(SLUG, T0)

    again = promote(SLUG, desk=desk, bench=NO_BENCH)

    (held,) = again.standing
    assert held.sentence.startswith("The emergency brake has held the flag closed since 2026")
    assert set(desk.flags.closed()) == {SLUG}


@pytest.mark.parametrize("verb", ["ramp", "graduate"])
def test_no_step_is_taken_while_the_brake_holds(desk, verb):
    before = kept(desk, Stage.PROMOTED)
    desk.flags.close(SLUG, T0)

    outcome = VERBS[verb][0](desk)

    assert "emergency brake" in outcome.standing[0].sentence
    assert history(desk) == before


def test_a_brake_that_was_pulled_in_the_dark_learns_of_which_test_it_was(desk):
    before = kept(desk, Stage.ROLLED_BACK)
    desk.flags.close(SLUG, T0)

    rollback(SLUG, reason="again", desk=desk)

    assert desk.flags.closed()[SLUG].phase == before.newest.phase == 1


def test_an_edited_row_is_found(desk, sqlite_url):
    kept(desk, Stage.GRADUATED)
    file = sqlite_url.removeprefix("sqlite:///")
    with sqlite3.connect(file) as connection:
        triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in triggers.fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE transitions SET reason = 'It was fine.' WHERE position = 2")

    findings = verify(uow=desk.uow).findings

    assert [(finding.slug, finding.position) for finding in findings] == [(SLUG, 2)]


def test_a_look_needs_a_running_test(desk):
    poc = kept(desk, Stage.GRADUATED)

    with pytest.raises(StageError):
        take_look(poc, a_proposal(), desk)
