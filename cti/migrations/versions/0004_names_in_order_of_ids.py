"""Names are searched through whole, in an index that an import only appends to: see docs/import.md."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SORTED, APPENDED = "ix_parties_search_text", "ix_parties_names"


def upgrade() -> None:
    op.drop_index(SORTED, "parties")
    op.create_index(APPENDED, "parties", ["id", "search_text"])


def downgrade() -> None:
    op.drop_index(APPENDED, "parties")
    op.create_index(SORTED, "parties", ["search_text"])
