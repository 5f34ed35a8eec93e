"""The first shape: every table as it was when Santral was first released. Names of constraints come from cti.db.Base."""

from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    text,
)

from cti.db import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


TABLES = (  # in the order in which they refer to one another
    "events",
    "api_tokens", "users", "web_sessions",
    "households", "parties", "household_members", "subscriptions",
    "contact_points", "links",
    "outages",
    "ticket_counter", "tickets",
    "dispositions", "conversations", "offers",
    "channels", "interactions",
    "recordings",
    "commands_done",
    "flow_sessions", "flows", "flow_versions",
)  # fmt: skip


def upgrade() -> None:
    _ledger()
    _users()
    _parties()
    _contact_points()
    _outages()
    _tickets()
    _conversations()
    _timeline()
    _recordings()
    _commands()
    _flows()


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)


def _ledger() -> None:
    op.create_table(
        "events",
        Column("seq", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
        Column("id", String(36), nullable=False, unique=True),
        Column("at", UtcDateTime(), nullable=False),
        Column("type", String(64), nullable=False),
        Column("conversation", String(36)),
        Column("key", String(200), unique=True),
        Column("body", JSON(), nullable=False),
        Index("ix_events_conversation", "conversation", "seq"),
        Index("ix_events_type", "type", "seq"),
        sqlite_autoincrement=True,
    )


def _users() -> None:
    op.create_table(
        "api_tokens",
        Column("hash", String(64), primary_key=True),
        Column("name", String(64), nullable=False, unique=True),
        Column("role", String(16), nullable=False),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("revoked_at", UtcDateTime()),
    )
    op.create_table(
        "users",
        Column("id", String(36), primary_key=True),
        Column("name", String(64), nullable=False, unique=True),
        Column("display_name", String(200), nullable=False),
        Column("role", String(16), nullable=False),
        Column("password_hash", String(200), nullable=False),
        Column("agent", String(64), nullable=False),
        Column("language", String(8), nullable=False),
        Column("disabled", Boolean(), nullable=False),
    )
    op.create_table(
        "web_sessions",
        Column("id_hash", String(64), primary_key=True),
        Column("user_id", String(36), ForeignKey("users.id"), nullable=False, index=True),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("last_seen_at", UtcDateTime(), nullable=False),
        Column("expires_at", UtcDateTime(), nullable=False),
        Column("idle_s", Integer(), nullable=False),
        Column("revoked_at", UtcDateTime()),
    )


def _parties() -> None:
    op.create_table(
        "households",
        Column("id", String(36), primary_key=True),
        Column("label", String(200), nullable=False, index=True),
    )
    op.create_table(
        "parties",
        Column("id", String(36), primary_key=True),
        Column("kind", String(16), nullable=False),
        Column("name", String(200), nullable=False),
        Column("search_text", String(400), nullable=False, index=True),
        Column("language", String(8), nullable=False),
        Column("customer_no", String(32), unique=True),
        Column("birth_date", String(10)),
        Column("tags", String(200), nullable=False),
        Column("external_id", String(100), unique=True),
        Column("created_at", UtcDateTime(), nullable=False),
    )
    op.create_table(
        "household_members",
        Column("household_id", String(36), ForeignKey("households.id"), primary_key=True),
        Column("party_id", String(36), ForeignKey("parties.id"), primary_key=True, index=True),
        Column("role", String(32), nullable=False),
    )
    op.create_table(
        "subscriptions",
        Column("id", String(36), primary_key=True),
        Column("number", String(32), nullable=False, unique=True),
        Column("kind", String(16), nullable=False),
        Column("holder_id", String(36), ForeignKey("parties.id"), nullable=False, index=True),
        Column("household_id", String(36), ForeignKey("households.id"), index=True),
        Column("line_number", String(20), index=True),
        Column("area", String(100), nullable=False, index=True),
        Column("address", String(300), nullable=False),
        Column("depends_on_id", String(36), ForeignKey("subscriptions.id")),
        Column("status", String(16), nullable=False),
    )


def _contact_points() -> None:
    op.create_table(
        "contact_points",
        Column("id", String(36), primary_key=True),
        Column("kind", String(16), nullable=False),
        Column("value", String(200), nullable=False),
        Column("raw", String(200), nullable=False),
        Column("created_at", UtcDateTime(), nullable=False),
        UniqueConstraint("kind", "value"),
    )
    op.create_table(
        "links",
        Column("id", String(36), primary_key=True),
        Column("contact_point_id", String(36), ForeignKey("contact_points.id"), nullable=False, index=True),
        Column("party_id", String(36), ForeignKey("parties.id"), index=True),
        Column("household_id", String(36), ForeignKey("households.id"), index=True),
        Column("subscription_id", String(36), ForeignKey("subscriptions.id"), index=True),
        Column("role", String(16), nullable=False),
        Column("exclusivity", String(8), nullable=False),
        Column("source", String(32), nullable=False),
        Column("state", String(16), nullable=False),
        Column("method", String(32), nullable=False),
        Column("verified_at", UtcDateTime()),
        Column("verified_by", String(64), nullable=False),
        Column("valid_from", UtcDateTime(), nullable=False),
        Column("valid_to", UtcDateTime()),
        Column("last_seen_at", UtcDateTime()),
    )


def _outages() -> None:
    op.create_table(
        "outages",
        Column("id", String(36), primary_key=True),
        Column("area", String(100), nullable=False, index=True),
        Column("kind", String(16), nullable=False),
        Column("cause", String(200), nullable=False),
        Column("started_at", UtcDateTime(), nullable=False),
        Column("estimate_at", UtcDateTime()),
        Column("closed_at", UtcDateTime()),
    )


def _tickets() -> None:
    op.create_table(
        "ticket_counter",
        Column("id", Integer(), primary_key=True),
        Column("last", Integer(), nullable=False),
    )
    op.create_table(
        "tickets",
        Column("id", String(36), primary_key=True),
        Column("number", String(16), nullable=False, unique=True),
        Column("subscription_id", String(36), ForeignKey("subscriptions.id"), index=True),
        Column("party_id", String(36), ForeignKey("parties.id"), index=True),
        Column("matter", String(32), nullable=False),
        Column("state", String(16), nullable=False),
        Column("channel", String(32), nullable=False),
        Column("text", Text(), nullable=False),
        Column("conversation", String(36), index=True),
        Column("contacts", Integer(), nullable=False),
        Column("opened_at", UtcDateTime(), nullable=False),
        Column("closed_at", UtcDateTime()),
        Index(
            "uq_tickets_open_matter",
            "subscription_id",
            "matter",
            unique=True,
            sqlite_where=text("state = 'open' AND subscription_id IS NOT NULL"),
            postgresql_where=text("state = 'open' AND subscription_id IS NOT NULL"),
        ),
    )


def _conversations() -> None:
    op.create_table(
        "dispositions",
        Column("id", String(64), primary_key=True),
        Column("name_tr", String(100), nullable=False),
        Column("name_en", String(100), nullable=False),
        Column("position", Integer(), nullable=False),
    )
    op.create_table(
        "conversations",
        Column("id", String(36), primary_key=True),
        Column("channel", String(150), nullable=False, unique=True),
        Column("did", String(40), nullable=False),
        Column("raw", String(80), nullable=False),
        Column("number", String(20), index=True),
        Column("number_kind", String(16), nullable=False),
        Column("caller_name", String(500), nullable=False),
        Column("language", String(8), nullable=False),
        Column("outcome", String(16), nullable=False),
        Column("level", Integer(), nullable=False),
        Column("candidates", JSON(), nullable=False),
        Column("party_id", String(36), ForeignKey("parties.id")),
        Column("subscription_id", String(36), ForeignKey("subscriptions.id")),
        Column("ticket_id", String(36), ForeignKey("tickets.id")),
        Column("intent", String(32), nullable=False),
        Column("queue", String(64), nullable=False),
        Column("state", String(16), nullable=False),
        Column("agent", String(64), index=True),
        Column("recording", String(36)),
        Column("note", Text(), nullable=False),
        Column("disposition", String(64), nullable=False),
        Column("arrived_at", UtcDateTime(), nullable=False, index=True),
        Column("queued_at", UtcDateTime()),
        Column("answered_at", UtcDateTime()),
        Column("cleared_at", UtcDateTime()),
        Column("ended_at", UtcDateTime()),
        Column("end_reason", String(32), nullable=False),
        Index("ix_conversations_party_arrived", "party_id", "arrived_at"),
    )
    op.create_table(
        "offers",
        Column("id", String(36), primary_key=True),
        Column("conversation_id", String(36), ForeignKey("conversations.id"), nullable=False, index=True),
        Column("agent", String(64), nullable=False),
        Column("device", String(80), nullable=False),
        Column("device_channel", String(150), nullable=False, unique=True),
        Column("state", String(16), nullable=False),
        Column("reason", String(32), nullable=False),
        Column("offered_at", UtcDateTime(), nullable=False),
        Column("painted_ms", Double()),
        Column("seen_ms", Double()),
        Column("ended_at", UtcDateTime()),
        Column("wrapped_up_at", UtcDateTime()),
        Column("dismissed_at", UtcDateTime()),
        Index("ix_offers_agent_offered", "agent", "offered_at"),
    )


def _timeline() -> None:
    op.create_table(
        "channels",
        Column("id", String(32), primary_key=True),
        Column("name_tr", String(64), nullable=False),
        Column("name_en", String(64), nullable=False),
        Column("contact_kind", String(16), nullable=False),
        Column("icon", String(32), nullable=False),
    )
    op.create_table(
        "interactions",
        Column("id", String(36), primary_key=True),
        Column("channel_id", String(32), ForeignKey("channels.id"), nullable=False),
        Column("direction", String(4), nullable=False),
        Column("contact_point_id", String(36), ForeignKey("contact_points.id")),
        Column("party_id", String(36), ForeignKey("parties.id")),
        Column("subscription_id", String(36), ForeignKey("subscriptions.id")),
        Column("ticket_id", String(36), ForeignKey("tickets.id")),
        Column("conversation", String(36), unique=True),
        Column("external_id", String(200), nullable=False),
        Column("subject", String(200), nullable=False),
        Column("text", Text(), nullable=False),
        Column("author", String(64), nullable=False),
        Column("at", UtcDateTime(), nullable=False),
        UniqueConstraint("channel_id", "external_id"),
        Index("ix_interactions_contact_point_at", "contact_point_id", "at"),
        Index("ix_interactions_party_at", "party_id", "at"),
    )


def _recordings() -> None:
    op.create_table(
        "recordings",
        Column("id", String(36), primary_key=True),
        Column("conversation", String(36), nullable=False, index=True),
        Column("state", String(16), nullable=False),
        Column("reason", String(32), nullable=False),
        Column("stem", String(64), nullable=False, index=True),
        Column("path", String(100), nullable=False),
        Column("channels", Integer(), nullable=False),
        Column("started_at", UtcDateTime()),
        Column("ended_at", UtcDateTime()),
        Column("duration_s", Double()),
        Column("talk_s", Double()),
        Column("size_bytes", Integer()),
        Column("sha256", String(64), nullable=False),
        Column("peaks", JSON()),
        Column("tries", Integer(), nullable=False),
        Column("lease_until", UtcDateTime()),
        Column("created_at", UtcDateTime(), nullable=False),
        Column("erased_at", UtcDateTime()),
        Index("ix_recordings_state_created", "state", "created_at"),
    )


def _commands() -> None:
    op.create_table(
        "commands_done",
        Column("key", String(64), primary_key=True),
        Column("user", String(64), nullable=False),
        Column("result", JSON(), nullable=False),
        Column("at", UtcDateTime(), nullable=False),
    )


def _flows() -> None:
    op.create_table(
        "flow_sessions",
        Column("conversation", String(36), primary_key=True),
        Column("flow", String(64), nullable=False),
        Column("version", Integer(), nullable=False),
        Column("node", String(64), nullable=False),
        Column("session", JSON(), nullable=False),
        Column("events", Integer(), nullable=False),
        Column("updated_at", UtcDateTime(), nullable=False),
    )
    op.create_table(
        "flows",
        Column("id", String(64), primary_key=True),
        Column("published", Integer(), nullable=False),
    )
    op.create_table(
        "flow_versions",
        Column("flow_id", String(64), ForeignKey("flows.id"), primary_key=True),
        Column("version", Integer(), primary_key=True),
        Column("document", JSON(), nullable=False),
        Column("published_at", UtcDateTime(), nullable=False),
        Column("published_by", String(64), nullable=False),
    )
