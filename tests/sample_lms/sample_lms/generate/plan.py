"""How many rows of each kind make a database of a given size: the same size always means the same rows."""

from dataclasses import dataclass

EMPTY_DATABASE = 8_000_000
"""What PostgreSQL's own catalog and the empty schema take, in bytes."""
SMALLEST = 16_000_000

LESSONS_PER_COURSE = 12
COURSES_PER_STUDENT = 4

# Bytes on disk per row, indexes and TOAST included: measured on PostgreSQL 15 at 1 GB.
BYTES_PER_STUDENT = 2_460
BYTES_PER_COURSE = 31_700
BYTES_PER_SUBMISSION = 2_730
BYTES_PER_AUDIT_ENTRY = 286

STUDENTS_SHARE, COURSES_SHARE, SUBMISSIONS_SHARE, AUDIT_SHARE = 0.02, 0.10, 0.58, 0.30


@dataclass(frozen=True)
class Plan:
    """Row counts; ids run from 1 to these."""

    users: int
    courses: int
    submissions: int
    audit_entries: int

    @property
    def lessons(self) -> int:
        return self.courses * LESSONS_PER_COURSE

    @property
    def enrolments(self) -> int:
        return self.users * COURSES_PER_STUDENT

    def course_of(self, enrolment: int) -> int:
        """The course of an enrolment: those of one user are different courses."""
        user, nth = divmod(enrolment - 1, COURSES_PER_STUDENT)
        return (user * 5 + nth) % self.courses + 1


def plan_for(size: int) -> Plan:
    """Return the rows that make a database of `size` bytes, which must be at least SMALLEST."""
    payload = size - EMPTY_DATABASE
    return Plan(
        users=max(20, round(payload * STUDENTS_SHARE / BYTES_PER_STUDENT)),
        courses=max(COURSES_PER_STUDENT, round(payload * COURSES_SHARE / BYTES_PER_COURSE)),
        submissions=round(payload * SUBMISSIONS_SHARE / BYTES_PER_SUBMISSION),
        audit_entries=round(payload * AUDIT_SHARE / BYTES_PER_AUDIT_ENTRY),
    )
