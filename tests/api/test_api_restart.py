"""What a server remembers of what it served, over a restart."""

from __future__ import annotations

import httpx2

from tests.serving import Walk, a_platform, eventually, serving


def test_dates_go_on_after_a_restart_where_they_ended(tmp_path):
    platform = a_platform(tmp_path / "workspace")
    walk = Walk(platform)
    key = walk.key("client")
    walk.promote("hybrid_rrf", 50.0)
    brake = platform.settings.state_dir / "closed" / "hybrid_rrf"

    def served(address):
        return httpx2.get(f"{address}/api/features/{key}").json()

    with serving(platform) as address:
        opened = served(address)
        platform.flags.close("hybrid_rrf", platform.now())
        eventually(lambda: not served(address)["features"]["hybrid_rrf"]["rules"])
        closed = served(address)
    with serving(platform) as address:
        assert served(address) == closed
    brake.unlink()
    with serving(platform) as address:
        reopened = served(address)

    assert reopened["features"] == opened["features"]
    assert opened["dateUpdated"] < closed["dateUpdated"] < reopened["dateUpdated"]
    platform.sql_engine.dispose()


def test_a_server_that_cannot_keep_its_date_serves_all_the_same(tmp_path, caplog):
    platform = a_platform(tmp_path / "workspace")
    walk = Walk(platform)
    key = walk.key("client")
    walk.promote("hybrid_rrf", 50.0)
    (platform.settings.state_dir / "served.json").mkdir(parents=True)

    with serving(platform) as address:
        answer = httpx2.get(f"{address}/api/features/{key}")

    assert answer.status_code == 200
    assert "cannot be kept" in caplog.text
    platform.sql_engine.dispose()
