import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expplat.stats.pairing import numbered

NAMES = st.lists(st.integers(-3, 6), max_size=30)
TYPES = st.sampled_from([np.int64, np.int32, np.int8])


@settings(deadline=None)
@given(NAMES, TYPES)
def test_an_array_of_whole_numbers_is_numbered_as_the_same_list(names, kind):
    found = numbered(np.array(names, dtype=kind), len(names))

    assert found.dtype == np.intp
    assert found.tolist() == numbered(names, len(names)).tolist()


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**63 - 1), unique=True, max_size=30))
def test_distinct_numbers_are_each_their_own_cluster(names):
    found = numbered(np.array(names, dtype=np.uint64), len(names))

    assert found.tolist() == list(range(len(names)))


@settings(deadline=None)
@given(NAMES)
def test_what_is_numbered_already_stays_as_it_is(names):
    once = numbered(np.array(names, dtype=np.int64), len(names))

    assert numbered(once, len(names)) is once


def test_names_in_an_array_are_numbered_in_the_order_in_which_they_come():
    assert numbered(np.array(["b", "a", "b", "c"]), 4).tolist() == [0, 1, 0, 2]


def test_nobody_is_in_a_cluster_where_there_are_none():
    assert numbered(None, 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("clusters", [[1, 2], np.array([1, 2])])
def test_clusters_that_do_not_fit_the_pairs_are_refused(clusters):
    with pytest.raises(ValueError, match="2 clusters do not fit 3 pairs"):
        numbered(clusters, 3)
