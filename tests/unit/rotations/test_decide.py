"""When a credential is due, whose pods are behind, and what is remembered."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from aada_operator.core.errors import Stalled
from aada_operator.core.resources import Object
from aada_operator.rotations import decide
from aada_operator.rotations.decide import Convergence
from tests.unit.rotations.samples import at, spec

MARK = "rotation.lms.aada.edu/login"
MONTHLY = {"schedule": "0 4 1 * *"}
MADE = at("2026-01-01T00:00:00Z")
LAST = at("2026-02-01T04:00:30Z")


class TestDue:
    def test_at_the_next_slot_after_the_last_rotation(self) -> None:
        assert decide.next_due(spec(**MONTHLY), LAST, MADE) == at("2026-03-01T04:00:00Z")

    def test_a_slot_is_read_in_the_time_zone(self) -> None:
        assert decide.next_due(spec(**MONTHLY, timeZone="America/Chicago"), LAST, MADE) == at("2026-02-01T10:00:00Z")

    @pytest.mark.parametrize(
        ("last", "due"),
        [
            # In Berlin 02:00 becomes 03:00 on 29 March, and 03:00 becomes 02:00 on 25 October.
            ("2026-03-28T02:00:00Z", "2026-03-29T01:00:00Z"),
            ("2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
            ("2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            ("2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        ],
    )
    def test_a_changed_clock_neither_skips_nor_doubles_a_slot(self, last: str, due: str) -> None:
        daily = spec(schedule="30 2 * * *", timeZone="Europe/Berlin")
        assert decide.next_due(daily, at(last), MADE) == at(due)

    def test_an_age_is_counted_from_the_last_rotation(self) -> None:
        assert decide.next_due(spec(maxAge="30d"), LAST, MADE) == LAST + timedelta(days=30)

    def test_without_a_clock_never(self) -> None:
        assert decide.next_due(spec(), LAST, MADE) is None
        assert not decide.is_due(spec(), LAST, MADE, "", LAST + timedelta(days=9999))

    def test_from_that_second_on(self) -> None:
        wanted, due = spec(maxAge="30d"), LAST + timedelta(days=30)
        assert not decide.is_due(wanted, LAST, MADE, "", due - timedelta(seconds=1))
        assert decide.is_due(wanted, LAST, MADE, "", due)

    def test_slots_that_were_missed_are_one_rotation(self) -> None:
        now = at("2026-07-15T12:00:00Z")
        assert decide.is_due(spec(**MONTHLY), LAST, MADE, "", now)
        assert not decide.is_due(spec(**MONTHLY), now, MADE, "", now)

    def test_a_slot_from_before_the_rotation_was_declared_is_not_caught_up(self) -> None:
        """Declared on a school day for the first of a month, it does not begin on that school day."""
        made = at("2026-02-16T10:00:00Z")
        assert decide.next_due(spec(**MONTHLY), at("2024-09-01T00:00:00Z"), made) == at("2026-03-01T04:00:00Z")
        assert not decide.is_due(spec(**MONTHLY), at("2024-09-01T00:00:00Z"), made, "", made)

    def test_a_credential_that_was_too_old_when_the_rotation_was_declared_is_due_at_once(self) -> None:
        made = at("2026-02-16T10:00:00Z")
        assert decide.is_due(spec(maxAge="30d"), at("2024-09-01T00:00:00Z"), made, "", made)


class TestAnnotation:
    def test_asks_for_one_now(self) -> None:
        now = LAST + timedelta(hours=1)
        assert decide.is_due(spec(), LAST, MADE, "2026-02-01T05:00:00Z", now)

    def test_is_fulfilled_by_a_rotation_that_came_later(self) -> None:
        assert not decide.is_due(spec(), LAST, MADE, "2026-02-01T04:00:30Z", LAST + timedelta(hours=1))

    def test_may_name_a_time_to_come(self) -> None:
        asked = "2026-02-10T00:00:00Z"
        assert not decide.is_due(spec(), LAST, MADE, asked, at("2026-02-09T23:59:59Z"))
        assert decide.is_due(spec(), LAST, MADE, asked, at("2026-02-10T00:00:00Z"))

    def test_may_be_of_any_time_zone(self) -> None:
        assert decide.is_due(spec(), LAST, MADE, "2026-02-10T01:00:00+02:00", at("2026-02-09T23:00:00Z"))

    @pytest.mark.parametrize("text", ["now", "2026-02-10", "2026-02-10T01:00:00", "Tue Feb 10 01:00:00 UTC 2026"])
    def test_that_is_no_time_is_told(self, text: str) -> None:
        with pytest.raises(Stalled) as refused:
            decide.is_due(spec(**MONTHLY), LAST, MADE, text, LAST)
        assert refused.value.reason == "InvalidAnnotation"
        assert "2026-01-31T04:00:00Z" in refused.value.message
        assert text not in refused.value.message.replace("2026-01-31T04:00:00Z", "").replace("rotate-at is no", "")

    def test_counts_from_a_moment_that_is_known_only(self) -> None:
        assert not decide.is_asked("2026-02-10T00:00:00Z", None, at("2026-03-01T00:00:00Z"))


@pytest.mark.parametrize(("failures", "hours"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 24), (7, 24), (60, 24)])
def test_it_is_tried_again_less_and_less_often(failures: int, hours: int) -> None:
    assert at(decide.retry_at(failures, LAST)) == LAST + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("revision", "number"),
    [("login-r1", 1), ("my-r2-login-r17", 17), ("", 0), ("login", 0), ("login-r", 0), ("login-r1234567890", 0)],
)
def test_the_number_of_a_revision_is_at_the_end_of_its_name(revision: str, number: int) -> None:
    assert decide.revision_number(revision) == number


# --- pods and sessions -----------------------------------------------------------------------------------------------

CONTAINER: Object = {"name": "backend"}
BY_VARIABLE = {"env": [{"name": "URL", "valueFrom": {"secretKeyRef": {"name": "aada-db", "key": "url"}}}]}
BY_ALL_KEYS = {"envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "aada-db"}}]}
OTHER = {"env": [{"name": "A", "value": "aada-db"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}


@pytest.mark.parametrize(
    ("pod_spec", "used"),
    [
        ({"containers": [CONTAINER]}, False),
        ({"containers": [CONTAINER | OTHER]}, False),
        ({"containers": [CONTAINER | BY_VARIABLE]}, True),
        ({"containers": [CONTAINER | BY_ALL_KEYS]}, True),
        ({"containers": [CONTAINER, CONTAINER | BY_VARIABLE]}, True),
        ({"containers": [CONTAINER], "initContainers": [CONTAINER | BY_VARIABLE]}, True),
        ({"containers": [CONTAINER], "volumes": [{"name": "v", "secret": {"secretName": "aada-db"}}]}, True),
        ({"containers": [CONTAINER], "volumes": [{"name": "aada-db", "emptyDir": {}}]}, False),
    ],
)
def test_a_pod_uses_a_secret_in_its_environment_or_its_files(pod_spec: Object, used: bool) -> None:
    assert decide.uses(pod_spec, "aada-db") is used


def pod(name: str, revision: str, container: Object, phase: str = "Running") -> Object:
    marks = {"annotations": {MARK: revision, "rotation.lms.aada.edu/jwt": "login-r2"}} if revision else {}
    return {"metadata": {"name": name} | marks, "spec": {"containers": [container]}, "status": {"phase": phase}}


def test_pods_are_behind_that_use_the_secret_and_were_made_for_another_revision() -> None:
    uses_it = CONTAINER | BY_VARIABLE
    pods = [
        pod("never", "", uses_it),
        pod("before", "login-r1", uses_it),
        pod("now", "login-r2", uses_it),
        pod("starting", "login-r1", uses_it, "Pending"),
        pod("done", "login-r1", uses_it, "Succeeded"),
        pod("dead", "login-r1", uses_it, "Failed"),
        pod("web", "login-r1", CONTAINER | OTHER),
    ]
    assert decide.outdated_pods(pods, "aada-db", MARK, "login-r2") == ("before", "never", "starting")


def workload(replicas: int | None = 2, there: int = 2, **patch: Any) -> Object:
    status = {"observedGeneration": 3, "replicas": there, "updatedReplicas": there, "readyReplicas": there} | patch
    return {
        "metadata": {"name": "reports", "generation": 3},
        "spec": {"replicas": replicas} if replicas is not None else {},
        "status": {name: value for name, value in status.items() if value is not None},
    }


@pytest.mark.parametrize(
    ("body", "complete"),
    [
        (workload(), True),
        (workload(observedGeneration=2), False),
        (workload(updatedReplicas=1), False),
        (workload(readyReplicas=1), False),
        (workload(replicas=3), False),
        # an old pod that drains
        (workload(there=3, updatedReplicas=2, readyReplicas=2), False),
        (workload(replicas=None), False),
        (workload(replicas=None, there=1), True),
        (workload(replicas=0) | {"status": {"observedGeneration": 3}}, True),
        ({"metadata": {"name": "new", "generation": 1}, "spec": {}}, False),
    ],
)
def test_a_workload_has_rolled_out_once_all_its_pods_are_new_and_ready(body: Object, complete: bool) -> None:
    assert decide.is_rolled_out(body) is complete


@pytest.mark.parametrize(
    ("convergence", "reached", "words"),
    [
        (Convergence((), (), "a", 0), True, ""),
        (Convergence(("p1", "p2", "p3", "p4"), (), "a", 0), False, "pods p1, p2, p3"),
        (Convergence((), ("Deployment reports",), "a", 0), False, "Deployment reports"),
        (Convergence(("p1",), ("StatefulSet s",), "a", 2), False, "pods p1; StatefulSet s; 2 sessions of a"),
    ],
)
def test_who_is_behind_is_named(convergence: Convergence, reached: bool, words: str) -> None:
    assert (convergence.reached, str(convergence)) == (reached, words)


# --- records ---------------------------------------------------------------------------------------------------------


def entry(number: int, result: str = "Rotated") -> Object:
    return {"revision": number, "result": result, "startedAt": f"2026-0{number}-01T04:00:00Z"}


def test_the_history_has_the_newest_first_and_so_many() -> None:
    history: list[Object] = []
    for number in range(1, 6):
        history = decide.with_entry(history, entry(number), 3)
    assert [one["revision"] for one in history] == [5, 4, 3]


def test_an_end_that_is_written_twice_stands_there_once() -> None:
    history = decide.with_entry([entry(1)], entry(2, "RolledBack"), 3)
    again = decide.with_entry(history, entry(2), 3)
    assert [(one["revision"], one["result"]) for one in again] == [(2, "Rotated"), (1, "Rotated")]
