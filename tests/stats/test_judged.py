import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from expplat.stats.judged import LEAST_LABELS, Scored, judged_difference, judged_mean
from expplat.stats.paired import mean_difference


def answers(seed, n=60, m=600, noise=0.5, bias=0.4):
    """Labels of n units, and a judge of n + m that is too kind and somewhat noisy."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(0.6, 1.0, n + m)
    scores = truth + bias + generator.normal(0, noise, n + m)
    return Scored(truth[:n], scores[:n], scores[n:])


def width(found):
    return found.high - found.low


def test_a_judge_that_is_kinder_than_people_is_corrected():
    found = judged_mean(answers(1, bias=7.0)).interval
    fair = judged_mean(answers(1, bias=0.0)).interval

    assert found.estimate == pytest.approx(fair.estimate)
    assert width(found) == pytest.approx(width(fair))


def test_a_good_judge_makes_the_interval_narrower_and_says_by_how_much():
    found = judged_mean(answers(2, noise=0.3))

    assert width(found.interval) < 0.6 * width(found.classic)
    assert found.worth > 3
    assert 0.7 < found.trust < 1.0


def test_the_weight_is_that_by_hand():
    labels = np.tile([1.0, 2.0, 3.0, 4.0], 10)
    others = np.tile([11.0, 12.0, 13.0, 14.0], 20)

    found = judged_mean(Scored(labels, labels + 10, others))

    assert found.trust == pytest.approx((40 / 39) / (1.5 * 120 / 119))
    assert found.interval.estimate == pytest.approx(2.5)


def test_the_labels_alone_are_the_t_interval():
    scored = answers(3)

    classic = judged_mean(scored).classic

    expected = scipy_stats.ttest_1samp(scored.labels, 0).confidence_interval(0.95)
    assert (classic.low, classic.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("kept", ["few labels", "one score for all", "no other scores"])
def test_where_the_judge_has_nothing_to_say_the_classic_interval_stands(kept):
    labels, scores, others = answers(4)
    scored = {
        "few labels": Scored(labels[: LEAST_LABELS - 1], scores[: LEAST_LABELS - 1], others),
        "one score for all": Scored(labels, scores * 0 + 0.7, others * 0 + 0.7),
        "no other scores": Scored(labels, scores, []),
    }[kept]

    found = judged_mean(scored)

    assert found.trust == 0
    assert found.interval == found.classic
    assert found.worth == 1


def test_a_judge_that_rolls_dice_is_hardly_listened_to():
    labels, scores, others = answers(5, n=400, m=4_000)
    dice = np.random.default_rng(6)

    found = judged_mean(Scored(labels, dice.permutation(scores), others))

    assert abs(found.trust) < 0.15
    assert width(found.interval) == pytest.approx(width(found.classic), rel=0.02)


def test_a_judge_that_says_the_opposite_is_as_good_as_one_that_is_right():
    labels, scores, others = answers(7)

    found = judged_mean(Scored(labels, -scores, -others))

    assert found.trust == pytest.approx(-judged_mean(answers(7)).trust)
    assert found.interval.low == pytest.approx(judged_mean(answers(7)).interval.low)


def test_the_variance_of_the_labels_is_that_of_estimates_made_without_each():
    labels, scores, others = answers(8, n=LEAST_LABELS + 1, m=50)

    def without(i):
        kept = Scored(np.delete(labels, i), np.delete(scores, i), others)
        return judged_mean(kept).interval.estimate

    n = len(labels)
    estimates = np.array([without(i) for i in range(n)])
    found = judged_mean(Scored(labels, scores, others))
    from_scores = found.trust**2 * others.var(ddof=1) / len(others)
    jackknife = np.sum((estimates - estimates.mean()) ** 2) * (n - 1) / n
    assert found.interval.standard_error**2 == pytest.approx(jackknife + from_scores, rel=1e-9)


def test_one_odd_score_among_equal_ones_breaks_nothing():
    labels = np.tile([0.0, 1.0], 20)
    scores = np.zeros(40)
    scores[1] = 1.0

    found = judged_mean(Scored(labels, scores, np.zeros(100))).interval

    assert found.low < 0.5 < found.high


def test_a_difference_is_the_mean_of_the_paired_differences():
    control, treatment = answers(9), answers(10)

    found = judged_difference(control, treatment)

    alone = mean_difference(control.labels, treatment.labels)
    assert found.classic.low == pytest.approx(alone.low)
    assert found.classic.high == pytest.approx(alone.high)
    assert found.interval.n == len(control.labels)


def test_two_variants_that_answer_alike_have_a_difference_without_width():
    found = judged_difference(answers(11), answers(11))

    assert (found.interval.low, found.interval.high) == (0, 0)
    assert found.worth is None


def test_labels_that_were_picked_by_the_judge_are_reported():
    labels, scores, others = answers(12, n=300)
    best = scores > np.median(scores)

    found = judged_mean(Scored(labels[best], scores[best], others)).interval

    assert "no random sample" in found.warnings[0]
    assert judged_mean(answers(12, n=300)).interval.warnings == ()


@given(st.integers(0, 1_000), st.sampled_from([1e-9, 1e-3, 1e3, 1e9]))
def test_the_unit_changes_nothing(seed, scale):
    plain = answers(seed)
    scaled = judged_mean(Scored(*(np.asarray(column) * scale for column in plain)))

    found = judged_mean(plain)

    assert scaled.interval.low == pytest.approx(found.interval.low * scale, rel=1e-9)
    assert scaled.interval.p == pytest.approx(found.interval.p, rel=1e-6)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_value_that_is_missing_gives_no_number(place):
    columns = [np.array(column) for column in answers(13)]
    columns[place][3] = math.nan

    found = judged_mean(Scored(*columns))

    assert found.interval.low is None
    assert "missing" in found.interval.warnings[0]


def test_no_label_at_all_gives_no_number():
    assert judged_mean(Scored([], [], [1.0, 2.0])).interval.low is None


@pytest.mark.parametrize(
    "ask",
    [
        lambda: judged_mean(Scored([1.0, 2.0], [1.0], [1.0])),
        lambda: judged_mean(Scored([1.0], [1.0], [[1.0]])),
        lambda: judged_mean(answers(1), alpha=1.5),
        lambda: judged_difference(answers(1), answers(1, n=59)),
        lambda: judged_difference(answers(1), answers(1, m=7)),
    ],
)
def test_columns_that_do_not_fit_are_refused(ask):
    with pytest.raises(ValueError, match=r".+"):
        ask()


def normal(generator, n):
    labels = generator.normal(0, 1, n)
    return labels, 0.8 * labels + 0.6 * generator.normal(0, 1, n) + 0.5, 0.0


def yes_or_no(generator, n):
    labels = (generator.random(n) < 0.7).astype(float)
    return labels, np.where(generator.random(n) < 0.85, labels, 1 - labels), 0.7


def useless(generator, n):
    return generator.normal(0, 1, n), generator.normal(0, 1, n), 0.0


def exact(generator, n):
    labels = generator.normal(0, 1, n)
    return labels, labels + 1, 0.0


@pytest.mark.long
@pytest.mark.parametrize("world", [normal, yes_or_no, useless, exact])
@pytest.mark.parametrize(("n", "m"), [(30, 500), (100, 2_000), (100, 100)])
def test_intervals_hold_what_people_would_say_as_often_as_they_promise(world, n, m):
    generator, runs, hits, ratio = np.random.default_rng(14), 3_000, 0, 0.0
    for _ in range(runs):
        labels, scores, truth = world(generator, n + m)
        found = judged_mean(Scored(labels[:n], scores[:n], scores[n:]))
        hits += found.interval.low <= truth <= found.interval.high
        ratio += width(found.interval) / width(found.classic) / runs

    print(f"{world.__name__} {n}+{m}: coverage {hits / runs:.4f}, width {ratio:.3f} of classic")
    assert hits / runs >= 0.935
    assert ratio < (1.05 if world is useless else 0.95)


@pytest.mark.long
def test_differences_of_variants_are_held_as_often_as_promised():
    generator, runs, hits = np.random.default_rng(15), 3_000, 0
    for _ in range(runs):
        common = generator.normal(0, 1, 560)
        arms = []
        for gain, bias in ((0.0, 0.3), (0.1, 0.5)):
            truth = common + gain + generator.normal(0, 0.5, 560)
            scores = truth + bias + generator.normal(0, 0.4, 560)
            arms.append(Scored(truth[:60], scores[:60], scores[60:]))
        found = judged_difference(*arms).interval
        hits += found.low <= 0.1 <= found.high

    print(f"difference: coverage {hits / runs:.4f}")
    assert 0.935 <= hits / runs <= 0.97
