"""What students, teachers and probes get from the sample LMS."""

import base64
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.service.sample_lms.conftest import Serve
from tests.service.sample_lms.harness import ENCRYPTION_KEY, JWT_KEY, LOGIN, RunningLms
from tests.service.servers import PostgresServer

COURSE = {"title": "Infection control", "starts_on": "2026-01-12", "ends_on": "2026-03-13", "credits": "4.5"}


@pytest.fixture(scope="module")
def lms(school: tuple[str, str], start: Serve) -> Iterator[RunningLms]:
    with start(school[1]) as running:
        yield running


@pytest.fixture
def sql(school: tuple[str, str], server: PostgresServer) -> Iterator[psycopg.Connection]:
    with server.admin(school[0]) as session:
        yield session


@pytest.fixture
def student(sql: psycopg.Connection) -> str:
    """A student's e-mail address, as only the key's holder can read it."""
    query = "SELECT pgp_sym_decrypt(email_encrypted, %s) FROM users WHERE role = 'student' ORDER BY id LIMIT 1"
    [[email]] = sql.execute(query, [ENCRYPTION_KEY]).fetchall()
    assert isinstance(email, str)
    return email


def test_a_user_signs_in_and_sees_their_own_profile(lms: RunningLms) -> None:
    me = lms.http.get("/me", headers=lms.signed_in()).json()
    assert (me["email"], me["full_name"], me["role"]) == ("ada@example.edu", "Ada Lovelace", "admin")
    assert me["profile"]["address"]["street"]


@pytest.mark.parametrize("wrong", [{"password": "guess"}, {"email": "nobody@example.edu"}])
def test_a_wrong_password_or_address_is_refused(lms: RunningLms, wrong: dict[str, str]) -> None:
    assert lms.http.post("/auth/login", json=LOGIN | wrong).status_code == 401


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer not-a-token"}])
def test_without_a_valid_token_there_is_no_profile(lms: RunningLms, header: dict[str, str]) -> None:
    assert lms.http.get("/me", headers=header).status_code == 401


def test_addresses_and_tokens_are_not_readable_in_the_database(lms: RunningLms, sql: psycopg.Connection) -> None:
    token = lms.login()["refresh_token"]
    rows = sql.execute("SELECT email_encrypted FROM users UNION ALL SELECT token_sha256 FROM refresh_tokens")
    stored = b"".join(bytes(value) for (value,) in rows)
    assert b"ada@example.edu" not in stored
    assert token.encode() not in stored


def test_a_refresh_token_works_once_and_brings_the_next_one(lms: RunningLms, sql: psycopg.Connection) -> None:
    first = lms.login()["refresh_token"]
    answer = lms.http.post("/auth/refresh", json={"refresh_token": first})
    second = answer.json()["refresh_token"]
    header = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert lms.http.get("/me", headers=header).status_code == 200
    assert lms.http.post("/auth/refresh", json={"refresh_token": first}).status_code == 401
    assert lms.http.post("/auth/refresh", json={"refresh_token": second}).status_code == 200
    assert sql.execute("SELECT count(*) FROM refresh_tokens WHERE revoked_at IS NOT NULL").fetchall() == [(2,)]


def test_of_two_simultaneous_refreshes_one_wins(lms: RunningLms) -> None:
    body = {"refresh_token": lms.login()["refresh_token"]}
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: lms.http.post("/auth/refresh", json=body).status_code, range(4)))
    assert sorted(answers) == [200, 401, 401, 401]


def test_tokens_of_the_former_key_are_valid_while_it_is_accepted(
    lms: RunningLms, school: tuple[str, str], start: Serve
) -> None:
    former = lms.signed_in()
    rotated = "another-key-" + "f" * 32
    with start(school[1], JWT_SECRET_KEY=rotated, JWT_SECRET_KEYS_ACCEPTED=f"{JWT_KEY},{rotated}") as after:
        assert after.http.get("/me", headers=former).status_code == 200
        assert lms.http.get("/me", headers=after.signed_in()).status_code == 401
    with start(school[1], JWT_SECRET_KEY=rotated) as retired:
        assert retired.http.get("/me", headers=former).status_code == 401


def test_teachers_create_courses_and_students_may_not(lms: RunningLms, student: str) -> None:
    teacher = lms.signed_in()
    made = lms.http.post("/courses", json=COURSE | {"code": "NEW-1"}, headers=teacher)
    assert (made.status_code, made.json()["duration_days"]) == (201, 60)
    assert lms.http.post("/courses", json=COURSE | {"code": "NEW-1"}, headers=teacher).status_code == 409
    assert (
        lms.http.post("/courses", json=COURSE | {"code": "NEW-2"}, headers=lms.signed_in(email=student)).status_code
        == 403
    )
    codes = [course["code"] for course in lms.http.get("/courses", params={"limit": 200}).json()]
    assert codes.count("NEW-1") == 1
    assert "NEW-2" not in codes


def test_a_student_enrols_reads_a_lesson_and_hands_in_work(
    lms: RunningLms, student: str, sql: psycopg.Connection
) -> None:
    header = lms.signed_in(email=student)
    taken = {enrolment["course_id"] for enrolment in lms.http.get("/enrolments", headers=header).json()}
    course = next(item["id"] for item in lms.http.get("/courses").json() if item["id"] not in taken)
    enrolment = lms.http.post("/enrolments", json={"course_id": course}, headers=header)
    assert enrolment.status_code == 201
    assert lms.http.post("/enrolments", json={"course_id": course}, headers=header).status_code == 409
    lesson = lms.http.get(f"/courses/{course}/lessons", headers=header).json()[0]
    work = {"lesson_id": lesson["id"], "body": "My notes", "attachment_name": "notes.bin"}
    work["attachment"] = base64.b64encode(bytes(range(256))).decode()
    handed_in = lms.http.post(f"/enrolments/{enrolment.json()['id']}/submissions", json=work, headers=header)
    assert handed_in.status_code == 201
    stored = sql.execute("SELECT attachment FROM submissions WHERE id = %s", [handed_in.json()["id"]]).fetchall()
    assert stored == [(bytes(range(256)),)]


def test_health_answers_as_the_runbook_says(lms: RunningLms) -> None:
    answer = lms.http.get("/health")
    body = answer.json()
    assert answer.status_code == 200
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body.pop("timestamp"))
    assert body == {"status": "healthy", "database": "connected"}


def test_every_request_leaves_one_audit_row_before_it_is_answered(lms: RunningLms, sql: psycopg.Connection) -> None:
    header = lms.signed_in()
    [[before]] = sql.execute("SELECT max(id) FROM audit_log").fetchall()
    lms.http.get("/health")
    lms.http.get("/me", headers=header)
    lms.http.get("/no-such-page")
    lms.http.post("/auth/login", json=LOGIN | {"password": "guess"})
    rows = sql.execute(
        "SELECT method, path, status, user_id, host(client) FROM audit_log WHERE id > %s ORDER BY id", [before]
    ).fetchall()
    assert rows == [
        ("GET", "/health", 200, None, "127.0.0.1"),
        ("GET", "/me", 200, 1, "127.0.0.1"),
        ("GET", "/no-such-page", 404, None, "127.0.0.1"),
        ("POST", "/auth/login", 401, None, "127.0.0.1"),
    ]
