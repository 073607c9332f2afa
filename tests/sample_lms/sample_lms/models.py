"""Users, courses, what students did in them, and who asked the API for what."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Computed, DateTime, ForeignKey, Identity, Numeric, Sequence
from sqlalchemy.dialects.postgresql import INET, JSON, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sample_lms.database import Base

Timestamp = DateTime(timezone=True)
audit_log_number = Sequence("audit_log_number")


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    email_encrypted: Mapped[bytes]
    password_hash: Mapped[str]
    full_name: Mapped[str]
    role: Mapped[str]
    profile: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(Timestamp)


class RefreshToken(Base):
    __tablename__ = "refresh_tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    token_sha256: Mapped[bytes]
    issued_at: Mapped[datetime] = mapped_column(Timestamp)
    expires_at: Mapped[datetime] = mapped_column(Timestamp)
    revoked_at: Mapped[datetime | None] = mapped_column(Timestamp)


class Course(Base):
    __tablename__ = "courses"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    code: Mapped[str]
    title: Mapped[str]
    description: Mapped[str]
    starts_on: Mapped[date]
    ends_on: Mapped[date]
    duration_days: Mapped[int] = mapped_column(Computed("ends_on - starts_on", persisted=True))
    credits: Mapped[Decimal] = mapped_column(Numeric(3, 1))
    instructor_id: Mapped[int] = mapped_column(ForeignKey("users.id"))


class Lesson(Base):
    __tablename__ = "lessons"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    course_id: Mapped[int] = mapped_column(ForeignKey("courses.id"))
    position: Mapped[int]
    title: Mapped[str]
    body: Mapped[str]


class Enrolment(Base):
    __tablename__ = "enrolments"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    course_id: Mapped[int] = mapped_column(ForeignKey("courses.id"))
    progress: Mapped[dict[str, Any]] = mapped_column(JSONB)
    grade: Mapped[Decimal | None] = mapped_column(Numeric(5, 2))
    enrolled_at: Mapped[datetime] = mapped_column(Timestamp)


class Submission(Base):
    __tablename__ = "submissions"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    enrolment_id: Mapped[int] = mapped_column(ForeignKey("enrolments.id"))
    lesson_id: Mapped[int] = mapped_column(ForeignKey("lessons.id"))
    submitted_at: Mapped[datetime] = mapped_column(Timestamp)
    body: Mapped[str]
    attachment_name: Mapped[str | None]
    attachment: Mapped[bytes | None]
    score: Mapped[Decimal | None] = mapped_column(Numeric(4, 1))


class AuditEntry(Base):
    __tablename__ = "audit_log"

    id: Mapped[int] = mapped_column(audit_log_number, primary_key=True)
    at: Mapped[datetime] = mapped_column(Timestamp)
    user_id: Mapped[int | None]
    method: Mapped[str]
    path: Mapped[str]
    status: Mapped[int]
    duration_ms: Mapped[float]
    client: Mapped[str | None] = mapped_column(INET)
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)
