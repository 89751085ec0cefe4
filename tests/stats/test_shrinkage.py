import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from expplat.stats.boundaries import boundaries
from expplat.stats.distributions import critical_z, normal_quantile
from expplat.stats.shrinkage import (
    LEAST_FOR_NORMAL,
    LEAST_FOR_SPIKE,
    PastEffect,
    Prior,
    normal_prior,
    shrunk,
    spike_and_slab_prior,
)

HONEST = Prior(sd=0.6, mean=0.6, null_share=0.7)
"""Seven techniques in ten change nothing; in smallest effects that matter."""


def portfolio(seed, tests, prior=HONEST, error=0.31):
    generator = np.random.default_rng(seed)
    is_null = generator.random(tests) < prior.null_share
    truth = np.where(is_null, 0.0, generator.normal(prior.mean, prior.sd, tests))
    found = truth + generator.normal(0, error, tests)
    return [PastEffect(float(one), error) for one in found]


def test_two_normals_meet_in_the_middle():
    found = shrunk(2.0, 1.0, Prior(sd=1.0))

    assert found.mean == pytest.approx(1.0)
    assert (found.low, found.high) == pytest.approx((-0.3859, 2.3859), abs=5e-5)
    assert found.chance_not_positive == pytest.approx(norm.cdf(-math.sqrt(2)))
    assert found.chance_null == 0


def test_a_spike_takes_its_share_by_the_odds():
    found = shrunk(2.0, 1.0, Prior(sd=1.0, null_share=0.5))

    null = norm.pdf(2) / (norm.pdf(2) + norm.pdf(2 / math.sqrt(2)) / math.sqrt(2))
    assert found.chance_null == pytest.approx(null)
    assert null == pytest.approx(0.3422, abs=5e-5)
    assert found.mean == pytest.approx(1 - null)


@settings(max_examples=40)
@given(
    st.floats(-3, 3),
    st.floats(0.05, 2),
    st.builds(Prior, sd=st.floats(0.1, 2), null_share=st.floats(0, 0.95), mean=st.floats(-1, 1)),
)
def test_the_posterior_is_that_of_bayes_added_up(estimate, error, prior):
    reach = 12 * error
    effects = np.linspace(
        min(estimate, prior.mean) - reach, max(estimate, prior.mean) + reach, 200_001
    )
    slab = norm.pdf(effects, prior.mean, prior.sd) * norm.pdf(estimate, effects, error)
    weights = (1 - prior.null_share) * slab * (effects[1] - effects[0])
    real, first = weights.sum(), weights @ effects
    null = prior.null_share * norm.pdf(estimate, 0, error)

    found = shrunk(estimate, error, prior)

    assert found.mean == pytest.approx(first / (real + null), rel=1e-4, abs=1e-6)
    assert found.chance_null == pytest.approx(null / (real + null), rel=1e-4, abs=1e-9)
    assert found.low <= found.high


def test_the_interval_holds_what_it_says_also_where_zero_has_a_mass():
    found = shrunk(1.0, 0.5, Prior(sd=1.0, null_share=0.3), alpha=0.2)
    middle, spread = 0.8, math.sqrt(0.2)

    def below(x):
        return (1 - found.chance_null) * norm.cdf(x, middle, spread) + found.chance_null * (x >= 0)

    assert found.low == 0.0
    assert below(-1e-9) < 0.1 < below(0.0)
    assert below(found.high) == pytest.approx(0.9)


def test_an_exact_estimate_is_believed_and_a_rough_one_is_not():
    prior = Prior(sd=0.5)

    assert shrunk(0.4, 1e-6, prior).mean == pytest.approx(0.4)
    assert shrunk(0.4, 1e6, prior).mean == pytest.approx(0.0, abs=1e-9)


def test_a_world_of_nulls_stays_at_zero():
    found = shrunk(3.0, 1.0, Prior(sd=1.0, null_share=1.0))

    assert found == (0.0, 0.0, 0.0, 1.0, 1.0)


def test_with_equal_errors_likelihood_is_the_method_of_moments():
    past = [PastEffect(sign * math.sqrt(5), 1.0) for sign in (1, -1) * 10]

    assert normal_prior(past).prior.sd == pytest.approx(2.0)
    assert normal_prior(past).prior.effects == 20


def test_uneven_errors_count_by_what_they_know():
    known = [PastEffect(sign * 2.0, 0.1) for sign in (1, -1) * 10]
    noise = [PastEffect(sign * 40.0, 40.0) for sign in (1, -1) * 10]

    assert normal_prior(known + noise).prior.sd == pytest.approx(2.0, rel=0.02)


def test_a_large_portfolio_gives_its_prior_back():
    found = spike_and_slab_prior(portfolio(2, 4_000)).prior

    assert found.null_share == pytest.approx(0.7, abs=0.06)
    assert found.mean == pytest.approx(0.6, abs=0.12)
    assert found.sd == pytest.approx(0.6, abs=0.08)


def test_no_other_share_is_likelier_than_the_one_found():
    past = portfolio(9, 300)
    found = spike_and_slab_prior(past).prior
    estimates = np.array([one.estimate for one in past])
    errors = np.array([one.standard_error for one in past])

    def likelihood(share, mean, sd):
        null = norm.pdf(estimates, 0, errors)
        return np.sum(np.log(share * null + (1 - share) * norm.pdf(
            estimates, mean, np.hypot(sd, errors))))  # fmt: skip

    best = likelihood(found.null_share, found.mean, found.sd)
    for move in (-0.02, 0.02):
        assert best >= likelihood(found.null_share + move, found.mean, found.sd)
        assert best >= likelihood(found.null_share, found.mean + move, found.sd)
        assert best >= likelihood(found.null_share, found.mean, found.sd + move)


@pytest.mark.parametrize(
    ("make", "least"),
    [(normal_prior, LEAST_FOR_NORMAL), (spike_and_slab_prior, LEAST_FOR_SPIKE)],
)
def test_too_few_past_effects_give_no_prior_and_enough_give_one(make, least):
    enough = portfolio(4, least)

    assert make(enough).prior is not None
    assert make(enough[1:]).prior is None
    assert str(least - 1) in make(enough[1:]).reason
    assert make([]).prior is None


@pytest.mark.parametrize("make", [normal_prior, spike_and_slab_prior])
def test_effects_that_only_chance_spreads_give_no_prior(make):
    past = [PastEffect(sign * 0.5, 1.0) for sign in (1, -1) * 40]

    assert "chance alone" in make(past).reason


@given(st.sampled_from([1e-9, 1e-3, 1e3, 1e9]))
def test_the_unit_of_the_metric_changes_nothing(scale):
    plain = portfolio(6, 60)
    scaled = [PastEffect(one * scale, error * scale) for one, error in plain]

    for make in (normal_prior, spike_and_slab_prior):
        one, other = make(plain).prior, make(scaled).prior
        assert other.sd == pytest.approx(one.sd * scale, rel=1e-5)
        assert shrunk(scale, 0.4 * scale, other).mean == pytest.approx(
            shrunk(1.0, 0.4, one).mean * scale, rel=1e-5
        )


@pytest.mark.parametrize(
    "ask",
    [
        lambda: Prior(sd=0.0),
        lambda: Prior(sd=1.0, null_share=1.5),
        lambda: Prior(sd=1.0, mean=math.nan),
        lambda: shrunk(1.0, 0.0, HONEST),
        lambda: shrunk(math.inf, 1.0, HONEST),
        lambda: shrunk(1.0, 1.0, HONEST, alpha=0.0),
        lambda: normal_prior([PastEffect(1.0, 0.0)]),
        lambda: spike_and_slab_prior([PastEffect(math.nan, 1.0)]),
    ],
)
def test_what_is_no_effect_or_no_prior_is_refused(ask):
    with pytest.raises(ValueError, match=r".+"):
        ask()


def graduates(tests=40_000, looks=100):
    """Estimates, errors and truths of the tests that a planned sequential test let through."""
    generator = np.random.default_rng(5)
    times = np.arange(1, looks + 1) / looks
    drift = critical_z(0.05) + normal_quantile(0.9)
    is_null = generator.random(tests) < HONEST.null_share
    truth = np.where(is_null, 0.0, generator.normal(HONEST.mean, HONEST.sd, tests))
    steps = generator.standard_normal((tests, looks)) / math.sqrt(looks)
    paths = np.cumsum(steps, axis=1) + truth[:, None] * drift * times
    crossed = paths / np.sqrt(times) > np.array(boundaries(list(times)))
    won = np.flatnonzero(crossed.any(axis=1))
    at = crossed.argmax(axis=1)[won]
    return paths[won, at] / times[at] / drift, 1 / (drift * np.sqrt(times[at])), truth[won]


@pytest.mark.long
def test_the_right_prior_takes_the_curse_from_winners_and_a_plain_normal_takes_too_much():
    estimates, errors, truths = graduates()

    def after(prior):
        pairs = zip(estimates, errors, strict=True)
        return [shrunk(float(one), float(error), prior) for one, error in pairs]

    honest, plain = after(HONEST), after(Prior(sd=math.sqrt(0.3 * (0.6**2 + 0.6**2))))
    bias = {
        "raw": estimates - truths,
        "spike and slab": np.array([one.mean for one in honest]) - truths,
        "normal": np.array([one.mean for one in plain]) - truths,
    }
    for name, distances in bias.items():
        print(name, distances.mean(), np.sqrt((distances**2).mean()))

    assert bias["raw"].mean() == pytest.approx(0.34, abs=0.02)
    assert bias["normal"].mean() == pytest.approx(-0.25, abs=0.02)
    assert bias["spike and slab"].mean() == pytest.approx(0.003, abs=0.02)
    assert np.sqrt((bias["raw"] ** 2).mean()) == pytest.approx(0.574, abs=0.02)
    assert np.sqrt((bias["spike and slab"] ** 2).mean()) == pytest.approx(0.409, abs=0.02)
    not_positive = np.mean([one.chance_not_positive for one in honest])
    assert not_positive == pytest.approx(np.mean(truths <= 0), abs=0.015)
    assert np.mean(truths == 0) == pytest.approx(0.11, abs=0.015)
