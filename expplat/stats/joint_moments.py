"""Sufficient statistics of several columns at once: merged, mapped, and turned into ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from expplat.domain.moments import JointMoments, Moments
from expplat.stats.distributions import Floats

CANCELLED = 64 * 2.0**-52
"""A sum of squares smaller than this share of the terms that made it is rounding."""


@np.errstate(over="ignore", invalid="ignore")
def joint_moments_of(*columns: ArrayLike) -> JointMoments:
    """Return count, means and sums of products of distances from the means.

    Two passes, with the first row as origin and the mean of the distances as a correction, so that
    a mean of 1e9 does not eat a variance of 1. A value that is not finite makes its column's mean
    and products NaN, and leaves the other columns as they are.

    Args:
        columns: At least one, each of shape (n,), with the same units in the same order.

    Returns:
        Means of shape (k,), products of shape (k, k), in the columns' units.

    Raises:
        ValueError: If there is no column, one has not one dimension, or they differ in length.

    Source:
        By hand: 1, 2, 3 and 2, 2, 5 have means 2 and 3, and products 2, 3, 3 and 6.
    """
    values = [np.asarray(column, dtype=np.float64) for column in columns]
    if len({column.shape for column in values}) != 1 or values[0].ndim != 1:
        raise ValueError("columns must be at least one, and of one length")
    if values[0].size == 0:
        return _joint(0, np.zeros(len(values)), np.zeros((len(values), len(values))))
    centred = [_centred(column) for column in values]
    distances = np.stack([column for column, _ in centred])
    means = np.array([mean for _, mean in centred])
    return _joint(len(values[0]), means, distances @ distances.T)


def merge_joint(one: JointMoments, other: JointMoments) -> JointMoments:
    """Return the joint moments of both parts together; a part without units changes nothing.

    Raises:
        ValueError: If both have units, but differ in columns.

    Source:
        Chan, Golub and LeVeque (1979), Stanford STAN-CS-79-773, eq. 2.1, for products as in
        Pébay (2008), Sandia SAND2008-6212, eq. 3.6. By hand: (1, 2), (2, 4) and (3, 0), (4, 2) give
        means 2.5 and 2, and products 5, −2, −2 and 8.
    """
    if one.n == 0 or other.n == 0:
        return one if other.n == 0 else other
    if len(one.means) != len(other.means):
        raise ValueError(f"{len(one.means)} columns cannot be merged with {len(other.means)}")
    n = one.n + other.n
    rests = _rests(one)
    apart = np.subtract(other.means, one.means) + (_rests(other) - rests)
    between = np.outer(apart, apart) * (one.n * other.n / n)
    start, step = np.asarray(one.means), apart * (other.n / n) + rests
    means = start + step
    merged = _joint(n, means, np.asarray(one.products) + other.products + between)
    left = step - (means - start)
    return replace(merged, rests=tuple(left.tolist())) if left.any() else merged


def near(joints: Sequence[JointMoments]) -> tuple[JointMoments, ...]:
    """Return the same moments, with every mean as its distance from the first part's.

    Differences of means of 1e9 then keep the digits that lie in `rests`.

    Raises:
        ValueError: If the parts differ in columns.
    """
    first = joints[0]
    if {len(joint.means) for joint in joints} != {len(first.means)}:
        raise ValueError("the parts differ in their columns")
    apart = [
        np.subtract(joint.means, first.means) + (_rests(joint) - _rests(first)) for joint in joints
    ]
    return tuple(
        replace(joint, means=tuple(means.tolist()), rests=())
        for joint, means in zip(joints, apart, strict=True)
    )


def marginal(joint: JointMoments, place: int = 0) -> Moments:
    """Return the moments of one column.

    Raises:
        IndexError: If there is no such column.
    """
    return Moments(n=joint.n, mean=joint.means[place], m2=joint.products[place][place])


def linear_map(
    joint: JointMoments, rows: Sequence[Sequence[float]], offsets: Sequence[float]
) -> JointMoments:
    """Return the joint moments of new columns, each a weighted sum of the old ones and an offset.

    What cancels down to rounding counts as constant: x − x has no variance, not one of 1e-17.

    Args:
        joint: Moments of k columns.
        rows: Shape (m, k): the weights of each new column.
        offsets: Shape (m,): what is added to each new column.

    Raises:
        ValueError: If the shapes do not fit.

    Source:
        Means become A·mean + b, products A·P·Aᵀ. By hand: columns with means 2 and 3 and products
        2, 3, 3, 6 have a difference, second less first, with mean 1 and m2 2.
    """
    weights = np.asarray(rows, dtype=np.float64)
    if weights.shape != (len(offsets), len(joint.means)):
        raise ValueError(f"weights of shape {weights.shape} do not fit the columns and offsets")
    products = np.asarray(joint.products)
    mapped = weights @ products @ weights.T
    terms = np.abs(weights) @ np.abs(products) @ np.abs(weights).T
    still = np.diag(mapped) <= CANCELLED * np.diag(terms)
    mapped[still, :] = 0.0
    mapped[:, still] = 0.0
    means = [
        math.fsum([offset, *(weight * mean for weight, mean in zip(row, joint.means, strict=True))])
        for row, offset in zip(rows, offsets, strict=True)
    ]
    return _joint(joint.n, np.array(means), (mapped + mapped.T) / 2)


def linearised(joint: JointMoments, *, keeps_denominator: bool = False) -> JointMoments | None:
    """Return a ratio of sums as if it were a mean: one value a unit, and the other columns.

    Column 0 is a numerator y, column 1 a denominator d; they become z = R + (y − R·d) / mean(d),
    with R = mean(y) / mean(d). The mean of z is the ratio, and its variance over n the delta-method
    variance of the ratio, so that every method for means answers for ratios too: rows of a unit,
    units of a cluster (sums, with the count of units as denominator).

    Args:
        joint: Moments of numerator, denominator and any further columns, one row a randomised unit.
        keeps_denominator: Keep the denominator as the first of the further columns. As a covariate
            it must have been fixed before the exposure: the size of a cluster was, the number of a
            user's requests was not. Sums of covariates over clusters are of use with it only.

    Returns:
        None where the mean of the denominator is 0 or not finite.

    Raises:
        ValueError: If there are fewer than two columns.

    Source:
        Deng, Knoblich and Lu (2018), KDD, arXiv 1803.06336, section 2.2. By hand: numerators
        1, 2, 3 and denominators 1, 2, 1 have a ratio of 1.5 and an m2 of
        (0.25 + 1 + 2.25) · 9/16 = 1.96875.
    """
    if len(joint.means) < 2:
        raise ValueError("a ratio needs a numerator and a denominator")
    numerator, denominator = joint.means[:2]
    if denominator == 0 or not math.isfinite(denominator):
        return None
    ratio = numerator / denominator
    kept = np.eye(len(joint.means))[1 if keeps_denominator else 2 :]
    first = np.zeros(len(joint.means))
    first[:2] = 1 / denominator, -ratio / denominator
    rows = [first.tolist(), *kept.tolist()]
    mapped = linear_map(joint, rows, [0.0] * len(rows))
    return replace(mapped, means=(ratio, *mapped.means[1:]))


def _rests(joint: JointMoments) -> Floats:
    return np.asarray(joint.rests or (0.0,) * len(joint.means), dtype=np.float64)


def _centred(column: Floats) -> tuple[Floats, float]:
    """Return a column's distances from its mean, and the mean."""
    if not np.all(np.isfinite(column)):
        return np.full(len(column), np.nan), math.nan
    rough = float(column[0]) + float(np.mean(column - column[0]))
    distances = column - rough
    shift = float(np.mean(distances))
    return distances - shift, rough + shift


def _joint(n: int, means: Floats, products: Floats) -> JointMoments:
    return JointMoments(
        n=n, means=tuple(means.tolist()), products=tuple(tuple(row) for row in products.tolist())
    )
