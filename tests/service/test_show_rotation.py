"""The show of rotations: what it makes of its figures, and logins that begin when they are due."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.bench import rotation_kills as kills
from tests.bench import rotations as show
from tests.cluster.rotations import sessions
from tests.cluster.rotations.logins import SCRIPT
from tests.cluster.rotations.witness import Witness
from tests.service.servers import wait_for

WELL = {"rotations": 1, "logins": 9, "failed_logins": 0, "failed_requests": 0, "runbook_failed_logins": 5,
        "jwt_401": 0, "kill_points": 2, "kill_failures": 0}  # fmt: skip


def test_a_show_in_which_nothing_failed_succeeds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That the runbook's way fails logins is what it is there for."""
    monkeypatch.setattr(show, "run", lambda *_: WELL)
    assert show.main([]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == WELL


@pytest.mark.parametrize("name", ["failed_logins", "failed_requests", "jwt_401", "kill_failures"])
def test_a_show_in_which_something_failed_fails_and_still_tells_its_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    shown = WELL | {name: 1}
    monkeypatch.setattr(show, "run", lambda *_: shown)
    assert show.main([]) != 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == shown


def test_kills_in_the_cluster_leave_out_no_point_and_none_comes_before_another_of_its_rotation() -> None:
    for back in (False, True):
        wanted = kills.points(back=back)
        rounds = [one.points for one in kills.rounds() if one.back == back]
        assert sorted(point for one in rounds for point in one) == sorted(wanted)
        assert all(list(one) == sorted(one, key=wanted.index) for one in rounds)


DRIVER = """
import os, time
class Error(Exception): pass
def connect(**_):
    {act}
"""


def tally(folder: Path, act: str, in_flight: int, wanted: str) -> dict[str, Any]:
    """What the script counts with a driver of its own; it ends when ten are as ``wanted``."""
    (folder / "psycopg2.py").write_text(DRIVER.format(act=act))
    names = ("DB_HOST", "DB_NAME", "DB_USER", "DB_PASSWORD")
    environment = {**os.environ, **dict.fromkeys(names, "x"), "HOSTNAME": "pod", "PYTHONPATH": str(folder)}
    argv = [sys.executable, "-c", SCRIPT, "0.02", str(in_flight), str(folder)]
    with subprocess.Popen(argv, env=environment) as process:
        found = folder / "pod"
        try:
            wait_for(lambda: found.exists() and json.loads(found.read_text())[wanted] >= 10, f"ten that are {wanted}")
        finally:
            (folder / "go").touch()
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    told: dict[str, Any] = json.loads(found.read_text())
    return told


def test_logins_that_hang_do_not_keep_others_from_beginning(tmp_path: Path) -> None:
    hangs = f"while not os.path.exists('{tmp_path}/go'): time.sleep(0.01)\n    raise Error('gone')"
    told = tally(tmp_path, hangs, 1000, "due")
    assert told["skipped"] == 0
    assert told["outcomes"] == {"gone": told["due"]}


def test_logins_that_are_left_out_during_a_hang_are_seen_as_such(tmp_path: Path) -> None:
    hangs = f"while not os.path.exists('{tmp_path}/go'): time.sleep(0.01)\n    raise Error('gone')"
    told = tally(tmp_path, hangs, 3, "skipped")
    assert told["outcomes"]["gone"] == told["due"] - told["skipped"] >= 3


class Lms(BaseHTTPRequestHandler):
    """Gives tokens, and no more of them to anybody who was signed in once they are ``revoked``."""

    given: list[str]
    asked: list[str]
    revoked: bool

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/auth/refresh" and self.revoked:
            self._answer(401, {})
            return
        self.given.append(f"token-{len(self.given)}")
        self._answer(200, {"access_token": self.given[-1], "refresh_token": "once"})

    def do_GET(self) -> None:
        self.asked.append(self.headers["Authorization"].removeprefix("Bearer "))
        self._answer(200 if self.asked[-1] in self.given else 401, {})

    def _answer(self, status: int, body: dict[str, str]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Nothing is said."""


@contextmanager
def signed_in(*, revoked: bool) -> Iterator[tuple[type[Lms], dict[str, Any]]]:
    """Somebody at the LMS for as long as the block runs; what was counted is there after it."""
    lms = type("OneLms", (Lms,), {"given": [], "asked": [], "revoked": revoked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), lms)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base, told = f"http://127.0.0.1:{server.server_port}", dict[str, Any]()
    argv = [sys.executable, "-c", sessions.SCRIPT, base, f"{base}/enrolments", "{}", "50", "0.2"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
        try:
            yield lms, told
        finally:
            told.update(json.loads(process.communicate(timeout=30)[0].splitlines()[-1]))
            server.shutdown()
            server.server_close()


def test_who_is_signed_in_takes_another_token_in_time() -> None:
    with signed_in(revoked=False) as (lms, told):
        wait_for(lambda: len(set(lms.asked)) > 3, "requests with four tokens")
    assert set(told["counts"]) == {"200"}
    assert (told["first"], told["last"]) == (lms.given[0], lms.given[-1])


def test_a_refresh_that_is_refused_counts_as_a_refusal() -> None:
    with signed_in(revoked=True) as (lms, told):
        wait_for(lambda: len(lms.asked) > 20, "twenty requests")
    assert any(outcome.startswith("refresh: ") and "401" in outcome for outcome in told["counts"])


class Place:
    """A namespace as a witness sees it: the operator's container was started anew once."""

    def __init__(self, **said: str) -> None:
        self.said = {"now": "-", "before": "-", "objects": "{}", "metrics": "-"} | said

    def pods(self) -> list[dict[str, Any]]:
        return [{"metadata": {"name": "operator-1"}, "status": {"containerStatuses": [{"restartCount": 1}]}}]

    def logs(self, _: str, *options: str) -> str:
        return self.said["before" if "--previous" in options else "now"]

    def kubectl(self, *args: str) -> str:
        return self.said["metrics" if "--raw" in args else "objects"]


@pytest.mark.parametrize("place", ["now", "before", "objects", "metrics"])
@pytest.mark.parametrize("form", [str, lambda text: base64.b64encode(text.encode()).decode()], ids=["plain", "base64"])
def test_a_password_is_heard_wherever_it_is_told(place: str, form: Any) -> None:
    password = "a-password-that-was-rolled-back"
    operator = Place(**{place: f"so it is {form(password)}."})
    witness = Witness(SimpleNamespace(workspace=Place()), operator)  # type: ignore[arg-type]
    data = {"password": base64.b64encode(password.encode()).decode(), "username": base64.b64encode(b"-").decode()}
    witness.note({"kind": "Secret", "metadata": {"name": "login-r7"}, "data": data})
    (heard,) = witness.leaks()
    assert heard.startswith("password of login-r7 in ")


def test_a_witness_who_knows_nothing_says_so() -> None:
    witness = Witness(SimpleNamespace(workspace=Place()), Place())  # type: ignore[arg-type]
    assert witness.leaks() == ["nothing was heard"]
