"""The rows of each table as COPY's text format.

Nothing here holds a tab, a backslash or a line end of its own: `PARAGRAPH` and `BYTES` are as COPY wants them.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from argon2 import PasswordHasher

from sample_lms.generate.plan import COURSES_PER_STUDENT, LESSONS_PER_COURSE, Plan
from sample_lms.generate.text import Prose, full_name

KNOWN_EMAIL = "ada@example.edu"
KNOWN_PASSWORD = "notes-on-the-engine-1843"
TERM_START = datetime(2025, 1, 6, 8, tzinfo=UTC)
TERM = timedelta(days=280)

NULL = r"\N"
PARAGRAPH = r"\n\n"
BYTES = r"\\x"

# A second per thousand accounts instead of twenty: these accounts exist only in tests.
_quick_passwords = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass(frozen=True)
class Table:
    """One table's columns, in COPY order, and its rows."""

    name: str
    columns: str
    count: int
    row: Callable[[int], tuple[object, ...]]

    def lines(self) -> Iterator[str]:
        for number in range(1, self.count + 1):
            yield "\t".join(map(str, self.row(number))) + "\n"


class Rows:
    """Row builders; each is called once per id, in order, and that with the seed fixes every value."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self._plan = plan
        self._rng = random.Random(seed)
        self._prose = Prose(self._rng)
        self._first_name = self._rng.randrange(600_000)

    def users(self) -> Table:
        columns = "id, email, password_hash, full_name, role, profile, created_at"
        return Table("plain_users", columns, self._plan.users, self._user)

    def tables(self) -> list[Table]:
        """Every table but users, parents first."""
        plan = self._plan
        course = "id, code, title, description, starts_on, ends_on, credits, instructor_id"
        enrolment = "id, user_id, course_id, progress, grade, enrolled_at"
        submission = "id, enrolment_id, lesson_id, submitted_at, body, attachment_name, attachment, score"
        audit = "at, user_id, method, path, status, duration_ms, client, detail"
        return [
            Table("refresh_tokens", "id, user_id, token_sha256, issued_at, expires_at", plan.users, self._token),
            Table("courses", course, plan.courses, self._course),
            Table("lessons", "id, course_id, position, title, body", plan.lessons, self._lesson),
            Table("enrolments", enrolment, plan.enrolments, self._enrolment),
            Table("submissions", submission, plan.submissions, self._submission),
            Table("audit_log", audit, plan.audit_entries, self._audit_entry),
        ]

    def _moment(self, number: int, count: int) -> datetime:
        """Spread evenly over the term, to the microsecond, so that none is repeated."""
        return TERM_START + TERM * number / count + timedelta(microseconds=self._rng.randrange(1000))

    def _user(self, number: int) -> tuple[object, ...]:
        first, initial, last = full_name(self._first_name + number)
        name, email = f"{first} {initial}. {last}", f"{first}.{initial}.{last}@example.edu".lower()
        role = "instructor" if number % 20 == 2 else "student"
        if number == 1:
            name, email, role = "Ada Lovelace", KNOWN_EMAIL, "admin"
        password_hash = _quick_passwords.hash(KNOWN_PASSWORD, salt=self._rng.randbytes(16))
        return number, email, password_hash, name, role, self._profile(), self._moment(number, self._plan.users)

    def _profile(self) -> str:
        digits = self._rng.randrange(10**9)
        return json.dumps(
            {
                "phone": f"+1 {digits // 10**6 + 200} 555 {digits % 10**4:04}",
                "address": {"street": f"{digits % 9999} {self._prose.title()} Street", "zip": f"{digits % 10**5:05}"},
                "emergencyContact": " ".join(full_name(digits)),
                "about": self._prose.text(170),
            }
        )

    def _token(self, number: int) -> tuple[object, ...]:
        issued = self._moment(number, self._plan.users)
        digest = BYTES + self._rng.randbytes(32).hex()
        return UUID(int=self._rng.getrandbits(128), version=4), number, digest, issued, issued + timedelta(days=14)

    def _course(self, number: int) -> tuple[object, ...]:
        starts = date(2025, 1, 6) + timedelta(days=7 * (number % 30))
        ends = starts + timedelta(days=self._rng.randrange(40, 120))
        points = self._rng.randrange(2, 17) / 2
        instructor = 2 + 20 * (number % max(1, self._plan.users // 20))
        title, description = self._prose.title(), self._prose.text(600)
        return number, f"DA-{100 + number}", title, description, starts, ends, points, instructor

    def _lesson(self, number: int) -> tuple[object, ...]:
        course, position = divmod(number - 1, LESSONS_PER_COURSE)
        paragraphs = [self._prose.text(self._rng.randrange(300, 900)) for _ in range(self._rng.randrange(4, 12))]
        return number, course + 1, position + 1, self._prose.title(), PARAGRAPH.join(paragraphs)

    def _enrolment(self, number: int) -> tuple[object, ...]:
        done = self._rng.randrange(LESSONS_PER_COURSE + 1)
        moment = self._moment(number, self._plan.enrolments)
        progress = {
            "completed": list(range(1, done + 1)),
            "percent": round(100 * done / LESSONS_PER_COURSE, 1),
            "lastSeen": (moment + timedelta(days=done)).isoformat(),
            "note": self._prose.text(90),
        }
        grade = self._rng.randrange(4000, 10001) / 100 if done == LESSONS_PER_COURSE else NULL
        user = (number - 1) // COURSES_PER_STUDENT + 1
        return number, user, self._plan.course_of(number), json.dumps(progress), grade, moment

    def _submission(self, number: int) -> tuple[object, ...]:
        enrolment = (number - 1) % self._plan.enrolments + 1
        first_lesson = (self._plan.course_of(enrolment) - 1) * LESSONS_PER_COURSE + 1
        lesson = first_lesson + self._rng.randrange(LESSONS_PER_COURSE)
        attachment = name = NULL
        if number % 4 == 0:
            name = f"worksheet-{number}.pdf"
            attachment = BYTES + self._rng.randbytes(self._rng.randrange(1500, 9000)).hex()
        score = self._rng.randrange(0, 1001) / 10 if number % 10 else NULL
        body = self._prose.text(self._rng.randrange(500, 1700))
        return number, enrolment, lesson, self._moment(number, self._plan.submissions), body, name, attachment, score

    def _audit_entry(self, number: int) -> tuple[object, ...]:
        bits = self._rng.getrandbits(128)
        detail = (
            f'{{"requestId": "{bits:032x}", "userAgent": "Mozilla/5.0 (build {bits % 10**7})", '
            f'"query": "limit={bits % 200}&offset={bits % 99991}"}}'
        )
        method, status = ("GET", 200) if bits % 7 else ("POST", 201)
        path = f"/courses/{bits % self._plan.courses + 1}/lessons"
        client = f"10.{bits % 256}.{bits // 256 % 256}.{bits // 65536 % 254 + 1}"
        user = bits % self._plan.users + 1
        moment = self._moment(number, self._plan.audit_entries)
        return moment, user, method, path, status, bits % 250_000 / 1000, client, detail
