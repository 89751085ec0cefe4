import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.stats.retention import Cohort, retained, retention_difference
from expplat.stats.two_proportions import Counts, difference


def test_only_units_whose_day_was_observed_are_counted():
    cohort = Cohort({"a": 0, "b": 0, "c": 5}, [("a", 7), ("b", 6), ("c", 8)])

    assert retained(cohort, day=7, observed_until=8) == Counts(1, 2)
    assert retained(cohort, day=7, observed_until=12) == Counts(1, 3)
    assert retained(cohort, day=7, observed_until=6) == Counts(0, 0)


def test_a_unit_is_retained_once_however_active_it_is():
    cohort = Cohort({"a": 0, "b": 3}, [("a", 1), ("a", 1), ("b", 4), ("a", 2)])

    assert retained(cohort, day=1, observed_until=10) == Counts(2, 2)


def test_an_activity_of_a_unit_that_was_never_seen_counts_for_nothing():
    assert retained(Cohort({"a": 0}, [("z", 1)]), day=1, observed_until=10) == Counts(0, 1)


DAYS = st.integers(0, 20)


@given(
    st.dictionaries(st.integers(0, 9), DAYS),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40))),
    st.integers(1, 14),
    st.integers(0, 40),
)
def test_days_not_yet_observed_change_nothing(first_seen, active, day, until):
    """What happens after the last complete day cannot be seen in the counts."""
    known = [(unit, when) for unit, when in active if when <= until]

    found = retained(Cohort(first_seen, active), day, until)

    assert found == retained(Cohort(first_seen, known), day, until)
    assert found.n == sum(first + day <= until for first in first_seen.values())


@given(DAYS, st.integers(1, 14), st.integers(-700_000, 700_000))
def test_the_calendar_may_begin_on_any_day(until, day, shift):
    first_seen, active = {"a": 0, "b": 4, "c": 9}, [("a", 7), ("b", 11), ("c", 10)]
    moved = Cohort(
        {unit: first + shift for unit, first in first_seen.items()},
        [(unit, when + shift) for unit, when in active],
    )

    assert retained(moved, day, until + shift) == retained(Cohort(first_seen, active), day, until)


def test_the_difference_of_a_published_game_is_the_known_one_and_says_who_was_left_out():
    cohorts = [
        Cohort({**dict.fromkeys(range(n), 0), "late": 5}, ((unit, 7) for unit in range(back)))
        for back, n in ((8_502, 44_700), (8_279, 45_489))
    ]

    found = retention_difference(*cohorts, day=7, observed_until=10)

    assert (found.low, found.high) == pytest.approx((-0.013282, -0.003121), abs=6e-7)
    assert found.p == pytest.approx(0.0015543, abs=1e-7)
    assert found.warnings == ("2 units have not had their day 7 yet and are left out.",)


def test_where_all_were_observed_it_is_the_plain_difference():
    one = Cohort(dict.fromkeys(range(40), 0), [(unit, 1) for unit in range(10)])
    other = Cohort(dict.fromkeys(range(50), 0), [(unit, 1) for unit in range(20)])

    found = retention_difference(one, other, 1, 1, "score", 0.1)

    assert found == difference(Counts(10, 40), Counts(20, 50), "score", 0.1)


def test_before_anyone_had_the_day_there_is_no_estimate():
    cohort = Cohort({"a": 0}, [])

    assert retention_difference(cohort, cohort, day=7, observed_until=3).estimate is None


def test_day_nought_is_refused():
    with pytest.raises(ValueError, match="day 0"):
        retained(Cohort({}, []), day=0, observed_until=3)
