"""Where the application reads: pure decisions, and the objects that they become."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.api.read_replica import ANNOTATION_READS_FROM
from aada_operator.core.interlock import Claim, Operation
from aada_operator.core.replication import Position, Replayed
from aada_operator.core.resources import Object
from aada_operator.lms import app_secret, read_service, replica_look
from aada_operator.lms.read_place import AWAY, PRIMARY, REPLICA, Reads, Seen, is_cut_over, judge, reads_of
from tests.unit.lms import samples

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
LIMIT = 10.0
ON_REPLICA = Reads(REPLICA)


def away(seconds: float) -> Reads:
    """Reads left the replica so long ago."""
    return Reads(PRIMARY, NOW - timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("before", "lag", "place", "reason"),
    [
        (None, 0.0, REPLICA, "ReadsFromReplica"),
        (None, 6.0, PRIMARY, "ReplicaCatchingUp"),
        (ON_REPLICA, 9.9, REPLICA, "ReadsFromReplica"),
        (ON_REPLICA, 10.0, PRIMARY, "ReplicaLagging"),
        (Reads(), 4.9, REPLICA, "ReadsFromReplica"),
        (away(61), 4.9, REPLICA, "ReadsFromReplica"),
        (away(61), 5.0, PRIMARY, "ReplicaCatchingUp"),
        (away(59), 0.0, PRIMARY, "ReplicaCatchingUp"),
        (away(61), 10.0, PRIMARY, "ReplicaLagging"),
    ],
)
def test_out_at_the_limit_back_at_half_of_it_and_not_at_once(
    before: Reads | None, lag: float, place: str, reason: str
) -> None:
    found = judge(before, Seen(lag), LIMIT, NOW)
    assert (found.reads.place, found.reason) == (place, reason)


def test_what_is_not_known_leads_to_the_primary() -> None:
    found = judge(ON_REPLICA, Seen(reason="ReplicaUnreachable"), LIMIT, NOW)
    assert (found.reads, found.status) == (Reads(PRIMARY, NOW), "False")


def test_while_the_primary_is_away_reads_stay() -> None:
    unclear = Seen(reason="PrimaryUnreachable", unclear=True)
    assert judge(ON_REPLICA, unclear, LIMIT, NOW).reads == ON_REPLICA
    assert judge(away(5), unclear, LIMIT, NOW).reads == away(5)
    assert judge(None, unclear, LIMIT, NOW).reads.place == PRIMARY


@given(st.lists(st.one_of(st.none(), st.floats(0, 30)), min_size=1, max_size=60))
def test_reads_never_stay_on_a_replica_that_lags_and_never_flap(lags: list[float | None]) -> None:
    """Whatever a replica does, looked at every ten seconds: back to it at most once a minute."""
    reads, moves = Reads(), []
    for number, lag in enumerate(lags):
        now = NOW + timedelta(seconds=10 * number)
        after = judge(reads, Seen(lag, "ReplicaUnreachable"), LIMIT, now).reads
        if after.place == REPLICA:
            assert lag is not None
            assert lag < LIMIT
        if (reads.place, after.place) == (PRIMARY, REPLICA):
            moves.append(now)
        reads = after
    assert all(later - earlier >= AWAY for earlier, later in pairwise(moves))


def test_the_decision_is_read_off_what_it_became() -> None:
    assert reads_of(None) is None
    for reads in (Reads(), ON_REPLICA, away(5), Reads(REPLICA, NOW)):
        assert reads_of(read_service.endpoint_slice(samples.owner(), reads, "IPv4", ["10.0.0.1"], 5432)) == reads
    edited = read_service.endpoint_slice(samples.owner(), ON_REPLICA, "IPv4", ["10.0.0.1"], 5432)
    edited["metadata"]["annotations"][ANNOTATION_READS_FROM] = "whatever"
    assert reads_of(edited) == Reads()


def test_the_service_is_led_by_nobody_else() -> None:
    service = read_service.service(samples.owner(), 5432)
    led = read_service.endpoint_slice(samples.owner(), ON_REPLICA, "IPv4", ["10.0.0.1", "10.0.0.2"], 6543)
    labels = led["metadata"]["labels"]
    assert "selector" not in service["spec"]
    assert labels["kubernetes.io/service-name"] == service["metadata"]["name"] == "aada-db-read"
    assert labels["endpointslice.kubernetes.io/managed-by"] == "aada-operator"
    assert [one["addresses"] for one in led["endpoints"]] == [["10.0.0.1"], ["10.0.0.2"]]
    assert (service["spec"]["ports"][0]["port"], led["ports"][0]["port"]) == (5432, 6543)
    assert service["spec"]["ports"][0]["name"] == led["ports"][0]["name"], "that is how the two belong together"


@pytest.mark.parametrize(
    ("declared", "url"),
    [
        ({}, "postgresql+psycopg2://a:p%2Fw@aada-db-read:5432/aada_lms?sslmode=verify-full"),
        ({"sslMode": "verify-ca"}, "postgresql+psycopg2://a:p%2Fw@aada-db-read:5432/aada_lms?sslmode=verify-ca"),
        ({"sslMode": "disable"}, "postgresql+psycopg2://a:p%2Fw@aada-db-read:5432/aada_lms"),
        ({"port": 6543}, "postgresql+psycopg2://a:p%2Fw@aada-db-read:5432/aada_lms?sslmode=verify-full"),
    ],
)
def test_the_url_names_the_service_and_its_own_tls(declared: Object, url: str) -> None:
    pooler = {"host": "pgbouncer", "adminSecretRef": {"name": "pooler-admin"}}
    spec = samples.spec({"database": {"readReplica": {"host": "db-ro"} | declared, "pooler": pooler}})
    assert app_secret.read_url("aada", spec.database, "a", "p/w") == url


POSITION = Position("0/10", "2026-03-01 08:00+00", "system")


@pytest.mark.parametrize(
    ("found", "reason", "lag"),
    [
        (Replayed(standby=True, system="system", level=True, age=3600.0), "", 0.0),
        (Replayed(standby=True, system="system", level=False, age=12.5), "", 12.5),
        (Replayed(standby=True, system="system", level=False, age=None), "ReplicaLagging", None),
        (Replayed(standby=False, system="system", level=True, age=0.0), "NotAReplica", None),
        (Replayed(standby=True, system="another", level=True, age=0.0), "NotAReplica", None),
    ],
)
def test_what_the_replica_says(found: Replayed, reason: str, lag: float | None) -> None:
    """A school at rest is no lag; what was promoted, or replays something else, is no replica."""
    seen = replica_look.judged(found, POSITION)
    assert (seen.reason, seen.lag) == (reason, lag)


def test_a_cutover_at_work_is_seen() -> None:
    claim = Claim(uid="1", kind="Restore", name="monday", operation=Operation.CUTOVER, since="2026-03-01T08:00:00Z")
    assert not is_cut_over([claim]), "it only waits"
    assert is_cut_over([claim.model_copy(update={"held": True})])
    backup = claim.model_copy(update={"held": True, "operation": Operation.BACKUP})
    assert not is_cut_over([backup])
