"""What SDKs tell of a holdout counts for no test, and does not lie about in quarantine."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from expplat.domain.poc import Stage
from expplat.flow import ingest
from expplat.flow.event_judging import Incoming
from expplat.flow.flags import holdout_key
from tests.builders import SLUG, a_poc, keep_poc

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("variation", ["control", "passthrough", 0, 1])
def test_an_exposure_to_a_holdout_is_ignored_beside_one_that_counts(sqlite_uow_factory, variation):
    with sqlite_uow_factory() as uow:
        keep_poc(uow, a_poc(Stage.PROMOTED))
        uow.commit()
    told = [
        {"experiment": holdout_key("search_2026"), "variation": variation, "unit": "u1"},
        {"experiment": f"{SLUG}.p1", "variation": "treatment", "unit": "u1"},
    ]

    receipt = ingest.take(
        [Incoming(kind="exposure", event=event) for event in told],
        source="k1",
        uow=sqlite_uow_factory(),
        now=lambda: NOW,
    )

    assert (receipt.ignored, receipt.accepted, receipt.rejected) == (1, 1, 0)
