"""How a key is served and rotated, and when a sender says that an event happened.

On PostgreSQL the events move into partitioned tables, in the same transaction.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)

ADDED = {
    "exposures": ("stated_at",),
    "outcomes": ("stated_at",),
    "quarantined_events": ("stated_at", "at", "settled_at"),
}
"""Moments that may be unknown, by table."""

INDEXED = {
    "exposures": ("slug", "phase", "unit", "at"),
    "outcomes": ("unit", "metric", "at"),
}
"""The columns that the events are read by."""

PARTITIONS = 8
"""By the hash of the event's id. PostgreSQL can keep (source, event_id) unique over all partitions
only if what it partitions by is part of that key: by time, the same id could be kept once in every
month. Eight keep each index small enough for memory, and let eight writers extend eight files."""


def upgrade() -> None:
    """Add the columns; keys that there are go on as they were."""
    for table, columns in ADDED.items():
        for name in columns:
            op.add_column(table, sa.Column(name, MOMENT))
    # The same refused event waits once; those that wait already have no digest.
    op.add_column("quarantined_events", sa.Column("digest", KEY))
    op.create_index("ix_quarantined_events_digest", "quarantined_events", ["digest"], unique=True)
    if op.get_context().dialect.name == "postgresql":
        for table in INDEXED:
            move(table, is_partitioned=True)
    op.add_column("access_keys", sa.Column("payload_key", sa.Text()))
    op.add_column("access_keys", sa.Column("connection", KEY, nullable=False, server_default=""))
    op.add_column("access_keys", sa.Column("delivery", KEY, nullable=False, server_default="plain"))
    op.add_column(
        "access_keys",
        sa.Column("writes_events", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    keys = sa.table("access_keys", sa.column("key_id"), sa.column("connection"))
    op.execute(keys.update().values(connection=keys.c.key_id))


def downgrade() -> None:
    """Take the columns away again."""
    for name in ("writes_events", "delivery", "connection", "payload_key"):
        op.drop_column("access_keys", name)
    if op.get_context().dialect.name == "postgresql":
        for table in INDEXED:
            move(table, is_partitioned=False)
    op.drop_index("ix_quarantined_events_digest", "quarantined_events")
    op.drop_column("quarantined_events", "digest")
    for table, columns in ADDED.items():
        for name in columns:
            op.drop_column(table, name)


def move(table: str, *, is_partitioned: bool) -> None:
    """Make a table anew, with or without partitions, and take every row over."""
    run("ALTER TABLE %(table)s RENAME TO %(table)s_before", table)
    run("ALTER INDEX pk_%(table)s RENAME TO pk_%(table)s_before", table)
    run("DROP INDEX %(index)s", table)
    how = "PARTITION BY HASH (event_id)" if is_partitioned else ""
    run("CREATE TABLE %(table)s (LIKE %(table)s_before INCLUDING DEFAULTS) %(how)s", table, how=how)
    names = [table]
    if is_partitioned:
        names += [f"{table}_p{number}" for number in range(PARTITIONS)]
        for number, name in enumerate(names[1:]):
            run(
                "CREATE TABLE %(name)s PARTITION OF %(table)s"
                " FOR VALUES WITH (MODULUS %(modulus)s, REMAINDER %(remainder)s)",
                table,
                name=name,
                modulus=str(PARTITIONS),
                remainder=str(number),
            )
    run("INSERT INTO %(table)s SELECT * FROM %(table)s_before", table)
    run("DROP TABLE %(table)s_before", table)
    op.create_primary_key(f"pk_{table}", table, ["source", "event_id"])
    op.create_index(index_of(table), table, [*INDEXED[table]])
    for name in names:
        # That of the parent sees only statements that name the parent.
        run(
            "CREATE TRIGGER %(name)s_written_once BEFORE UPDATE OR DELETE OR TRUNCATE"
            " ON %(name)s FOR EACH STATEMENT EXECUTE FUNCTION expplat_written_once()",
            table,
            name=name,
        )


def run(statement: str, table: str, **names: str) -> None:
    """Run a statement on a table; the names are this file's own."""
    context = {"table": table, "index": index_of(table)} | names
    op.execute(sa.DDL(statement, context=context))


def index_of(table: str) -> str:
    """Return the name of the index that a table of events is read by."""
    return f"ix_{table}_{'_'.join(INDEXED[table])}"
