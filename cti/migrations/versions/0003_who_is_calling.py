"""Who is calling: links with a life, proposals, proofs and their counted guesses, codes and messages out, lines that are down, merges,
and imports that can be undone."""

from alembic import op
from sqlalchemy import JSON, Column, Double, ForeignKey, Index, Integer, String, Text, UniqueConstraint, text

from cti.db import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

IMPORTED = ("households", "parties", "subscriptions", "contact_points", "links")
LINKED = (("links", "household_id"), ("links", "subscription_id"))  # mostly empty: what is not there needs no entry
SELDOM = (("parties", "merged_into_id"), ("subscriptions", "depends_on_id"))
TABLES = (  # in the order in which they refer to one another
    "imports", "link_proposals", "one_time_codes", "outbox", "guesses", "line_states", "merges", "merge_proposals",
)  # fmt: skip


def upgrade() -> None:
    _imports()
    _links()
    _proofs()
    _merges()
    _columns()
    _indexes()


def _imports() -> None:
    op.create_table(
        "imports",
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("file", String(300), nullable=False),
        Column("checksum", String(64), nullable=False),
        Column("mapping", JSON, nullable=False),
        Column("state", String(16), nullable=False),
        Column("line", Integer, nullable=False),
        Column("counts", JSON, nullable=False),
        Column("started_at", UtcDateTime, nullable=False),
        Column("ended_at", UtcDateTime, nullable=True),
        Column("by", String(64), nullable=False),
    )
    for table in IMPORTED:
        op.add_column(table, Column("batch", Integer, nullable=True))


def _links() -> None:
    op.create_table(
        "link_proposals",
        Column("id", String(36), primary_key=True),
        Column("contact_point_id", String(36), ForeignKey("contact_points.id"), nullable=False),
        Column("party_id", String(36), ForeignKey("parties.id"), nullable=True),
        Column("household_id", String(36), ForeignKey("households.id"), nullable=True),
        Column("subscription_id", String(36), ForeignKey("subscriptions.id"), nullable=True),
        Column("role", String(16), nullable=False),
        Column("reason", String(16), nullable=False),
        Column("conversation", String(36), nullable=True),
        Column("state", String(16), nullable=False),
        Column("made_at", UtcDateTime, nullable=False),
        Column("settled_at", UtcDateTime, nullable=True),
        Column("settled_by", String(64), nullable=False),
        Column("link_id", String(36), ForeignKey("links.id"), nullable=True),
        Index("ix_link_proposals_contact_point", "contact_point_id", "state"),
        Index("ix_link_proposals_state_made", "state", "made_at"),
        Index("ix_link_proposals_conversation", "conversation"),
    )
    op.create_table(
        "line_states",
        Column("subscription_id", String(36), ForeignKey("subscriptions.id"), primary_key=True),
        Column("state", String(8), nullable=False),
        Column("since", UtcDateTime, nullable=False),
        Column("source", String(64), nullable=False),
        Index("ix_line_states_state", "state"),
    )


def _proofs() -> None:
    op.create_table(
        "one_time_codes",
        Column("id", String(36), primary_key=True),
        Column("purpose", String(16), nullable=False),
        Column("subject", String(36), nullable=False),
        Column("contact_point_id", String(36), ForeignKey("contact_points.id"), nullable=False),
        Column("code_hash", String(64), nullable=False),
        Column("state", String(16), nullable=False),
        Column("tries", Integer, nullable=False),
        Column("made_at", UtcDateTime, nullable=False),
        Column("expires_at", UtcDateTime, nullable=False),
        Column("settled_at", UtcDateTime, nullable=True),
        Index("ix_one_time_codes_subject", "subject"),
        Index("ix_one_time_codes_contact_point", "contact_point_id", "state"),
    )
    op.create_table(
        "outbox",
        Column("id", String(36), primary_key=True),
        Column("key", String(160), nullable=False, unique=True),
        Column("channel_id", String(32), ForeignKey("channels.id"), nullable=False),
        Column("contact_point_id", String(36), ForeignKey("contact_points.id"), nullable=False),
        Column("purpose", String(32), nullable=False),
        Column("text", Text, nullable=False),
        Column("state", String(16), nullable=False),
        Column("tries", Integer, nullable=False),
        Column("made_at", UtcDateTime, nullable=False),
        Column("next_at", UtcDateTime, nullable=False),
        Column("sent_at", UtcDateTime, nullable=True),
        Column("external_id", String(200), nullable=False),
        Column("error", String(200), nullable=False),
        Index("ix_outbox_state_next", "state", "next_at"),
    )
    op.create_table(
        "guesses",
        Column("key", String(100), primary_key=True),
        Column("since", UtcDateTime, nullable=False),
        Column("count", Integer, nullable=False),
        Column("alarmed_at", UtcDateTime, nullable=True),
    )


def _merges() -> None:
    op.create_table(
        "merges",
        Column("id", String(36), primary_key=True),
        Column("kept_id", String(36), ForeignKey("parties.id"), nullable=False, index=True),
        Column("gone_id", String(36), ForeignKey("parties.id"), nullable=False, index=True),
        Column("reason", String(200), nullable=False),
        Column("by", String(64), nullable=False),
        Column("at", UtcDateTime, nullable=False),
        Column("moves", JSON, nullable=False),
        Column("undone_at", UtcDateTime, nullable=True),
        Column("undone_by", String(64), nullable=False),
    )
    op.create_table(
        "merge_proposals",
        Column("id", String(36), primary_key=True),
        Column("a_id", String(36), ForeignKey("parties.id"), nullable=False),
        Column("b_id", String(36), ForeignKey("parties.id"), nullable=False),
        Column("score", Double, nullable=False),
        Column("reasons", JSON, nullable=False),
        Column("source", String(16), nullable=False),
        Column("state", String(16), nullable=False),
        Column("made_at", UtcDateTime, nullable=False),
        Column("settled_at", UtcDateTime, nullable=True),
        Column("settled_by", String(64), nullable=False),
        UniqueConstraint("a_id", "b_id"),
        Index("ix_merge_proposals_state_score", "state", "score"),
    )


def _columns() -> None:
    op.add_column("conversations", Column("evidence", JSON, nullable=True))
    op.add_column("conversations", Column("proof", JSON, nullable=True))
    op.add_column("interactions", Column("party_by", String(36), nullable=True))
    op.add_column("parties", Column("merged_into_id", String(36), nullable=True))
    op.add_column("parties", Column("pin_hash", String(200), nullable=True))


def _indexes() -> None:
    op.create_index(
        "ix_subscriptions_last_four", "subscriptions", [text("substr(line_number, length(line_number) - 3)")]
    )
    for table, column in LINKED:
        op.drop_index(f"ix_{table}_{column}", table)
    for table, column in (*LINKED, *SELDOM):
        known = text(f"{column} IS NOT NULL")
        op.create_index(f"ix_{table}_{column}", table, [column], sqlite_where=known, postgresql_where=known)


def downgrade() -> None:
    op.drop_index("ix_subscriptions_last_four", "subscriptions")
    for table, column in (*LINKED, *SELDOM):
        op.drop_index(f"ix_{table}_{column}", table)
    for table, column in LINKED:
        op.create_index(f"ix_{table}_{column}", table, [column])
    op.drop_column("parties", "pin_hash")
    op.drop_column("parties", "merged_into_id")
    op.drop_column("interactions", "party_by")
    for name in ("proof", "evidence"):
        op.drop_column("conversations", name)
    for name in reversed(IMPORTED):
        op.drop_column(name, "batch")
    for name in reversed(TABLES):
        op.drop_table(name)
