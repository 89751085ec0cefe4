import math

import numpy as np
import pytest

from expplat.stats.e_values import e_bh, mean_e


def test_the_claims_that_stand_are_those_found_by_hand():
    assert e_bh((10, 45, 1, 30), 0.1) == (False, True, False, True)


def test_a_claim_at_its_edge_stands():
    assert e_bh((20.0, 20.0, 0.0, 0.0), 0.1) == (True, True, False, False)
    assert e_bh((19.9, 19.9, 0.0, 0.0), 0.1) == (False,) * 4


def test_a_smaller_one_pulls_a_larger_one_along():
    assert e_bh((21.0, 20.0), 0.1) == (True, True)
    assert e_bh((19.0, 10.0), 0.1) == (True, True)
    assert e_bh((19.0, 9.9), 0.1) == (False, False)


def test_certainty_and_nothing_are_fine():
    assert e_bh((math.inf, 0.0), 0.05) == (True, False)
    assert e_bh((), 0.05) == ()


def test_few_of_the_claims_that_stand_are_false_however_they_hang_together():
    """Normal e-values that share half of their noise; three of eight claims are true."""
    generator, shares = np.random.default_rng(4), []
    truth = np.array([3.5] * 3 + [0.0] * 5)
    for _ in range(3_000):
        z = truth + math.sqrt(0.5) * (generator.normal() + generator.normal(size=8))
        stands = np.array(e_bh(np.exp(3 * z - 4.5), 0.2))
        shares.append((stands & (truth == 0)).sum() / max(1, stands.sum()))

    assert np.mean(shares) <= 0.2


@pytest.mark.parametrize("alpha", [0.0, 1.0, math.nan])
def test_an_alpha_that_is_none_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha"):
        e_bh((1.0,), alpha)


@pytest.mark.parametrize("broken", [-0.1, math.nan])
def test_an_e_value_that_is_none_is_refused(broken):
    with pytest.raises(ValueError, match="e-value"):
        e_bh((1.0, broken))
    with pytest.raises(ValueError, match="e-value"):
        mean_e((1.0, broken))


def test_evidence_merges_by_its_mean():
    assert mean_e((1, 9)) == 5
    assert mean_e((1e308, 1e308)) == pytest.approx(1e308)


def test_a_mean_of_none_is_refused():
    with pytest.raises(ValueError, match="mean"):
        mean_e(())
