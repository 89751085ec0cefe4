"""spotify-confidence: z and t tests, margins, Bonferroni, planned boundaries, a split.

Its boundaries come from a trapezoid on a grid of a twentieth of a standard deviation, and from a
search that stops within 1e-7 of the error to spend, which is a hundredth of what an early look of
many has. Measured on these plans: up to 5.4e-4 from ours; up to 7.8e-5 with its search at 1e-10,
and a quarter of that with half its grid, so that it is the grid and the search that part us. Hence
the tolerance here; `tests/stats` holds ours against exact integrals and published tables.

Not held against: adjusted intervals of methods other than Bonferroni, which are its own, and its
p-values in sequential mode, which it removes.
"""

from __future__ import annotations

import json
import math

import pytest

from expplat.stats.boundaries import boundaries
from expplat.stats.distributions import critical_z, normal_p, normal_tail
from expplat.stats.moments import of_proportion
from expplat.stats.spending import spend_power
from expplat.stats.srm import chi_square_p
from expplat.stats.two_proportions import difference as difference_of_proportions
from expplat.stats.two_sample import difference, standard_error
from tests.peers.asking import agrees, as_recorded, ask, long_and_with_peers, recorded
from tests.peers.comparing import (
    ASKED,
    COUNTS,
    LARGE_SPLITS,
    SAMPLES,
    assert_same,
    both,
    mean_of,
)

ANSWERS = recorded("spotify_confidence")
ALPHAS = [str(alpha) for alpha in ASKED["alphas"]]
RESOLVED = 6e-4
MARGIN = 0.05
"""Of control's mean, as it was asked."""


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_difference_of_means_by_t_is_the_same(sample: str, alpha: str) -> None:
    found = difference(*both(sample, mean_of), alpha=float(alpha))

    assert_same(found, ANSWERS["mean"][sample]["t"][alpha])


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_standard_error_is_the_one_behind_its_z(sample: str) -> None:
    control, treatment = both(sample, mean_of)
    answer = ANSWERS["mean"][sample]["z"]["0.05"]

    error = standard_error(control, treatment)

    assert error == agrees((answer["high"] - answer["low"]) / 2 / critical_z(0.05))
    assert normal_p((treatment.mean - control.mean) / error) == agrees(answer["p"])


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("counts", ["common", "many", "equal"])
def test_the_interval_of_two_proportions_is_the_same(counts: str, alpha: str) -> None:
    """Its p-value takes the unpooled error, ours the pooled one; where events are scarce we leave
    z altogether."""
    answer = ANSWERS["proportion"][counts]["z"][alpha]

    found = difference_of_proportions(*COUNTS[counts], method="z", alpha=float(alpha))

    assert (found.estimate, found.low, found.high) == (
        pytest.approx(answer["estimate"], rel=1e-9, abs=1e-15),
        agrees(answer["low"]),
        agrees(answer["high"]),
    )


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_margin_is_judged_by_the_same_error(sample: str) -> None:
    """It counts control's mean behind the relative margin as known."""
    control, treatment = both(sample, mean_of)
    more, less = (ANSWERS["mean"][sample][name] for name in ("margin", "margin of less"))
    apart, margin = treatment.mean - control.mean, MARGIN * control.mean

    error = standard_error(control, treatment)

    assert error is not None
    assert normal_tail((apart + margin) / error) == agrees(more["p"])
    assert normal_tail((margin - apart) / error) == agrees(less["p"])
    assert apart - critical_z(0.1) * error == agrees(more["low"])
    assert apart + critical_z(0.1) * error == agrees(less["high"])


@pytest.mark.parametrize("counts", COUNTS)
def test_a_margin_of_a_proportion_is_judged_by_the_same_error(counts: str) -> None:
    arms = [of_proportion(*arm) for arm in COUNTS[counts]]
    answer = ANSWERS["proportion"][counts]["margin"]
    apart = arms[1].mean - arms[0].mean

    error = math.sqrt(sum(arm.m2 / arm.n**2 for arm in arms))

    assert normal_tail((apart + MARGIN * arms[0].mean) / error) == agrees(answer["p"])


@pytest.mark.parametrize("sample", SAMPLES)
def test_bonferroni_takes_the_interval_at_a_share_of_alpha(sample: str) -> None:
    control, treatment = both(sample, mean_of)
    answer = ANSWERS["bonferroni"][sample]

    half = critical_z(0.05 / 2) * (standard_error(control, treatment) or math.nan)

    assert treatment.mean - control.mean - half == agrees(answer["low"])
    assert treatment.mean - control.mean + half == agrees(answer["high"])


@pytest.mark.parametrize("split", LARGE_SPLITS)
def test_the_fixed_test_of_a_split_is_the_same(split: str) -> None:
    """It takes one less the lower tail, which holds 1e-16 at best; none asked is that small."""
    asked = ASKED["splits"][split]

    assert chi_square_p(asked["counts"], asked["shares"]) == agrees(ANSWERS["split"][split])


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("plan", ASKED["plans"])
def test_boundaries_are_the_same_as_far_as_it_resolves_them(plan: str, alpha: str) -> None:
    asked = ASKED["plans"][plan]

    found = boundaries(asked["fractions"], float(alpha), spend_power(asked["rho"]))

    assert found[0] == agrees(ANSWERS["boundary"][plan][alpha][0])
    assert found == pytest.approx(ANSWERS["boundary"][plan][alpha], abs=RESOLVED)


class TestAskedAnew:
    pytestmark = long_and_with_peers

    def test_spotify_confidence_says_what_was_recorded(self) -> None:
        assert json.loads(ask("spotify_confidence")) == as_recorded("spotify_confidence")
