"""The call goes on: nodes that watch one another, flow sessions that another node can continue, effects that happen once, callbacks
for calls that were cut, and where agents' pages are."""

from alembic import op
from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, String, Text, UniqueConstraint

from cti.db import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "nodes",
        Column("name", String(32), primary_key=True),
        Column("switch", String(120), nullable=False),
        Column("run", String(36), nullable=False),
        Column("beat", BigInteger, nullable=False),
        Column("state", String(16), nullable=False),
        Column("seized_by", String(32), nullable=False),
        Column("started_at", UtcDateTime, nullable=False),
        Column("beat_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "effects",
        Column("key", String(160), primary_key=True),
        Column("result", JSON, nullable=False),
        Column("at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "callbacks",
        Column("id", String(36), primary_key=True),
        Column("conversation", String(36), nullable=False),
        Column("reason", String(32), nullable=False),
        Column("number", String(20), nullable=True),
        Column("party_id", String(36), ForeignKey("parties.id"), nullable=True),
        Column("subscription_id", String(36), ForeignKey("subscriptions.id"), nullable=True),
        Column("ticket_id", String(36), ForeignKey("tickets.id"), nullable=True),
        Column("message", String(80), nullable=False),
        Column("text", Text, nullable=False),
        Column("state", String(16), nullable=False),
        Column("wanted_at", UtcDateTime, nullable=False),
        Column("done_at", UtcDateTime, nullable=True),
        Column("done_by", String(64), nullable=False),
        UniqueConstraint("conversation", "reason"),
        Index("ix_callbacks_state_wanted", "state", "wanted_at"),
    )
    op.create_table(
        "presence",
        Column("agent", String(64), primary_key=True),
        Column("node", String(32), primary_key=True),
        Column("since", UtcDateTime, nullable=False),
        Column("lost_at", UtcDateTime, nullable=True),
    )
    with op.batch_alter_table("flow_sessions") as table:
        table.add_column(Column("todo", JSON, nullable=True))
        table.add_column(Column("keyed", String(64), nullable=True))
        table.add_column(Column("generation", Integer, nullable=False, server_default="0"))
        table.add_column(Column("turn", Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("flow_sessions") as table:
        for name in ("turn", "generation", "keyed", "todo"):
            table.drop_column(name)
    for table_name in ("presence", "callbacks", "effects", "nodes"):
        op.drop_table(table_name)
