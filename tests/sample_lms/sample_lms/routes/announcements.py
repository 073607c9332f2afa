"""News of a course, from v1.3.0 on. Only this module knows the schema that came with it."""

from datetime import datetime

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ForeignKey, Identity, func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from sample_lms.context import Sessions, SignedIn, Teacher
from sample_lms.database import Base
from sample_lms.models import Enrolment, Timestamp

router = APIRouter()


class Announcement(Base):
    __tablename__ = "announcements"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    course_id: Mapped[int] = mapped_column(ForeignKey("courses.id"))
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    published_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    body: Mapped[str]


class AnnouncementIn(BaseModel):
    course_id: int
    body: str = Field(min_length=1, max_length=20_000)


class AnnouncementOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    course_id: int
    published_at: datetime
    body: str


@router.post("/announcements", status_code=201)
def announce(body: AnnouncementIn, teacher: Teacher, sessions: Sessions) -> AnnouncementOut:
    announcement = Announcement(**body.model_dump(), author_id=teacher.user_id)
    try:
        with sessions.begin() as session:
            session.add(announcement)
            session.flush()
            return AnnouncementOut.model_validate(announcement)
    except IntegrityError as error:
        raise HTTPException(422, "there is no such course") from error


@router.get("/announcements")
def read_announcements(identity: SignedIn, sessions: Sessions) -> list[AnnouncementOut]:
    """Return the news of one's own courses, and remember that they were read."""
    own_courses = select(Enrolment.course_id).where(Enrolment.user_id == identity.user_id)
    news = select(Announcement).where(Announcement.course_id.in_(own_courses)).order_by(Announcement.id)
    with sessions.begin() as session:
        session.execute(text("UPDATE users SET announcements_read_at = now() WHERE id = :id"), {"id": identity.user_id})
        return [AnnouncementOut.model_validate(announcement) for announcement in session.scalars(news)]
