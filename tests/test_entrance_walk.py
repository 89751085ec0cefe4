"""Two POCs that must not share units: the second begins once its plan agrees with the first."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from expplat.adapters.growthbook.payload import render
from expplat.adapters.scaffold import new_poc, new_workspace
from expplat.domain.gate import Ruling
from expplat.domain.poc import Stage
from expplat.flow.flags import flag_states, proposals_needed
from expplat.flow.promote import promote, standing_before_promotion
from expplat.flow.propose import propose
from expplat.flow.replay import replay
from expplat.flow.rollback import rollback
from expplat.settings import Settings
from expplat.wiring import Platform

VARIANTS = """
from expplat import Output


def ranker(request, call, good):
    is_right = int(request.request_id[1:]) % 10 < good
    return Output(retrieved=("right",) if is_right else ("wrong",))
"""


@pytest.fixture
def platform(tmp_path, database_url):
    folder = tmp_path / "workspace"
    folder.mkdir()
    new_workspace(folder)
    rows = (
        {"request_id": f"q{n}", "input": {}, "expected": {"relevant_ids": ["right"]}}
        for n in range(120)
    )
    log = folder / "experiments" / "logs" / "requests.jsonl"
    log.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    env = {"EXPPLAT_WORKSPACE": str(folder), "EXPPLAT_DATABASE_URL": database_url}
    platform = Platform(settings=Settings.from_env(env, folder))
    yield platform
    platform.sql_engine.dispose()


def replayed(platform: Platform, slug: str, entrance: str) -> None:
    """Take a POC with this entrance in its plan to where it may be promoted."""
    folder = platform.settings.workspace
    file = folder / "experiments" / f"{slug}.yaml"
    new_poc(folder, slug)
    (folder / "pocs" / slug / "variants.py").write_text(VARIANTS)
    text = file.read_text().replace("max_units: 20000", "max_units: 30000")
    for arm, good in (("Control", 4), ("Treatment", 8)):
        text = text.replace(f"variants:{arm}\n", "variants:ranker\n")
        text = text.replace("params: {top: 3}", f"params: {{good: {good}}}", 1)
    file.write_text(text.replace("  split: equal\n", f"  split: equal\n{entrance}\n"))
    propose(
        file.read_bytes(), f"experiments/{slug}.yaml", workspace=folder,
        code=platform.variant_code, desk=platform.desk(by="ada"),
    )  # fmt: skip
    runner = platform.runner(platform.engine("local"), lambda done, total: None)
    replay(slug, desk=platform.desk(by="ada"), bench=platform.bench(), runner=runner)


def promoted(platform: Platform, slug: str):
    return promote(slug, desk=platform.desk(by="ada"), bench=platform.bench())


def served(platform: Platform) -> dict:
    with platform.uow() as uow:
        pocs = uow.pocs.all()
        reader = platform.desk(by="ada").reader
        proposals = {
            sha256: reader.thaw(uow.proposals.text(sha256)) for sha256 in proposals_needed(pocs)
        }
    return json.loads(render(flag_states(pocs, proposals, {})).body)["features"]


def test_a_test_that_would_share_units_is_refused_until_its_range_is_free(platform):
    replayed(platform, "first", "  exclusion: {group: rag, from_percent: 50, to_percent: 100}")
    replayed(platform, "second", "  exclusion: {group: rag, from_percent: 0, to_percent: 51}")
    assert promoted(platform, "first").is_new

    refused = promoted(platform, "second")

    (verdict,) = refused.standing
    assert (refused.is_new, refused.poc.stage) == (False, Stage.REPLAYED)
    assert verdict.ruling is Ruling.UNKNOWN
    assert verdict.sentence.startswith("first holds 50 to 100 % of the exclusion group rag")
    assert "second" not in served(platform)

    rollback("first", reason="to make room", desk=platform.desk(by="ada"))
    assert promoted(platform, "second").is_new
    (rule,) = served(platform)["second"]["rules"]
    assert rule["filters"][0]["ranges"] == [[0.0, 0.51]]


def test_of_two_that_are_promoted_in_one_moment_only_one_begins(platform, monkeypatch):
    replayed(platform, "first", "  exclusion: {group: rag, from_percent: 50, to_percent: 100}")
    replayed(platform, "second", "  exclusion: {group: rag, from_percent: 0, to_percent: 51}")
    both_have_looked = threading.Barrier(2, timeout=30)

    def judged_together(*asked):
        both_have_looked.wait()
        return standing_before_promotion(*asked)

    monkeypatch.setattr("expplat.flow.promote.standing_before_promotion", judged_together)
    with ThreadPoolExecutor(2) as pool:
        done = [*pool.map(partial(promoted, platform), ("first", "second"))]

    (late,) = (one for one in done if not one.is_new)
    (verdict,) = late.standing
    assert "of the exclusion group rag, which overlaps" in verdict.sentence
    assert late.poc.slug not in served(platform)
    assert [one.poc.stage for one in done if one.is_new] == [Stage.PROMOTED]
