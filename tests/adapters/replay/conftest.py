"""A workspace with well and badly behaved variants, a log, and plans made of both."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from expplat.adapters.replay.calls import Clock
from expplat.adapters.request_log.log import RequestLogFiles
from expplat.domain.metric import Direction, Metric, MetricKind
from expplat.domain.price import ModelPrice, PriceTable
from expplat.domain.proposal import Measurement, RequestLogSource, Variant
from expplat.domain.replay import ReplayPlan
from expplat.metrics.catalogue import resolve

ASSETS = Path(__file__).parents[2] / "assets" / "replay"
WORKSPACE = ASSETS / "workspace"

LENGTH = Metric(
    name="length",
    kind=MetricKind.MEAN,
    direction=Direction.LOWER,
    unit="characters",
    use="pocs.trouble.variants:length",
)

PlanMaker = Callable[..., ReplayPlan]


@pytest.fixture
def step_clock() -> Callable[[], Clock]:
    """Makes clocks that are a 1,024th of a second later at each look: exact in binary."""

    def made() -> Clock:
        def ticking() -> Callable[[], float]:
            ticks = itertools.count()
            return lambda: next(ticks) / 1024

        return Clock(ticking(), ticking())

    return made


@pytest.fixture
def make_plan(tmp_path: Path) -> PlanMaker:
    """Makes a plan over a frozen log of `requests` requests, in a folder of its own."""
    numbers = itertools.count()

    def made(*, requests: int = 8, trouble: dict[str, str] | None = None, **changes: Any) -> Any:
        folder = tmp_path / f"replay-{next(numbers)}"
        log = tmp_path / f"log-{requests}.jsonl"
        log.write_text("".join(json.dumps(a_request(n)) + "\n" for n in range(requests)))
        measured = {"warmup": 0, "aa_requests": 2, "timeout_s": 5.0, "shard_requests": 3}
        measurement = Measurement(**{**measured, **changes.pop("measurement", {})})
        frozen = RequestLogFiles().freeze(
            RequestLogSource(path=str(log)),
            workspace=WORKSPACE,
            folder=folder,
            shard_requests=measurement.shard_requests,
        )
        params = {"trouble": trouble or {}, "note": changes.pop("note", "")}
        given: dict[str, Any] = {
            "replay_id": folder.name,
            "slug": "trouble",
            "workspace": str(WORKSPACE),
            "folder": str(folder),
            "shards": frozen.shards,
            "requests": frozen.requests,
            "control": Variant(use="pocs.trouble.variants:sound"),
            "treatment": Variant(use="pocs.trouble.variants:Troubled", params=params),
            "metrics": (*resolve(["recall_at_5", "exact_match", "latency_ms"]), LENGTH),
            "measurement": measurement,
            "prices": PriceTable(
                as_of="2026-03-01",
                cpu_hour_usd=Decimal("0.036"),
                models={"small": ModelPrice(input_usd=Decimal(1), output_usd=Decimal(4))},
            ),
            "proposal_sha256": "0" * 64,
            "log_sha256": frozen.sha256,
            "control_sha256": "1" * 64,
            "treatment_sha256": "2" * 64,
        }
        return ReplayPlan(**{**given, **changes})

    return made


def a_request(number: int) -> dict[str, Any]:
    return {
        "request_id": f"r{number}",
        "input": {"question": f"question {number}"},
        "expected": {"relevant_ids": [f"r{number}"]},
        "segment": {"parity": "even" if number % 2 == 0 else "odd"},
        **({"cluster": "first"} if number < 2 else {}),
    }
