"""When a school needs more: class hours, terms, exams and holidays, in the time of the school's clocks."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from aada_operator.api.common import (
    DnsLabel,
    Duration,
    Model,
    ObjectName,
    SecretKeyName,
    TimeZone,
    named_list,
    rules,
    seconds,
)

_CLASS_ENDS = "to: must be later than from; hours over midnight are two entries"
_TERM_ENDS = "to: the last day of a term cannot be before its first"
_WINDOW_ENDS = "to: must be later than from"
_NO_HOLIDAYS = "holidays: name a country, a configMapRef, or both"
_NO_COUNTRY = "subdivision: belongs to a country: name that, too"
_LONGEST_PREWARM = 86_400


def _check_date(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no day of the calendar; example: 2026-09-01") from None
    return text


def _check_moment(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time of the calendar; example: 2026-12-14T08:00") from None
    return text


def _check_prewarm(duration: str) -> str:
    if seconds(duration) > _LONGEST_PREWARM:
        raise ValueError(f"{duration!r} is more than a day")
    return duration


Day = Annotated[
    str, StringConstraints(max_length=10, pattern=r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_check_date)
]
WallTime = Annotated[str, StringConstraints(max_length=5, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
WallMoment = Annotated[
    str,
    StringConstraints(max_length=16, pattern=r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]$"),
    AfterValidator(_check_moment),
]
Weekday = Literal["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
Floor = Annotated[int, Field(ge=1, le=100, description="Pods that are there at least.")]


class ClassHours(Model):
    """Hours of the week in which at least so many pods are there."""

    model_config = ConfigDict(json_schema_extra=rules(("self.from < self.to", _CLASS_ENDS)))

    days: Annotated[list[Weekday], Field(min_length=1, max_length=7, description="Days of the week.")] = [
        "MON",
        "TUE",
        "WED",
        "THU",
        "FRI",
    ]
    from_: Annotated[WallTime, Field(alias="from", description="First minute, as 08:00.")]
    to: Annotated[WallTime, Field(description="The minute after the last, as 15:30.")]
    min_replicas: Floor

    @model_validator(mode="after")
    def _ends(self) -> "ClassHours":
        if self.from_ >= self.to:
            raise ValueError(_CLASS_ENDS)
        return self


class Term(Model):
    """Days between which class hours count; both are part of it."""

    model_config = ConfigDict(json_schema_extra=rules(("self.from <= self.to", _TERM_ENDS)))

    from_: Annotated[Day, Field(alias="from", description="First day.")]
    to: Annotated[Day, Field(description="Last day.")]

    @model_validator(mode="after")
    def _ends(self) -> "Term":
        if self.from_ > self.to:
            raise ValueError(_TERM_ENDS)
        return self


class Window(Model):
    """A time that comes once."""

    model_config = ConfigDict(json_schema_extra=rules(("self.from < self.to", _WINDOW_ENDS)))

    name: Annotated[DnsLabel, Field(description="Name, for conditions and Events.")]
    from_: Annotated[WallMoment, Field(alias="from", description="Begin, as 2026-12-14T08:00.")]
    to: Annotated[WallMoment, Field(description="End.")]

    @model_validator(mode="after")
    def _ends(self) -> "Window":
        if self.from_ >= self.to:
            raise ValueError(_WINDOW_ENDS)
        return self


class ExamWindow(Window):
    """A time with at least so many pods, on holidays and out of term, too."""

    min_replicas: Floor


class Freeze(Window):
    """A time in which the number of pods stays as it is at its begin."""


class CalendarFile(Model):
    """An iCalendar file (RFC 5545) in a ConfigMap of the same namespace."""

    name: Annotated[ObjectName, Field(description="Name of the ConfigMap.")]
    key: Annotated[SecretKeyName, Field(description="Key inside the ConfigMap, as holidays.ics.")]


class Holidays(Model):
    """Times in which class hours do not count: of a country, of a file, or of both."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.country) || has(self.configMapRef)", _NO_HOLIDAYS),
            ("has(self.country) || !has(self.subdivision)", _NO_COUNTRY),
        )
    )

    country: Annotated[
        str | None, Field(max_length=2, pattern=r"^[A-Z]{2}$", description="ISO 3166 code, as US: public holidays.")
    ] = None
    subdivision: Annotated[
        str | None, Field(max_length=10, pattern=r"^[A-Za-z0-9-]+$", description="State or province, as IL.")
    ] = None
    config_map_ref: Annotated[
        CalendarFile | None, Field(description="Events of an iCalendar file: all-day ones, and parts of a day.")
    ] = None

    @model_validator(mode="after")
    def _is_known(self) -> "Holidays":
        if not self.country and not self.config_map_ref:
            raise ValueError(_NO_HOLIDAYS)
        if not self.country:
            if self.subdivision:
                raise ValueError(_NO_COUNTRY)
            return self
        known = _countries()
        if self.country not in known:
            raise ValueError(f"country: {self.country!r} has no public holidays here; example: US")
        if self.subdivision and self.subdivision not in known[self.country]:
            raise ValueError(f"subdivision: {self.subdivision!r} is none of {self.country}")
        return self


def _countries() -> Mapping[str, list[str]]:
    # Only who validates holidays pays for the library.
    from holidays import list_supported_countries

    found: Mapping[str, list[str]] = list_supported_countries()
    return found


class Calendar(Model):
    """What raises the lower bound: the highest of all that apply counts."""

    time_zone: Annotated[TimeZone, Field(description="Time zone of all times here.")] = "Etc/UTC"
    class_hours: Annotated[list[ClassHours], Field(max_length=20, description="Hours of every week of a term.")] = []
    terms: Annotated[list[Term], Field(max_length=20, description="Absent: class hours count all year.")] = []
    exam_windows: Annotated[
        list[ExamWindow], Field(max_length=50, json_schema_extra=named_list(), description="Exams.")
    ] = []
    freezes: Annotated[
        list[Freeze],
        Field(max_length=20, json_schema_extra=named_list(), description="Times in which nothing is scaled."),
    ] = []
    holidays: Annotated[Holidays | None, Field(description="Days, or parts of days, without class hours.")] = None
    prewarm: Annotated[
        Duration,
        AfterValidator(_check_prewarm),
        Field(description="How long before class hours and exams the pods are started; a day at most."),
    ] = "15m"

    @model_validator(mode="after")
    def _names_differ(self) -> "Calendar":
        for field, windows in (("examWindows", self.exam_windows), ("freezes", self.freezes)):
            names = [window.name for window in windows]
            if len(set(names)) != len(names):
                raise ValueError(f"{field}: names must differ")
        return self

    def highest_floor(self) -> int:
        """The most pods that any entry wants."""
        floors = [hours.min_replicas for hours in self.class_hours] + [exam.min_replicas for exam in self.exam_windows]
        return max(floors, default=0)
