"""Several treatments in one test, by simulation: more tries are no better than one.

Every test is read at twenty looks by `flow.reading.read`, on sums as the database makes them, and
ended by `flow.look.decision_of`. Bounds are widened by three standard errors of the simulation.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from expplat.domain.decision import Action
from expplat.domain.moments import Moments
from expplat.domain.online import ArmStatistics
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.flow.look import decision_of
from expplat.flow.plan import sizings
from expplat.flow.reading import read
from expplat.flow.selftest_worlds import BUILT_IN_PLAN
from expplat.flow.simulation import snapshot_of
from expplat.flow.treatments import shared_by

TREATMENTS = (TREATMENT, "treatment_b", "treatment_c")
LOOKS = 20
TESTS = 1_500
SPREAD = 0.001
ALPHA = 0.025
"""One-sided: half of the gate's own."""

PLAN = BUILT_IN_PLAN


def arm_at_looks(success, draw):
    """Return the statistics of one arm at every look; each look brings equally many units."""
    new = np.full(LOOKS, PLAN.max_units // 2 // LOOKS)
    units = new.cumsum()
    levels = {"task_success": success, "slow_answer": 0.1}
    hits = {name: draw.binomial(new, level).cumsum() for name, level in levels.items()}
    costs = draw.normal(0.0, SPREAD * np.sqrt(new)).cumsum()
    return [
        ArmStatistics(
            units=int(n),
            metrics={
                **{name: share(int(n), int(k[place])) for name, k in hits.items()},
                "cost_usd": Moments(
                    n=int(n), mean=0.001 + float(costs[place]) / n, m2=float(n - 1) * SPREAD**2
                ),
            },
        )
        for place, n in enumerate(units)
    ]


def share(n, hits):
    return Moments(n=n, mean=hits / n, m2=hits * (n - hits) / n)


def one_test(successes, draw):
    """Return the decision that ends one test of three treatments with these shares of success."""
    drawn = [arm_at_looks(success, draw) for success in (0.45, *successes)]
    past = ()
    for number, arms in enumerate(zip(*drawn, strict=True), start=1):
        day = min(number * 20 / LOOKS, PLAN.max_days)
        two = snapshot_of((arms[0], arms[1]), day, watermark=number)
        snapshot = replace(two, arms=dict(zip((CONTROL, *TREATMENTS), arms, strict=True)))
        past = (*past, read(PLAN, snapshot, past, TREATMENTS))
        decision = decision_of(PLAN, past[-1])
        if decision.action is not Action.KEEP_RUNNING:
            break
    return decision


def many(successes, tests=TESTS):
    draw = np.random.default_rng(7)
    decisions = [one_test(successes, draw) for _ in range(tests)]
    found = Counter((one.action, one.arm) for one in decisions)
    print(f"\n{successes}: {dict(found)} of {tests}")
    return decisions


def error(share, tests=TESTS):
    return 3 * math.sqrt(share * (1 - share) / tests)


@pytest.mark.long
@pytest.mark.timeout(280)
def test_three_treatments_without_an_effect_graduate_no_more_often_than_one_would():
    graduated = sum(one.action is Action.GRADUATE for one in many((0.45, 0.45, 0.45)))

    assert graduated / TESTS <= ALPHA + error(ALPHA)


@pytest.mark.long
@pytest.mark.timeout(280)
def test_the_one_that_is_better_graduates_by_its_own_name():
    decisions = many((0.45, 0.45, 0.52), tests=300)

    named = sum(one.action is Action.GRADUATE and one.arm == "treatment_c" for one in decisions)
    assert named / 300 >= 0.8 - error(0.8, 300)


def test_every_treatment_needs_more_units_where_there_are_three():
    one, three = (sizings(shared_by(PLAN, count)) for count in (1, 3))

    assert three[0].units_needed > 1.2 * one[0].units_needed
    assert [size.units_needed for size in three[1:]] == [size.units_needed for size in one[1:]]
