"""What a student takes part in, and hands in."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from sample_lms.context import Sessions, SignedIn
from sample_lms.models import Enrolment, Submission

router = APIRouter()


class EnrolmentIn(BaseModel):
    course_id: int


class EnrolmentOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    course_id: int
    progress: dict[str, Any]
    grade: Decimal | None
    enrolled_at: datetime


class SubmissionIn(BaseModel):
    lesson_id: int
    body: str = Field(min_length=1, max_length=100_000)
    attachment_name: str | None = Field(None, max_length=200)
    attachment: Base64Bytes | None = Field(None, max_length=5_000_000)


class SubmissionOut(BaseModel):
    id: int
    submitted_at: datetime


@router.post("/enrolments", status_code=201)
def enrol(body: EnrolmentIn, identity: SignedIn, sessions: Sessions) -> EnrolmentOut:
    enrolment = Enrolment(
        user_id=identity.user_id,
        course_id=body.course_id,
        progress={"completed": [], "percent": 0},
        enrolled_at=datetime.now(UTC),
    )
    try:
        with sessions.begin() as session:
            session.add(enrolment)
            session.flush()
            return EnrolmentOut.model_validate(enrolment)
    except IntegrityError as error:
        raise HTTPException(409, "already enrolled, or there is no such course") from error


@router.get("/enrolments")
def list_enrolments(identity: SignedIn, sessions: Sessions) -> list[EnrolmentOut]:
    with sessions() as session:
        own = session.scalars(select(Enrolment).where(Enrolment.user_id == identity.user_id).order_by(Enrolment.id))
        return [EnrolmentOut.model_validate(enrolment) for enrolment in own]


@router.post("/enrolments/{enrolment_id}/submissions", status_code=201)
def submit(enrolment_id: int, body: SubmissionIn, identity: SignedIn, sessions: Sessions) -> SubmissionOut:
    try:
        with sessions.begin() as session:
            enrolment = session.get(Enrolment, enrolment_id)
            if enrolment is None or enrolment.user_id != identity.user_id:
                raise HTTPException(404, "no such enrolment")
            submission = Submission(enrolment_id=enrolment_id, submitted_at=datetime.now(UTC), **dict(body))
            session.add(submission)
            session.flush()
            return SubmissionOut(id=submission.id, submitted_at=submission.submitted_at)
    except IntegrityError as error:
        raise HTTPException(422, "there is no such lesson") from error
