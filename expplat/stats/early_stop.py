"""At which level a replay is judged that may end before all of its requests were asked."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

from expplat.stats.boundaries import boundaries
from expplat.stats.distributions import normal_p
from expplat.stats.spending import spend_hsd

SPEND = spend_hsd(-4.0)
"""How much of the level may be spent by when."""

NEXT_TO_NOTHING = 1e-12
"""The level of a look that may spend nothing: no evidence that a replay can gather passes it."""


def nominal_alpha(fractions: Sequence[float], alpha: float) -> float:
    """Return the level of the present look's interval, so that all looks together keep `alpha`.

    An ordinary interval at this level, from all requests asked so far, is the look's repeated
    interval: the intervals of all looks hold the truth together with probability 1 − alpha. So a
    replay may end at whichever look its gates pass or fail; a pass that needs several gates at one
    look is rarer still. The last look is at a fraction of 1, and spends what is left.

    Hwang, Shih and DeCani's plan with −4 spends little early, and enough to end a clear case.
    Requests asked of those planned, where the plan shows an effect of `min_effect` in four of five
    replays, with five even looks; then the same where it does so in nine of ten:

        true effect in min_effect    0            1            2            3
        O'Brien-Fleming              0.81 0.75    0.82 0.78    0.49 0.44    0.38 0.34
        power(3)                     0.78 0.72    0.80 0.75    0.44 0.38    0.29 0.24
        hsd(-4)                      0.79 0.72    0.80 0.75    0.42 0.36    0.26 0.23
        Pocock                       0.70 0.62    0.70 0.65    0.33 0.27    0.22 0.21

    (200,000 runs of one superiority gate; each within 0.002.) Pocock ends sooner, and pays for it
    at the last look, at a level of 0.017 rather than 0.043: a guardrail that one look passes in
    0.900 passes in 0.840 with it, in 0.892 with power(3), in 0.894 with hsd(-4).

    Five looks rest on the t interval of a fifth of the requests: with 500 requests the gates pass
    no gain in 0.0255 ± 0.0007 of replays where differences are normal; where all losses are large
    and rare (a skewness of −2) in 0.040, and one look in 0.034, of 0.025 that were asked for. The
    intervals hold the truth in 0.943 and 0.948 there.

    Args:
        fractions: Requests asked over requests planned, at each look up to the present one. A look
            that adds nothing spends nothing.
        alpha: Two-sided level of the whole replay, between 0 and 1.

    Returns:
        Above 0 and up to alpha; 1e-12 where the look spends nothing.

    Raises:
        ValueError: If there is no look, a fraction is not finite, or alpha is out of range.

    Source:
        Jennison and Turnbull (1989), JRSS B 51:305-361; Hwang, Shih and DeCani (1990), Statistics
        in Medicine 9:1439-1445. Five even looks at 0.05 have the levels 0.00114, 0.0028, 0.0071,
        0.0176, 0.0428; the first spends 0.05 · (e^0.8 − 1) / (e^4 − 1).
    """
    if not fractions:
        raise ValueError("there is no look")
    return _nominal_alpha(tuple(fractions), alpha)


@functools.lru_cache(maxsize=256)
def _nominal_alpha(fractions: tuple[float, ...], alpha: float) -> float:
    boundary = boundaries(fractions, alpha, SPEND)[-1]
    if not math.isfinite(boundary):
        return NEXT_TO_NOTHING
    return min(alpha, max(NEXT_TO_NOTHING, normal_p(boundary)))
