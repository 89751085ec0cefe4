"""The gate that judges control: a gain against something that fails is no gain."""

from __future__ import annotations

from expplat.domain.gate import Gate, GateKind, Ruling, Verdict
from expplat.domain.wording import amount


def control_verdict(failed: int, calls: int, largest: float) -> Verdict | None:
    """Return what forbids a ruling where control fails too often; None where it does not.

    A failed call counts as the metric's worst value. That is hard on the treatment, as it should
    be, and a present from control.

    Args:
        failed: Calls of control that failed.
        calls: All calls of control.
        largest: The share of them that may fail, 0 to 1.
    """
    if failed <= largest * calls:
        return None
    share, allowed = amount(failed / calls, "fraction"), amount(largest, "fraction")
    return Verdict(
        gate=Gate(kind=GateKind.DATA_QUALITY, threshold=largest),
        ruling=Ruling.UNKNOWN,
        sentence=f"Control failed on {share} of its calls, {allowed} are allowed: a gain against "
        "something that fails is no gain.",
    )
