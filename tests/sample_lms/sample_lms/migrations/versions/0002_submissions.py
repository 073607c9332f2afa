"""Submitted work with attachments, and the results of a course."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0002"
down_revision = "0001"

COURSE_RESULTS = """
CREATE VIEW course_results AS
SELECT courses.id AS course_id, courses.code, count(DISTINCT enrolments.id) AS enrolments,
       count(submissions.id) AS submissions, avg(submissions.score) AS average_score
FROM courses
LEFT JOIN enrolments ON enrolments.course_id = courses.id
LEFT JOIN submissions ON submissions.enrolment_id = enrolments.id
GROUP BY courses.id
"""


def upgrade() -> None:
    op.create_table(
        "submissions",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("enrolment_id", sa.BigInteger, sa.ForeignKey("enrolments.id", ondelete="CASCADE"), nullable=False),
        sa.Column("lesson_id", sa.BigInteger, sa.ForeignKey("lessons.id"), nullable=False),
        sa.Column("submitted_at", TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("attachment_name", sa.Text),
        sa.Column("attachment", sa.LargeBinary),
        sa.Column("score", sa.Numeric(4, 1)),
    )
    op.create_index("submissions_enrolment", "submissions", ["enrolment_id", "submitted_at"])
    op.create_index("submissions_unscored", "submissions", ["submitted_at"], postgresql_where=sa.text("score IS NULL"))
    op.execute(COURSE_RESULTS)


def downgrade() -> None:
    op.execute("DROP VIEW course_results")
    op.drop_table("submissions")
