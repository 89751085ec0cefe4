"""Floor 3: kinds of gates, as pure functions of the declaration and the evidence.

    metric gates      superiority · non_inferiority · equivalence        `judge`
    health gates      srm · max_multiple_exposures · min_units ·          `expplat.gates.health`
                      min_days · data_quality
    what follows      graduate · roll back · hold · keep running          `expplat.gates.decision`

A gate answers `pass`, `fail` or `unknown`; only `pass` ever lets anything through.
"""

from __future__ import annotations

from collections.abc import Callable

from expplat.domain.gate import Effect, Gate, GateKind, Ruling, Verdict
from expplat.gates.metric_rules import Answer, equivalence, non_inferiority, superiority

Rule = Callable[[Gate, Effect, bool], Answer]
"""Takes the gate, the evidence, and whether the test was sized for the gate's `min_effect`."""

GATES: dict[GateKind, Rule] = {
    GateKind.SUPERIORITY: superiority,
    GateKind.NON_INFERIORITY: non_inferiority,
    GateKind.EQUIVALENCE: equivalence,
}
"""Every kind of metric gate."""


def judge(gate: Gate, effect: Effect | None, *, sized: bool = False) -> Verdict:
    """Judge one metric gate.

    Args:
        gate: A metric gate, as declared.
        effect: The evidence; None, or an effect without an interval, is `unknown`.
        sized: True online, where the test was sized for `min_effect`, so that significance
            decides; offline the estimate must reach `min_effect` too.
    """
    if effect is None:
        return Verdict(
            gate=gate,
            ruling=Ruling.UNKNOWN,
            sentence=f"There is no evidence on {gate.metric}; what is not known never ships.",
        )
    answer = GATES[gate.kind](gate, effect, sized)
    return Verdict(gate=gate, ruling=answer.ruling, sentence=answer.sentence, effect=effect)
