"""The catalogue of courses and their lessons."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from sample_lms.context import Sessions, SignedIn, Teacher
from sample_lms.models import Course, Lesson

router = APIRouter()


class CourseIn(BaseModel):
    code: str = Field(min_length=1, max_length=20)
    title: str = Field(min_length=1, max_length=200)
    description: str = Field("", max_length=20_000)
    starts_on: date
    ends_on: date
    credits: Decimal = Field(ge=0, le=60, decimal_places=1)

    @model_validator(mode="after")
    def ends_after_it_starts(self) -> "CourseIn":
        if self.ends_on <= self.starts_on:
            raise ValueError("ends_on must be after starts_on")
        return self


class CourseOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    code: str
    title: str
    starts_on: date
    ends_on: date
    duration_days: int
    credits: Decimal


class LessonOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    position: int
    title: str
    body: str


@router.get("/courses")
def list_courses(
    sessions: Sessions, limit: Annotated[int, Query(ge=1, le=200)] = 50, offset: Annotated[int, Query(ge=0)] = 0
) -> list[CourseOut]:
    with sessions() as session:
        courses = session.scalars(select(Course).order_by(Course.id).limit(limit).offset(offset))
        return [CourseOut.model_validate(course) for course in courses]


@router.post("/courses", status_code=201)
def create_course(body: CourseIn, teacher: Teacher, sessions: Sessions) -> CourseOut:
    course = Course(**body.model_dump(), instructor_id=teacher.user_id)
    try:
        with sessions.begin() as session:
            session.add(course)
            session.flush()
            return CourseOut.model_validate(course)
    except IntegrityError as error:
        raise HTTPException(409, "there is a course with this code") from error


@router.get("/courses/{course_id}/lessons")
def list_lessons(course_id: int, identity: SignedIn, sessions: Sessions) -> list[LessonOut]:
    with sessions() as session:
        lessons = session.scalars(select(Lesson).where(Lesson.course_id == course_id).order_by(Lesson.position))
        return [LessonOut.model_validate(lesson) for lesson in lessons]
