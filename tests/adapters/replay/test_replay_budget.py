import multiprocessing
import time
from pathlib import Path

import pytest

from expplat.adapters.replay.budget import Budget, prepare
from expplat.domain.replay import Limits

FIVE = Limits(budget_usd=5.0)


def budget(folder, slot=0, limits=FIVE, *, spent_usd=0.0, started=None):
    begun = time.monotonic() if started is None else started
    return Budget(folder, slot, limits, spent_usd=spent_usd, started=begun)


def test_the_workers_spend_from_one_purse(tmp_path):
    prepare(tmp_path, 2, 1.5)
    one, other = budget(tmp_path, 0), budget(tmp_path, 1)
    one.spend(1.5)

    other.spend(1.9)

    assert one.over() == other.over() == ""
    assert one.spent_usd() == pytest.approx(4.9)


def test_a_budget_that_is_spent_says_so_in_one_sentence(tmp_path):
    prepare(tmp_path, 1, 0.0)
    one = budget(tmp_path, started=time.monotonic() - 90)

    one.spend(5.0012)

    assert one.over() == "The budget of 5 USD is spent: 5.0012 USD after 1.5 minutes."


def test_minutes_are_those_of_this_run(tmp_path):
    prepare(tmp_path, 1, 0.25)

    found = budget(tmp_path, limits=Limits(budget_minutes=30), started=time.monotonic() - 1_801)

    assert (
        found.over() == "The budget of 30 minutes is over: 0.2500 USD were spent in 30.0 minutes."
    )
    assert budget(tmp_path, limits=Limits(budget_minutes=30)).over() == ""


def test_without_limits_nothing_is_ever_over(tmp_path):
    found = budget(tmp_path, limits=Limits(), started=time.monotonic() - 1e9)

    found.spend(1e9)

    assert found.over() == ""


def test_a_worker_that_takes_anothers_place_adds_to_its_slot(tmp_path):
    prepare(tmp_path, 2, 0.0)
    with budget(tmp_path, 1) as killed:
        killed.spend(3.0)

    with budget(tmp_path, 1) as replacement:
        replacement.spend(1.0)

    assert budget(tmp_path, 0).spent_usd() == pytest.approx(4.0)


def test_a_new_run_begins_with_what_the_journals_say(tmp_path):
    prepare(tmp_path, 1, 0.0)
    straggler = budget(tmp_path)
    straggler.spend(4.0)

    prepare(tmp_path, 1, 2.0)
    straggler.spend(0.5)

    assert budget(tmp_path).spent_usd() == pytest.approx(2.0)


def test_on_a_node_where_nobody_prepared_it_the_count_begins_with_earlier_runs(tmp_path):
    first = budget(tmp_path, 7, spent_usd=1.0)
    first.spend(2.0)

    second = budget(tmp_path, 3, spent_usd=1.0)

    assert second.spent_usd() == pytest.approx(3.0)


@pytest.mark.parametrize("usd", [-0.01, float("nan"), float("inf")])
def test_what_is_no_amount_is_refused_and_changes_nothing(tmp_path, usd):
    found = budget(tmp_path)

    with pytest.raises(ValueError, match="0 or above"):
        found.spend(usd)

    assert found.spent_usd() == 0


@pytest.mark.parametrize("slot", [-1, 4_096])
def test_a_slot_that_does_not_exist_is_refused(tmp_path, slot):
    with pytest.raises(ValueError, match="slot"):
        budget(tmp_path, slot)


def _worker(folder: Path, slot: int, stop_at: float) -> None:
    with budget(folder, slot, Limits(budget_usd=stop_at)) as found:
        while not found.over():
            found.spend(0.01)


def test_many_processes_overshoot_by_no_more_than_their_calls_in_flight(tmp_path):
    prepare(tmp_path, 4, 0.5)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_worker, args=(tmp_path, n, 20.0)) for n in range(4)]
    for worker in workers:
        worker.start()

    for worker in workers:
        worker.join(60)

    spent = budget(tmp_path).spent_usd()
    assert 20.0 <= spent <= 20.0 + 4 * 0.01 + 1e-9


def test_asking_is_cheap(tmp_path):
    prepare(tmp_path, 64, 0.0)
    found = budget(tmp_path, limits=Limits(budget_usd=5, budget_minutes=5))
    fastest = min(_seconds_of_a_thousand(found) for _ in range(20))

    assert fastest / 1_000 < 25e-6


def _seconds_of_a_thousand(found):
    start = time.perf_counter()
    for _ in range(1_000):
        found.over()
    return time.perf_counter() - start
