"""Announcements. Additive: the release before works on this schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("users", sa.Column("announcements_read_at", TIMESTAMP(timezone=True)))
    op.create_table(
        "announcements",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("course_id", sa.BigInteger, sa.ForeignKey("courses.id", ondelete="CASCADE"), nullable=False),
        sa.Column("author_id", sa.BigInteger, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("published_at", TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("body", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("announcements")
    op.drop_column("users", "announcements_read_at")
