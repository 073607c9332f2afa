"""What an operator has to cope with when schools run this application: each fact is shown on the real thing."""

import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.service.sample_lms.conftest import MakeRelease, NewDatabase, Serve
from tests.service.sample_lms.harness import (
    DATABASE_PASSWORD,
    ENCRYPTION_KEY,
    JWT_KEY,
    LOGIN,
    RunningLms,
)
from tests.service.servers import PostgresServer, wait_for


@contextmanager
def locked(server: PostgresServer, database: str, table: str) -> Iterator[None]:
    """Keep everyone else out of a table."""
    with server.admin(database) as session, session.transaction():
        session.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


def sessions(server: PostgresServer, database: str, condition: str = "true") -> int:
    """How many sessions the application has in the database."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'lms'"
    return int(server.value(f"{query} AND datname = '{database}' AND {condition}"))


def send_without_waiting(lms: RunningLms, stack: ExitStack, requests: int) -> None:
    """Have so many requests in flight; the connections close with the stack."""
    for _ in range(requests):
        client = stack.enter_context(socket.create_connection(lms.address))
        client.sendall(b"GET /health HTTP/1.1\r\nHost: lms\r\n\r\n")


def test_one_pod_of_a_school_opens_240_connections(
    server: PostgresServer, school: tuple[str, str], start: Serve
) -> None:
    """Workers x (pool + overflow) = 4 x (20 + 40), each waiting for the audit row of its request."""
    name, url = school
    with start(url, SAMPLE_LMS_PROFILE="school") as lms, ExitStack() as clients:
        assert lms.http.get("/health").status_code == 200
        with locked(server, name, "audit_log"):

            def every_connection_waits() -> bool:
                # A few at a time: one worker would take all that come at once.
                send_without_waiting(lms, clients, 10)
                return sessions(server, name, "wait_event_type = 'Lock'") == 240

            wait_for(every_connection_waits, "240 sessions that wait", seconds=60)
            assert sessions(server, name) == 240


def test_pool_sizes_cannot_be_set_from_outside(school: tuple[str, str], release: MakeRelease) -> None:
    show = (
        "from sample_lms.settings import *; from sample_lms.database import *; "
        "print(create_pool(Settings()).pool.status())"
    )
    done = release("v1.2.3").run(
        "python", "-c", show, url=school[1], SAMPLE_LMS_PROFILE="school", POOL_SIZE="1", MAX_OVERFLOW="0", WORKERS="1"
    )
    assert "Pool size: 20 " in done.stdout, done.stderr
    assert "Current Overflow: -20 " in done.stdout


def test_three_pods_that_migrate_a_fresh_database_together_race(
    server: PostgresServer, new_database: NewDatabase, release: MakeRelease
) -> None:
    """All three have seen an empty database before any of them may write; that is what a simultaneous start is."""
    name, url = new_database()
    with server.admin(name) as gate, ExitStack() as stack:
        with gate.transaction(force_rollback=True):
            gate.execute("CREATE TABLE alembic_version (version_num text)")
            pods = [
                stack.enter_context(release("v1.2.3").spawn("alembic", "upgrade", "head", url=url)) for _ in range(3)
            ]
            wait_for(lambda: sessions(server, name, "wait_event_type = 'Lock'") == 3, "three migrators at the gate")
        errors = [pod.communicate(timeout=60)[1] for pod in pods]
    assert sum(pod.returncode == 0 for pod in pods) == 1, errors
    assert any("already exists" in error or "UniqueViolation" in error for error in errors)


def test_an_older_image_refuses_a_newer_schema_unless_its_command_is_overridden(
    new_database: NewDatabase, release: MakeRelease, start: Serve
) -> None:
    _, url = new_database()
    release("v1.3.0").migrate(url)
    image_default = release("v1.2.3").run("./start.sh", url=url, GUNICORN_CMD_ARGS="--check-config")
    assert image_default.returncode != 0
    assert "Can't locate revision identified by '0003'" in image_default.stderr
    with start(url, "v1.2.3") as older:
        assert older.http.get("/health").status_code == 200
        assert older.http.post("/auth/login", json=LOGIN).status_code == 401


def test_the_older_release_works_fully_on_the_newer_schema(
    new_database: NewDatabase, release: MakeRelease, start: Serve
) -> None:
    _, url = new_database()
    release("v1.2.3").migrate(url)
    filled = release("v1.2.3").run("python", "-m", "sample_lms.generate", "--size", "16MB", url=url)
    assert filled.returncode == 0, filled.stderr
    release("v1.3.0").migrate(url)
    course = {"code": "C", "title": "T", "starts_on": "2026-01-12", "ends_on": "2026-03-13", "credits": 1}
    with start(url, "v1.2.3") as older, start(url, "v1.3.0") as newer:
        header = older.signed_in()
        made = older.http.post("/courses", json=course, headers=header)
        assert made.status_code == 201
        enrolment = {"course_id": made.json()["id"]}
        assert older.http.post("/enrolments", json=enrolment, headers=header).status_code == 201
        assert older.http.get("/announcements", headers=header).status_code == 404
        news = enrolment | {"body": "The clinic is closed on Monday."}
        assert newer.http.post("/announcements", json=news, headers=header).status_code == 201
        read = newer.http.get("/announcements", headers=header).json()
    assert [item["body"] for item in read] == ["The clinic is closed on Monday."]


def test_the_schema_can_be_taken_down_again_step_by_step(
    server: PostgresServer, new_database: NewDatabase, release: MakeRelease
) -> None:
    name, url = new_database()
    release("v1.3.0").migrate(url)
    for revision, tables in (("0002", 8), ("0001", 7), ("base", 1)):
        done = release("v1.3.0").run("alembic", "downgrade", revision, url=url)
        assert done.returncode == 0, done.stderr
        with server.admin(name) as session:
            left = session.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert left == [(tables,)]
    release("v1.3.0").migrate(url)


def test_the_crashing_release_exits_at_start_and_says_why(school: tuple[str, str], release: MakeRelease) -> None:
    done = release("v1.4.0-crash").run("gunicorn", "--bind", "127.0.0.1:0", url=school[1])
    assert done.returncode == 3
    assert "the payment gateway is not configured" in done.stderr


def test_health_turns_503_while_the_database_is_down_and_recovers(
    server: PostgresServer, school: tuple[str, str], start: Serve
) -> None:
    with start(school[1]) as lms, start(school[1], SAMPLE_LMS_HEALTH="shallow") as shallow:
        assert lms.http.get("/health").status_code == 200
        server.stop("immediate")
        try:
            answer = lms.http.get("/health")
            unaware = shallow.http.get("/health")
        finally:
            server.start()
        body = answer.json()
        assert (answer.status_code, body["status"], body["database"]) == (503, "unhealthy", "disconnected")
        assert set(body) == {"status", "database", "timestamp"}
        assert (unaware.status_code, unaware.json()["status"]) == (200, "healthy")
        assert lms.http.get("/health").json()["database"] == "connected"


def test_there_may_be_no_health_route_at_all(server: PostgresServer, school: tuple[str, str], start: Serve) -> None:
    with start(school[1], SAMPLE_LMS_HEALTH="none") as lms:
        assert lms.http.get("/health").status_code == 404
        assert lms.http.get("/courses").status_code == 200


def test_an_http_probe_stalls_when_the_pool_is_empty(
    server: PostgresServer, school: tuple[str, str], start: Serve
) -> None:
    name, url = school
    with start(url) as lms, ExitStack() as clients:
        assert lms.http.get("/health").status_code == 200
        with locked(server, name, "audit_log"):
            send_without_waiting(lms, clients, 4)
            wait_for(lambda: sessions(server, name, "wait_event_type = 'Lock'") == 4, "an empty pool")
            with pytest.raises(httpx.ReadTimeout):
                lms.http.get("/health", timeout=1)
        assert lms.http.get("/health").status_code == 200


def test_one_row_under_another_key_locks_everyone_out(
    server: PostgresServer, school: tuple[str, str], start: Serve
) -> None:
    name, url = school
    damage = "UPDATE users SET email_encrypted = pgp_sym_encrypt('x', 'another key') WHERE id = 2 RETURNING 1"
    with start(url) as lms, server.admin(name) as session:
        lms.login()
        with session.transaction():
            [[kept]] = session.execute("SELECT email_encrypted FROM users WHERE id = 2").fetchall()
            session.execute(damage)
        try:
            assert lms.http.post("/auth/login", json=LOGIN).status_code == 500
        finally:
            session.execute("UPDATE users SET email_encrypted = %s WHERE id = 2", [kept])
        lms.login()
        for secret in (ENCRYPTION_KEY, JWT_KEY, DATABASE_PASSWORD, LOGIN["password"]):
            assert secret not in lms.log


def test_the_text_of_the_login_query_holds_the_encryption_key(
    server: PostgresServer, school: tuple[str, str], start: Serve
) -> None:
    name, url = school
    with start(url) as lms, ThreadPoolExecutor(1) as thread:
        with locked(server, name, "users"):
            answer = thread.submit(lms.http.post, "/auth/login", json=LOGIN)
            key_in_text = f"wait_event_type = 'Lock' AND strpos(query, '{ENCRYPTION_KEY}') > 0"
            wait_for(lambda: sessions(server, name, key_in_text) == 1, "the login query in pg_stat_activity")
        assert answer.result().status_code == 200


def test_a_request_in_flight_is_finished_after_sigterm(
    server: PostgresServer, school: tuple[str, str], start: Serve
) -> None:
    name, url = school
    with start(url) as lms, ThreadPoolExecutor(1) as thread:
        with locked(server, name, "courses"):
            answer = thread.submit(lms.http.get, "/courses")
            wait_for(lambda: sessions(server, name, "wait_event_type = 'Lock'") == 1, "a request in flight")
            lms.process.send_signal(signal.SIGTERM)
            wait_for(lambda: "Handling signal: term" in lms.log, "the beginning of the shutdown")
        assert answer.result().status_code == 200
        assert lms.process.wait(20) == 0
        assert sessions(server, name) == 0


def test_a_missing_setting_is_named_without_showing_the_others(release: MakeRelease) -> None:
    without_key = ["env", "--unset=ENCRYPTION_KEY", "gunicorn", "--bind", "127.0.0.1:0"]
    done = release("v1.2.3").run(*without_key, url="postgresql://x:canary@db/x")
    assert done.returncode == 3
    assert re.search(r"encryption_key\n\s+Field required", done.stderr)
    assert "canary" not in done.stderr
    assert "input_value" not in done.stderr


@pytest.mark.parametrize(("portal", "title"), [("admin", "AADA Administration"), ("learn", "AADA Learning")])
def test_a_portal_says_which_it_is(portal: str, title: str, release: MakeRelease) -> None:
    v123 = release("v1.2.3")
    command = ["python", "-m", "sample_lms.web", portal, "--host", "127.0.0.1", "--port", "0"]
    with v123.spawn(*command, url="unused") as process:
        assert process.stderr is not None
        address = next(line for line in process.stderr if "Uvicorn running on" in line).split()[4]
        page = httpx.get(address)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert page.status_code == 200
    assert f"<h1>{title}</h1>" in page.text
    assert "v1.2.3" in page.text
    assert process.returncode in (0, -signal.SIGTERM)
