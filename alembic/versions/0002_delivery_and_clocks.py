"""How a key is served and rotated, and when a sender says that an event happened."""

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


def upgrade() -> None:
    """Add the columns; keys that there are go on as they were."""
    for table, columns in ADDED.items():
        for name in columns:
            op.add_column(table, sa.Column(name, MOMENT))
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
    for table, columns in ADDED.items():
        for name in columns:
            op.drop_column(table, name)
