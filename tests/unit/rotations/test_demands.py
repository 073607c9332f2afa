"""What a rotation refuses or waits for before it touches anything, each with the way out in its message."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.api.lms import AadaLmsSpec
from aada_operator.core.database import RotationServer
from aada_operator.core.errors import OperatorError, Stalled, Waiting
from aada_operator.core.resources import Object
from aada_operator.rotations import decide
from tests.unit.lms.samples import spec as lms_spec
from tests.unit.rotations.samples import NAMES, live, owner, role, server

OLD = "aada_lms_a"


def refusal(check: Any, *arguments: Any) -> OperatorError:
    """What a demand says no with."""
    with pytest.raises(OperatorError) as caught:
        check(*arguments)
    return caught.value


class TestAnotherRotation:
    def test_of_the_same_credential_that_is_older_does_it(self) -> None:
        mine, other = owner("b", "2026-01-02T00:00:00Z"), owner("a", "2026-01-01T00:00:00Z")
        error = refusal(decide.demand_only_one, mine, [mine, other])
        assert (type(error), error.reason) == (Stalled, "AnotherRotation")
        assert "SecretRotation a " in error.message
        decide.demand_only_one(other, [mine, other])

    def test_of_two_of_one_second_exactly_one_does_it(self) -> None:
        one, other = owner("a"), owner("b")
        decide.demand_only_one(one, [one, other])
        assert refusal(decide.demand_only_one, other, [one, other]).reason == "AnotherRotation"

    @pytest.mark.parametrize("patch", [{"lmsRef": {"name": "other"}}, {"type": "DataEncryptionKey"}])
    def test_of_another_credential_is_none_of_its_business(self, patch: Object) -> None:
        decide.demand_only_one(owner("b", "2026-01-02T00:00:00Z"), [owner("a", **patch)])


def lms(**reasons: str) -> Object:
    """An AadaLms with conditions, True unless a reason begins with a minus."""
    given = {"DatabaseReachable": "Connected", "SchemaCurrent": "AtRevision", "RolloutHealthy": "RolledOut"} | reasons
    conditions = [
        {"type": kind, "status": "False" if reason.startswith("-") else "True", "reason": reason.removeprefix("-")}
        for kind, reason in given.items()
    ]
    return {"status": {"conditions": conditions}}


class TestCalm:
    SPEC: AadaLmsSpec = lms_spec()

    def test_is_an_lms_whose_pods_run_as_wanted(self) -> None:
        decide.demand_calm(lms(), self.SPEC)
        decide.demand_calm(lms(RolloutHealthy="DriftReverted"), self.SPEC)

    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("DatabaseReachable", "-ConnectionRefused"),
            ("SchemaCurrent", "-MigrationFailed"),
            ("RolloutHealthy", "-CrashLoop"),
            ("RolloutHealthy", "Progressing"),
        ],
    )
    def test_is_waited_for(self, kind: str, reason: str) -> None:
        error = refusal(decide.demand_calm, lms(**{kind: reason}), self.SPEC)
        assert (type(error), error.reason) == (Waiting, "LmsNotReady")
        assert kind in error.message
        assert reason.removeprefix("-") in error.message

    @pytest.mark.parametrize("body", [{}, {"status": {}}, {"status": {"conditions": []}}])
    def test_is_not_one_that_was_not_looked_at_yet(self, body: Object) -> None:
        assert refusal(decide.demand_calm, body, self.SPEC).reason == "LmsNotReady"

    def test_is_not_one_whose_pods_would_not_be_restarted(self) -> None:
        error = refusal(decide.demand_calm, lms(), lms_spec({"suspend": True}))
        assert (type(error), error.reason) == (Waiting, "LmsSuspended")


class TestManagers:
    def test_a_secret_that_only_this_operator_writes_is_fine(self) -> None:
        decide.demand_unmanaged(live())
        decide.demand_unmanaged(live(labels={"team": "lms"}, ownerReferences=[{"kind": "AadaLms"}]))

    @pytest.mark.parametrize(
        ("metadata", "writer"),
        [
            *(({"labels": {mark: "x"}}, name) for mark, name in decide._MANAGERS.items()),
            *(({"annotations": {mark: "x"}}, name) for mark, name in decide._MANAGERS.items()),
            *(({"ownerReferences": [{"kind": kind}]}, name) for kind, name in decide._OWNERS.items()),
        ],
    )
    def test_one_that_somebody_writes_again_and_again_is_not(self, metadata: Object, writer: str) -> None:
        error = refusal(decide.demand_unmanaged, live(**metadata))
        assert (type(error), error.reason) == (Stalled, "SecretManagedElsewhere")
        assert writer in error.message

    def test_nor_one_that_nobody_can_change(self) -> None:
        error = refusal(decide.demand_unmanaged, live() | {"immutable": True})
        assert (error.reason, "immutable" in error.message) == ("SecretManagedElsewhere", True)


class TestServer:
    @pytest.mark.parametrize(
        "found",
        [
            server(role()),
            server(role(), role("aada_lms_b", can_login=False)),
            server(role(sessions=9), role("aada_lms_b", can_login=True)),
            # adopted: it acts as nobody else yet, and owns everything
            server(role(acts_as_owner=False, owns=17, comment=""), database_owner=OLD),
            # somebody gave it powers after it was handed over: the other login does not get them
            server(role(powers=("CREATEDB",))),
        ],
    )
    def test_lets_the_login_be_replaced(self, found: RotationServer) -> None:
        decide.demand_server(found, NAMES, OLD)

    @pytest.mark.parametrize(
        ("found", "kind", "reason", "words"),
        [
            (server(role(), may_make_roles=False), Stalled, "InsufficientPrivilege", "boss may not make roles"),
            (server(), Stalled, "RolesTaken", f"no role {OLD}"),
            (server(role(), role("aada_lms_b", comment="")), Stalled, "RolesTaken", "rename it"),
            (server(role(), role("aada_lms_b", sessions=2)), Waiting, "LoginInUse", "2 sessions of aada_lms_b"),
            (server(role(), admin=OLD), Stalled, "SuperuserLogin", "a role of its own"),
            (server(role(acts_as_owner=False, powers=("SUPERUSER", "CREATEDB"))), Stalled, "SuperuserLogin", "its own"),
            (server(role(acts_as_owner=False, powers=("CREATEDB", "BYPASSRLS"))), Stalled, "LoginNotReplaceable",
             f"ALTER ROLE {OLD} NOCREATEDB NOBYPASSRLS"),
            (server(role(elsewhere=("a", "b", "c", "d"))), Stalled, "LoginNotReplaceable", "in database a, b, c, too"),
            (server(role(default_privileges=1)), Stalled, "LoginNotReplaceable", "FOR ROLE aada_lms_owner instead"),
            (server(role(odd_grants=3)), Stalled, "LoginNotReplaceable", "3 grants on columns, types or large objects"),
        ],
    )  # fmt: skip
    def test_or_says_why_not(self, found: RotationServer, kind: type, reason: str, words: str) -> None:
        error = refusal(decide.demand_server, found, NAMES, OLD)
        assert (type(error), error.reason) == (kind, reason)
        assert words in error.message

    @pytest.mark.parametrize(
        ("found", "handed_over"),
        [
            (server(role()), True),
            (server(role(acts_as_owner=False)), False),
            (server(role(owns=1)), False),
            (server(role(), database_owner=OLD), False),
            (server(role(), database_owner=None), False),
            (server(), False),
        ],
    )
    def test_everything_belongs_to_the_owner_role(self, found: RotationServer, handed_over: bool) -> None:
        assert decide.is_handed_over(found, NAMES, OLD) is handed_over


@pytest.mark.parametrize("conditions", [[], [{"type": "BackupFresh", "status": "False", "message": "it is 9d old"}]])
def test_owners_are_changed_after_a_fresh_backup_only(conditions: list[Object]) -> None:
    error = refusal(decide.demand_backup, {"status": {"conditions": conditions}})
    assert (type(error), error.reason) == (Waiting, "BackupNotFresh")
    assert not conditions or "it is 9d old" in error.message
    decide.demand_backup({"status": {"conditions": [{"type": "BackupFresh", "status": "True", "message": ""}]}})
