import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expplat.stats.max_t import max_t
from expplat.stats.multiplicity import holm
from expplat.stats.paired import mean_difference

SEEDS = st.integers(0, 10_000)


def correlated(seed, n=200, k=4, shift=0.15):
    """Columns that share most of what moves them; the first ones are shifted."""
    generator = np.random.default_rng(seed)
    table = 0.9 * generator.normal(size=(n, 1)) + 0.43 * generator.normal(size=(n, k))
    return table + shift * (np.arange(k) < 2)


def by_t_statistics(table):
    """All sign flips, with Student's t of each column recomputed in every one."""

    def size_of_t(rows):
        return np.abs(rows.mean(0)) / (rows.std(0, ddof=1) / np.sqrt(len(rows)))

    observed, k = size_of_t(table), table.shape[1]
    flips = [np.array(s)[:, None] for s in itertools.product((1, -1), repeat=len(table))]
    drawn = np.array([size_of_t(table * flip) for flip in flips])
    order = sorted(range(k), key=lambda j: -observed[j])
    adjusted, largest = [0.0] * k, 0.0
    for rank, j in enumerate(order):
        reached = drawn[:, order[rank:]].max(axis=1) >= observed[j] * (1 - 1e-9)
        largest = max(largest, float(reached.mean()))
        adjusted[j] = largest
    return adjusted


def test_one_column_has_the_share_of_sign_flips_that_are_as_extreme():
    assert max_t([[1], [2], [3], [4], [5]]) == (2 / 32,)


def test_a_column_of_nothing_has_a_p_value_of_one_and_costs_the_others_nothing():
    assert max_t([[1, 0], [2, 0], [3, 0], [4, 0], [5, 0]]) == (2 / 32, 1.0)


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_few_rows_get_the_exact_step_down_of_t_statistics(seed):
    table = correlated(seed, n=8, k=3, shift=0.8)

    assert max_t(table) == pytest.approx(by_t_statistics(table), abs=1e-12)


def test_drawn_sign_flips_come_close_to_all_of_them():
    table = correlated(1, n=12, k=3, shift=0.8)
    every = max_t(table)

    drawn = max_t(table, resamples=4_000)

    assert len(set(every) & set(drawn)) == 0
    assert drawn == pytest.approx(every, abs=0.03)


def test_one_question_agrees_with_the_t_test():
    table = correlated(2, n=300)[:, :1]

    (found,) = max_t(table)

    assert found == pytest.approx(mean_difference(np.zeros(300), table[:, 0]).p, abs=0.02)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_no_adjusted_p_value_is_below_its_own_and_the_order_is_kept(seed):
    table = correlated(seed, n=40)
    alone = [max_t(table[:, [j]], resamples=999)[0] for j in range(4)]

    found = max_t(table, resamples=999)

    # The same seed draws the same flips for one column as for all.
    assert all(p >= own for p, own in zip(found, alone, strict=True))
    strongest = int(np.argmax(np.abs(table.mean(0) / table.std(0))))
    assert found[strongest] == min(found)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from([1e-9, 1e-3, 7.0, 1e6, 1e9]))
def test_the_unit_of_a_column_changes_no_p_value(seed, scale):
    table = correlated(seed, n=40)
    plain = max_t(table, resamples=999)

    scaled = max_t(table * np.array([scale, 1, 1, 1 / scale]), resamples=999)

    assert scaled == pytest.approx(plain, abs=1e-7)


def test_where_questions_correlate_it_is_stricter_than_none_and_milder_than_holm():
    table = correlated(3)
    alone = [mean_difference(np.zeros(200), column).p for column in table.T]

    found = max_t(table)

    strongest = int(np.argmin(alone))
    assert alone[strongest] < found[strongest] < 0.9 * holm(alone)[strongest]


def test_whole_clusters_turn_their_sign():
    table = np.repeat(correlated(4, n=9, k=2, shift=0.8), 6, axis=0)

    found = max_t(table, np.repeat(range(9), 6))

    assert found == pytest.approx(max_t(table[::6]))
    assert max_t(table)[0] < found[0]


def test_the_same_seed_gives_the_same_p_values_and_another_seed_others():
    table = correlated(5, n=50, shift=0.1)

    assert max_t(table, seed=1) == max_t(table, seed=1)
    assert max_t(table, seed=1) != max_t(table, seed=2)


def test_ten_thousand_rows_of_four_questions_take_seconds():
    table = correlated(6, n=10_000)
    start = time.process_time()

    max_t(table)

    assert time.process_time() - start < 10


def test_no_questions_have_no_answers():
    assert max_t(np.empty((5, 0))) == ()


@pytest.mark.parametrize(
    ("table", "clusters", "resamples", "message"),
    [
        ([1.0, 2.0], None, 99, "table"),
        (np.empty((0, 2)), None, 99, "row"),
        ([[1.0], [np.nan]], None, 99, "finite"),
        ([[1.0], [2.0]], ["a"], 99, "do not fit"),
        ([[1.0], [2.0]], None, 0, "at least one resample"),
    ],
)
def test_what_is_no_table_of_differences_is_refused(table, clusters, resamples, message):
    with pytest.raises(ValueError, match=message):
        max_t(table, clusters, resamples=resamples)
