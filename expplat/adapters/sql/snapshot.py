"""Sufficient statistics of an online test, added up by the database in one statement.

One statement sees one state of the database, so its numbers belong together at any isolation
level. Every sum runs in the order of its keys, never in the order of arrival: the same events give
the same bits, whatever order they came in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, String, bindparam, text

from expplat.domain.metric import Metric, MetricKind
from expplat.domain.moments import NO_MOMENTS, Moments
from expplat.domain.online import ArmStatistics
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.stats.moments import merge

# Two words are for SQLite's planner, and none of them changes a result: CROSS JOIN makes it walk
# from the units to their outcomes, MATERIALIZED makes it work out the few centres only once.
STATEMENT = text(
    """
    WITH shown AS (
        SELECT unit, variation, at,
               row_number() OVER (PARTITION BY unit ORDER BY at, event_id, source) AS place
        FROM exposures
        WHERE slug = :slug AND phase = :phase
    ),
    enrolled AS (
        SELECT unit, variation, at FROM shown WHERE place = 1
    ),
    followed AS (
        SELECT outcomes.unit, outcomes.metric, outcomes.value, outcomes.at, outcomes.event_id,
               outcomes.source, enrolled.variation, outcomes.at >= enrolled.at AS is_after
        FROM enrolled
        CROSS JOIN outcomes
        WHERE outcomes.unit = enrolled.unit
          AND (outcomes.slug IS NULL OR outcomes.slug = :slug)
    ),
    gathered AS (
        SELECT variation, metric, unit,
               sum(value) OVER so_far AS total,
               max(value) OVER so_far AS largest,
               count(*) OVER so_far AS events,
               lead(unit) OVER in_order AS next_unit
        FROM followed
        WHERE is_after AND metric IN :metrics
        WINDOW in_order AS (PARTITION BY metric, unit ORDER BY at, event_id, source),
               so_far AS (PARTITION BY metric, unit ORDER BY at, event_id, source
                          ROWS UNBOUNDED PRECEDING)
    ),
    valued AS (
        SELECT variation, metric, unit,
               CASE WHEN metric IN :proportions THEN CASE WHEN largest > 0 THEN 1.0 ELSE 0.0 END
                    WHEN metric IN :counts THEN total
                    ELSE total / events
               END AS value
        FROM gathered
        WHERE next_unit IS NULL
    ),
    summed AS (
        SELECT variation, metric,
               sum(value) OVER so_far AS total,
               count(*) OVER so_far AS units,
               lead(unit) OVER in_order AS next_unit
        FROM valued
        WINDOW in_order AS (PARTITION BY variation, metric ORDER BY unit),
               so_far AS (PARTITION BY variation, metric ORDER BY unit ROWS UNBOUNDED PRECEDING)
    ),
    centred AS MATERIALIZED (
        SELECT variation, metric, units, total / units AS centre
        FROM summed
        WHERE next_unit IS NULL
    ),
    spread AS (
        SELECT valued.variation, valued.metric, centred.units, centred.centre,
               sum(value - centre) OVER so_far AS drift,
               sum((value - centre) * (value - centre)) OVER so_far AS squares,
               lead(unit) OVER in_order AS next_unit
        FROM valued
        JOIN centred ON centred.variation = valued.variation AND centred.metric = valued.metric
        WINDOW in_order AS (PARTITION BY valued.variation, valued.metric ORDER BY unit),
               so_far AS (PARTITION BY valued.variation, valued.metric ORDER BY unit
                          ROWS UNBOUNDED PRECEDING)
    )
    SELECT 'moments' AS line, variation, metric, units AS number, centre, drift, squares
    FROM spread
    WHERE next_unit IS NULL
    UNION ALL
    SELECT 'units', variation, NULL, count(*), NULL, NULL, NULL
    FROM enrolled
    GROUP BY variation
    UNION ALL
    SELECT 'multiple', NULL, NULL, count(*), NULL, NULL, NULL
    FROM (SELECT unit FROM shown GROUP BY unit HAVING min(variation) <> max(variation)) AS mixed
    UNION ALL
    SELECT 'events', NULL, NULL, count(*), NULL, NULL, NULL
    FROM shown
    UNION ALL
    SELECT 'events', NULL, NULL, count(*), NULL, NULL, NULL
    FROM followed
    """
).bindparams(
    bindparam("metrics", type_=String, expanding=True),
    bindparam("proportions", type_=String, expanding=True),
    bindparam("counts", type_=String, expanding=True),
)


def take_snapshot(
    connection: Connection, *, slug: str, phase: int, metrics: Sequence[Metric]
) -> tuple[Mapping[str, ArmStatistics], int, int]:
    """Return the statistics by arm, the units that saw both variants, and the events counted.

    The first exposure of a unit decides its arm; an outcome counts from that moment on. A unit
    without an outcome is worth 0 under a proportion or a count, and left out of a mean.
    """
    rows = connection.execute(STATEMENT, _parameters(slug, phase, metrics)).all()
    units = {row.variation: row.number for row in rows if row.line == "units"}
    seen = {(row.variation, row.metric): _moments(row) for row in rows if row.line == "moments"}
    arms = {
        arm: ArmStatistics(
            units=units.get(arm, 0),
            metrics={
                metric.name: _with_zeros(
                    seen.get((arm, metric.name), NO_MOMENTS), metric, units.get(arm, 0)
                )
                for metric in metrics
            },
        )
        for arm in sorted({CONTROL, TREATMENT} | units.keys())
    }
    return arms, _total(rows, "multiple"), _total(rows, "events")


def _parameters(slug: str, phase: int, metrics: Sequence[Metric]) -> Mapping[str, Any]:
    def names(*kinds: MetricKind) -> list[str]:
        return [metric.name for metric in metrics if metric.kind in kinds]

    return {
        "slug": slug,
        "phase": phase,
        "metrics": names(*MetricKind),
        "proportions": names(MetricKind.PROPORTION),
        "counts": names(MetricKind.COUNT),
    }


def _moments(row: Row[Any]) -> Moments:
    """Correct the second pass for the rounding of the first (Chan, Golub and LeVeque 1983)."""
    m2 = row.squares - row.drift * row.drift / row.number
    return Moments(n=row.number, mean=row.centre + row.drift / row.number, m2=max(0.0, m2))


def _with_zeros(seen: Moments, metric: Metric, units: int) -> Moments:
    """Merge what was seen with the units of which nothing was: worth 0, but left out of a mean."""
    if metric.kind is MetricKind.MEAN:
        return seen
    return merge(seen, Moments(n=units - seen.n, mean=0.0, m2=0.0))


def _total(rows: Sequence[Row[Any]], line: str) -> int:
    return sum(row.number for row in rows if row.line == line)
