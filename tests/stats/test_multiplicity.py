import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from expplat.stats.multiplicity import (
    CORRECTIONS,
    benjamini_hochberg,
    bonferroni,
    holm,
    hommel,
    unadjusted,
)

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=6)
NAMES = {"holm": "holm", "hommel": "hommel", "bh": "fdr_bh", "bonferroni": "bonferroni"}


def closed_test(p_values, of_a_set):
    """The closed test: a question passes only if every set that holds it does."""
    places = range(len(p_values))
    asked = [s for size in places for s in itertools.combinations(places, size + 1)]
    return [
        max(min(1.0, of_a_set(sorted(p_values[i] for i in s))) for s in asked if place in s)
        for place in places
    ]


def test_three_p_values_are_adjusted_as_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))


@given(P_VALUES)
def test_holm_is_the_closed_test_by_the_smallest_p_value(p_values):
    expected = closed_test(p_values, lambda asked: len(asked) * asked[0])

    assert holm(p_values) == pytest.approx(tuple(expected))


@given(P_VALUES)
def test_hommel_is_the_closed_test_by_simes(p_values):
    expected = closed_test(
        p_values, lambda asked: min(len(asked) * p / (rank + 1) for rank, p in enumerate(asked))
    )

    assert hommel(p_values) == pytest.approx(tuple(expected))


# Few examples: statsmodels' Holm collects garbage in every call.
@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize("name", NAMES)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_each_agrees_with_statsmodels(name, p_values):
    expected = multipletests(p_values, method=NAMES[name])[1]

    assert CORRECTIONS[name](p_values) == pytest.approx(tuple(expected), rel=1e-9, abs=1e-12)


def test_the_corrections_are_named_and_the_last_one_leaves_all_as_it_is():
    assert list(CORRECTIONS) == ["holm", "hommel", "bh", "bonferroni", "none"]
    assert CORRECTIONS["none"]([0.2, None, 0.1]) == (0.2, None, 0.1)


@pytest.mark.parametrize(
    ("correct", "p_values", "expected"),
    [
        (bonferroni, [0.01, 0.04, 0.5], (0.03, 0.12, 1)),
        (hommel, [0.04, 0.04, 0.04], (0.04, 0.04, 0.04)),
        (benjamini_hochberg, [0.01, 0.04, 0.03], (0.03, 0.04, 0.04)),
        (unadjusted, [0.01, 0.04], (0.01, 0.04)),
    ],
)
def test_the_numbers_of_the_docstrings_are_right(correct, p_values, expected):
    assert correct(p_values) == pytest.approx(expected)


@pytest.mark.parametrize("correct", [holm, bonferroni, hommel, benjamini_hochberg])
@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8))
def test_an_unknown_p_value_counts_as_one_and_stays_unknown(correct, p_values):
    known = correct([1.0 if p is None else p for p in p_values])

    found = correct(p_values)

    expected = [None if p is None else k for p, k in zip(p_values, known, strict=True)]
    assert list(found) == [None if e is None else pytest.approx(e) for e in expected]


def test_a_question_without_a_p_value_still_counts_as_asked():
    assert holm([0.01, None]) == (0.02, None)
    assert holm([]) == ()


@pytest.mark.parametrize("correct", CORRECTIONS.values())
@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_what_is_no_p_value_is_refused(correct, p):
    with pytest.raises(ValueError, match="p-value"):
        correct([p])
