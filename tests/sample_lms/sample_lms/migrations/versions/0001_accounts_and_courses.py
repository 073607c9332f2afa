"""Accounts, courses, enrolments and the audit log."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import INET, JSON, JSONB, TIMESTAMP

revision = "0001"
down_revision = None

TIMESTAMPTZ = TIMESTAMP(timezone=True)


def upgrade() -> None:
    # A trusted extension: the database's owner may create it, no superuser is needed.
    op.execute("CREATE EXTENSION IF NOT EXISTS pgcrypto")
    create_accounts()
    create_courses()
    create_audit_log()


def create_accounts() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("email_encrypted", sa.LargeBinary, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("full_name", sa.Text, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("profile", JSONB, nullable=False, server_default="{}"),
        sa.Column("created_at", TIMESTAMPTZ, nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("role IN ('admin', 'instructor', 'student')", name="users_role_check"),
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.BigInteger, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("issued_at", TIMESTAMPTZ, nullable=False),
        sa.Column("expires_at", TIMESTAMPTZ, nullable=False),
        sa.Column("revoked_at", TIMESTAMPTZ),
    )


def create_courses() -> None:
    op.create_table(
        "courses",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("code", sa.String(20), nullable=False, unique=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("starts_on", sa.Date, nullable=False),
        sa.Column("ends_on", sa.Date, nullable=False),
        sa.Column("duration_days", sa.Integer, sa.Computed("ends_on - starts_on", persisted=True)),
        sa.Column("credits", sa.Numeric(3, 1), nullable=False),
        sa.Column("instructor_id", sa.BigInteger, sa.ForeignKey("users.id"), nullable=False),
        sa.CheckConstraint("ends_on > starts_on", name="courses_dates_check"),
    )
    op.create_table(
        "lessons",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("course_id", sa.BigInteger, sa.ForeignKey("courses.id", ondelete="CASCADE"), nullable=False),
        sa.Column("position", sa.SmallInteger, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.UniqueConstraint("course_id", "position"),
    )
    op.create_table(
        "enrolments",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("user_id", sa.BigInteger, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("course_id", sa.BigInteger, sa.ForeignKey("courses.id"), nullable=False),
        sa.Column("progress", JSONB, nullable=False, server_default="{}"),
        sa.Column("grade", sa.Numeric(5, 2)),
        sa.Column("enrolled_at", TIMESTAMPTZ, nullable=False, server_default=sa.func.now()),
        sa.UniqueConstraint("user_id", "course_id"),
    )


def create_audit_log() -> None:
    op.execute(sa.schema.CreateSequence(sa.Sequence("audit_log_number")))
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger, primary_key=True, server_default=sa.text("nextval('audit_log_number')")),
        sa.Column("at", TIMESTAMPTZ, nullable=False),
        # No foreign key: what a deleted user did stays on record.
        sa.Column("user_id", sa.BigInteger),
        sa.Column("method", sa.String(10), nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("duration_ms", sa.Double, nullable=False),
        sa.Column("client", INET),
        sa.Column("detail", JSON, nullable=False),
    )
    op.create_index("audit_log_at", "audit_log", ["at"])


def downgrade() -> None:
    for table in ("audit_log", "enrolments", "lessons", "courses", "refresh_tokens", "users"):
        op.drop_table(table)
    op.execute("DROP SEQUENCE audit_log_number")
