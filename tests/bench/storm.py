"""Students who sign in when a class begins: requests by a plan, each with the cost of a password."""

from __future__ import annotations

import json
import math
import random
import secrets
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.cluster.load import POD
from tests.cluster.workspace import Workspace

URL = "http://aada-backend:8000/auth/login"
STUDENT = "student@school.example"
# Seconds after which a student takes it for broken.
PATIENCE = 10.0
# Open loop: a request begins when it is due, whatever became of those before.
SENDER = """
import concurrent.futures, json, sys, time, urllib.request
plan = json.load(sys.stdin)
body, outcomes, seconds = json.dumps(plan["login"]).encode(), {}, []
def ask():
    began = time.monotonic()
    request = urllib.request.Request(plan["url"], body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=plan["patience"]) as answer:
            answer.read()
            outcome = str(answer.status)
    except Exception as error:
        outcome = f"{type(error).__name__}: {error}"
    return outcome, time.monotonic() - began
with concurrent.futures.ThreadPoolExecutor(400) as pool:
    began, first, waiting = time.time(), time.monotonic(), []
    for due in plan["dues"]:
        time.sleep(max(0, first + due - time.monotonic()))
        waiting.append(pool.submit(ask))
    for done in waiting:
        outcome, took = done.result()
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        seconds.append(took)
print(json.dumps({"began": began, "outcomes": outcomes, "seconds": seconds}))
"""
ENROL = """
import json, os, sys
from sqlalchemy import create_engine, text
from argon2 import PasswordHasher
login = json.load(sys.stdin)
password = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(login["password"])
row = "pgp_sym_encrypt(:email, :key), :password, 'A Student', 'student', '{}', now()"
statement = f"INSERT INTO users (email_encrypted, password_hash, full_name, role, profile, created_at) VALUES ({row})"
with create_engine(os.environ["DATABASE_URL"]).begin() as connection:
    values = {"email": login["email"], "key": os.environ["ENCRYPTION_KEY"], "password": password}
    connection.execute(text(statement), values)
"""


@dataclass(frozen=True)
class Report:
    """``began`` is Unix time; ``failed`` by what went wrong; ``p95`` in seconds, failed ones included."""

    began: float
    requests: int
    failed: dict[str, int]
    p95: float


@dataclass(frozen=True)
class Student:
    """Somebody who can sign in."""

    workspace: Workspace
    password: str

    @classmethod
    def enrol(cls, workspace: Workspace) -> Student:
        """Make an account in the LMS' database."""
        student = cls(workspace, secrets.token_urlsafe(12))
        argv = ("exec", "--stdin", "deployment/aada-backend", "--", "python", "-c", ENROL)
        workspace.kubectl(*argv, input=json.dumps(student.login))
        return student

    def sign_in(self, dues: Sequence[float]) -> Report:
        """Sign in so many seconds after now, each time."""
        plan = {"url": URL, "login": self.login, "dues": list(dues), "patience": PATIENCE}
        found = json.loads(self.workspace.kubectl(
            "exec", "--stdin", POD, "--", "python3", "-c", SENDER, input=json.dumps(plan), stderr=subprocess.PIPE,
        ))  # fmt: skip
        failed = {outcome: count for outcome, count in found["outcomes"].items() if outcome != "200"}
        return Report(found["began"], len(dues), failed, percentile(found["seconds"], 95))

    @property
    def login(self) -> dict[str, str]:
        """What is sent to sign in."""
        return {"email": STUDENT, "password": self.password}


def rising(rate: float, ramp: float, hold: float) -> list[float]:
    """When requests are due whose rate rises from none to ``rate`` per second in ``ramp`` seconds and stays so."""
    while_rising = int(rate * ramp / 2)
    dues = [math.sqrt(2 * number * ramp / rate) for number in range(while_rising)]
    return dues + [ramp + number / rate for number in range(int(rate * hold))]


def noisy(rate: float, seconds: float, seed: int = 1, step: float = 10.0) -> list[float]:
    """When requests are due whose rate jumps every ``step`` seconds to between half of ``rate`` and half more."""
    dice, dues = random.Random(seed), list[float]()
    for begin in range(0, int(seconds), int(step)):
        present = rate * dice.uniform(0.5, 1.5)
        dues += [begin + number / present for number in range(int(present * step))]
    return dues


def percentile(values: Sequence[float], percent: int) -> float:
    """A percentile, between the values that are there."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def reversals(sizes: Iterable[tuple[float, int]], window: float = 300.0) -> int:
    """How often a number of pods turned round within any ``window``, at the most; ``sizes`` are seconds and pods.

    It turns when it goes from more to fewer, or from fewer to more.
    """
    steps = [(when, pods > before) for (_, before), (when, pods) in pairwise(sizes) if pods != before]
    turns = [when for (_, was_up), (when, up) in pairwise(steps) if up != was_up]
    return max((sum(first <= when < first + window for when in turns) for first in turns), default=0)
