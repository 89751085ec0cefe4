from __future__ import annotations

from dataclasses import replace

from expplat.domain.entrance import Exclusion, Holdout
from expplat.domain.wording import who_enters
from tests.builders import a_proposal

PLAN = a_proposal().online


def test_nothing_is_said_where_everybody_may_enter():
    assert who_enters(PLAN) == ""


def test_everything_that_keeps_units_out_is_said_in_one_line():
    plan = replace(
        PLAN,
        targeting={"city": {"$in": ["Zürich"]}},
        exclusion=Exclusion(group="rag", from_percent=0, to_percent=33.33),
        holdout=Holdout(name="search_2026", percent=5),
        requires="hybrid_rrf",
    )

    assert who_enters(plan) == (
        'units that meet {"city": {"$in": ["Zürich"]}}; 0 to 33.33 % of the exclusion group rag; '
        "without the 5 % of the holdout search_2026; units that are served the treatment of "
        "hybrid_rrf"
    )
