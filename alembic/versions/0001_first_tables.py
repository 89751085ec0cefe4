"""The first tables, and the triggers that keep history as it was written."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

WRITTEN_ONCE = ("proposals", "transitions", "looks", "exposures", "outcomes")

KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make every table, and let the database refuse to change what is written once."""
    create_decisions()
    create_events()
    create_keys()
    for table in WRITTEN_ONCE:
        protect(table)


def downgrade() -> None:
    """Take every table away again."""
    for table in (
        "access_keys",
        "quarantined_events",
        "outcomes",
        "exposures",
        "looks",
        "replays",
        "transitions",
        "proposals",
    ):
        op.drop_table(table)
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP FUNCTION expplat_written_once()")


def create_decisions() -> None:
    """Make the tables of proposals, histories, replays and looks."""
    op.create_table(
        "proposals",
        sa.Column("sha256", KEY, nullable=False),
        sa.Column("slug", KEY, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_proposals"),
    )
    op.create_table(
        "transitions",
        sa.Column("slug", KEY, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("stage", KEY, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("proposal_sha256", KEY, nullable=False),
        sa.Column("traffic_percent", sa.Double(), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("previous_sha256", KEY, nullable=False),
        sa.Column("sha256", KEY, nullable=False),
        sa.PrimaryKeyConstraint("slug", "position", name="pk_transitions"),
        sa.ForeignKeyConstraint(
            ["proposal_sha256"],
            ["proposals.sha256"],
            name="fk_transitions_proposal_sha256_proposals",
            deferrable=True,
            initially="DEFERRED",
        ),
    )
    op.create_table(
        "replays",
        sa.Column("replay_id", KEY, nullable=False),
        sa.Column("slug", KEY, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.Column("address", sa.Text()),
        sa.PrimaryKeyConstraint("replay_id", name="pk_replays"),
    )
    op.create_table(
        "looks",
        sa.Column("slug", KEY, nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("taken_at", MOMENT, nullable=False),
        sa.Column("look", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("slug", "phase", "position", name="pk_looks"),
    )


def create_events() -> None:
    """Make the tables of exposures and outcomes, and of events that were refused."""
    op.create_table(
        "exposures",
        sa.Column("source", KEY, nullable=False),
        sa.Column("event_id", KEY, nullable=False),
        sa.Column("slug", KEY, nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("variation", KEY, nullable=False),
        sa.Column("unit", KEY, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("properties", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "event_id", name="pk_exposures"),
    )
    op.create_index("ix_exposures_slug_phase_unit_at", "exposures", ["slug", "phase", "unit", "at"])
    op.create_table(
        "outcomes",
        sa.Column("source", KEY, nullable=False),
        sa.Column("event_id", KEY, nullable=False),
        sa.Column("unit", KEY, nullable=False),
        sa.Column("metric", KEY, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("slug", KEY),
        sa.Column("properties", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "event_id", name="pk_outcomes"),
    )
    op.create_index("ix_outcomes_unit_metric_at", "outcomes", ["unit", "metric", "at"])
    op.create_table(
        "quarantined_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", KEY, nullable=False),
        sa.Column("kind", KEY, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quarantined_events"),
    )


def create_keys() -> None:
    """Make the table of access keys."""
    op.create_table(
        "access_keys",
        sa.Column("key_id", KEY, nullable=False),
        sa.Column("kind", KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", KEY, nullable=False),
        sa.Column("secret_sha256", KEY, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT),
        sa.PrimaryKeyConstraint("key_id", name="pk_access_keys"),
        sa.UniqueConstraint("secret_sha256", name="uq_access_keys_secret_sha256"),
    )


def protect(table: str) -> None:
    """Let the database itself refuse to change or delete a row of the table."""
    if op.get_context().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                sa.DDL(
                    "CREATE TRIGGER %(table_name)s_refuse_%(change)s BEFORE %(change)s"
                    " ON %(table_name)s"
                    " BEGIN SELECT RAISE(ABORT, '%(table_name)s is written once'); END",
                    context={"table_name": table, "change": change},
                )
            )
        return
    op.execute(
        sa.text(
            "CREATE OR REPLACE FUNCTION expplat_written_once() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION '% is written once', TG_TABLE_NAME; END $$"
        )
    )
    op.execute(
        sa.DDL(
            "CREATE TRIGGER %(table_name)s_written_once BEFORE UPDATE OR DELETE OR TRUNCATE"
            " ON %(table_name)s FOR EACH STATEMENT EXECUTE FUNCTION expplat_written_once()",
            context={"table_name": table},
        )
    )
