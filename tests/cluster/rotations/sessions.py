"""Somebody who signs in to the LMS and stays so, as a browser does: requests with a token that is refreshed in time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.bench.storm import Student
from tests.cluster import load
from tests.cluster.load import Outcomes
from tests.cluster.workspace import Workspace

BASE = "http://aada-backend:8000"
# Open loop, as `load.SCRIPT`; a refresh counts like a request. A refresh token is good for one time: whoever gets no
# answer to it is signed out, and refused from then on.
SCRIPT = """
import concurrent.futures, datetime, json, sys, threading, time, urllib.request
(base, url, login), (rate, every) = sys.argv[1:4], map(float, sys.argv[4:])
outcomes, failures, lock, stop = {}, [], threading.Lock(), threading.Event()
def note(outcome, failure=""):
    with lock:
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        failures.extend([failure] if failure else [])
def counted(what, act):
    try:
        act()
        note("200")
    except Exception as error:
        ended = datetime.datetime.now(datetime.UTC)
        note(f"{what}{type(error).__name__}: {error}", f"{ended:%H:%M:%S.%f} {what}{error}")
def send(url, body=None, headers={}):
    request = urllib.request.Request(url, body and body.encode(), {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
tokens = send(base + "/auth/login", login)
first = tokens["access_token"]
def ask():
    counted("", lambda: send(url, headers={"Authorization": "Bearer " + tokens["access_token"]}))
def refresh():
    tokens.update(send(base + "/auth/refresh", json.dumps({"refresh_token": tokens["refresh_token"]})))
def stay():
    while not stop.wait(every):
        counted("refresh: ", refresh)
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    print("started", flush=True)
    staying, due = pool.submit(stay), time.monotonic()
    while not stop.is_set():
        pool.submit(ask)
        due += 1 / rate
        time.sleep(max(0, due - time.monotonic()))
staying.result()
print(json.dumps({"counts": outcomes, "failures": failures, "first": first, "last": tokens["access_token"]}))
"""


@dataclass
class Session(Outcomes):
    """``first`` is the token of the login, ``last`` that of the last refresh."""

    first: str = field(default="", repr=False)
    last: str = field(default="", repr=False)


@contextmanager
def signed_in(workspace: Workspace, student: Student, url: str, rate: float, every: float) -> Iterator[Session]:
    """``rate`` requests a second by somebody who signed in before, and who takes another token ``every`` so many
    seconds; the outcomes and the tokens are there after the block."""
    session = Session()
    with load.running(workspace, SCRIPT, BASE, url, json.dumps(student.login), str(rate), str(every)) as found:
        yield session
    session.counts.update(found["counts"])
    session.failures += found["failures"]
    session.first, session.last = found["first"], found["last"]
