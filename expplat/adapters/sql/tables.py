"""The tables. None is called as one of MLflow's, so that both may live in one PostgreSQL.

proposals ◀── transitions (a POC is its history)      replays   looks
exposures ⋈ outcomes (by unit)   quarantined_events   access_keys
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

VERSION_TABLE = "expplat_revision"
"""Where the schema's revision stands; MLflow keeps its own in `alembic_version`."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: aware in, aware UTC out, to the microsecond, on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment as the driver wants it; a moment without a zone is refused."""
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError(f"{value} has no time zone")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC, whatever the zone of the database session."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


Key = String().with_variant(String(collation="C"), "postgresql")
"""Text that is compared and sorted by its bytes, so that both databases agree on the order."""

schema = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

proposals = Table(
    "proposals",
    schema,
    Column("sha256", Key, primary_key=True),
    Column("slug", Key, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

transitions = Table(
    "transitions",
    schema,
    Column("slug", Key, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("stage", Key, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column(
        "proposal_sha256",
        Key,
        ForeignKey("proposals.sha256", deferrable=True, initially="DEFERRED"),
        nullable=False,
    ),
    Column("traffic_percent", Double, nullable=False),
    Column("phase", Integer, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("previous_sha256", Key, nullable=False),
    Column("sha256", Key, nullable=False),
)

replays = Table(
    "replays",
    schema,
    Column("replay_id", Key, primary_key=True),
    Column("slug", Key, nullable=False),
    Column("finished_at", UtcDateTime, nullable=False),
    Column("report", Text, nullable=False),
    Column("address", Text),
)

looks = Table(
    "looks",
    schema,
    Column("slug", Key, primary_key=True),
    Column("phase", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("taken_at", UtcDateTime, nullable=False),
    Column("look", Text, nullable=False),
)

exposures = Table(
    "exposures",
    schema,
    Column("source", Key, primary_key=True),
    Column("event_id", Key, primary_key=True),
    Column("slug", Key, nullable=False),
    Column("phase", Integer, nullable=False),
    Column("variation", Key, key="variant", nullable=False),
    Column("unit", Key, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("stated_at", UtcDateTime),
    Column("received_at", UtcDateTime, nullable=False),
    Column("properties", Text, nullable=False),
    Index(None, "slug", "phase", "unit", "at"),
    postgresql_partition_by="HASH (event_id)",
)

outcomes = Table(
    "outcomes",
    schema,
    Column("source", Key, primary_key=True),
    Column("event_id", Key, primary_key=True),
    Column("unit", Key, nullable=False),
    Column("metric", Key, nullable=False),
    Column("value", Double, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("stated_at", UtcDateTime),
    Column("received_at", UtcDateTime, nullable=False),
    Column("slug", Key),
    Column("properties", Text, nullable=False),
    Index(None, "unit", "metric", "at"),
    postgresql_partition_by="HASH (event_id)",
)

quarantined_events = Table(
    "quarantined_events",
    schema,
    Column("id", Integer, key="number", primary_key=True),
    Column("source", Key, nullable=False),
    Column("kind", Key, nullable=False),
    Column("body", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("stated_at", UtcDateTime),
    Column("at", UtcDateTime),
    Column("settled_at", UtcDateTime),
    Column("digest", Key),
    Index(None, "digest", unique=True),
)
"""The digest is of source, kind and body; it is gone once the event is settled."""

access_keys = Table(
    "access_keys",
    schema,
    Column("key_id", Key, primary_key=True),
    Column("kind", Key, nullable=False),
    Column("name", Text, nullable=False),
    Column("prefix", Key, nullable=False),
    Column("secret_sha256", Key, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Column("connection", Key, nullable=False),
    Column("delivery", Key, nullable=False),
    Column("payload_key", Text),
    Column("writes_events", Boolean, nullable=False),
    UniqueConstraint("secret_sha256"),
)
