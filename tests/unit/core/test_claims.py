"""The claims on an AadaLms as its Lease keeps them: changed by one at a time, never stuck behind the dead."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aada_operator.adapters.interlock import ANNOTATION_CLAIMS, claim, release, tidied
from aada_operator.core.errors import Waiting
from aada_operator.core.interlock import Claim, Operation
from aada_operator.core.resources import AADA_LMS, BACKUPS, LEASES, RESTORES, ApiResource, Object
from tests.unit.backups.api_server import NAMESPACE, ApiServer, SetClock, custom_resource

LEASE = "aada-operations"


@pytest.fixture
def api() -> ApiServer:
    server = ApiServer(SetClock())
    server.add(AADA_LMS, custom_resource("AadaLms", "aada", {}))
    return server


def made(api: ApiServer, name: str, kind: ApiResource = BACKUPS, **status: str) -> Object:
    return api.add(kind, custom_resource(kind.kind, name, {}) | {"status": status})


def asks(api: ApiServer, body: Object, operation: Operation = Operation.BACKUP) -> str:
    """What somebody who asks is told; nothing: it may work."""
    kube: Any = api
    try:
        asyncio.run(claim(kube, NAMESPACE, "aada", Claim.of(body, operation, api.clock.now())))
    except Waiting as waiting:
        return f"{waiting.reason}: {waiting.message}"
    return ""


def ends(api: ApiServer, body: Object) -> None:
    kube: Any = api
    asyncio.run(release(kube, NAMESPACE, "aada", body["metadata"]["uid"]))


def test_the_lease_belongs_to_the_lms_and_shows_who_works(api: ApiServer) -> None:
    monday = made(api, "monday")
    assert asks(api, monday) == ""
    lease = api.read(LEASES, LEASE)
    assert lease["spec"]["holderIdentity"] == "Backup/monday"
    assert lease["metadata"]["ownerReferences"][0]["name"] == "aada"
    ends(api, monday)
    assert "holderIdentity" not in lease["spec"]
    assert api.claims() == []


def test_the_other_waits_and_is_told_for_whom(api: ApiServer) -> None:
    monday, restore = made(api, "monday"), made(api, "back", RESTORES)
    asks(api, monday)
    assert asks(api, restore, Operation.CUTOVER) == "OperationInProgress: waits for Backup monday (Backup)"
    assert api.claims() == ["Backup monday (Backup)", "waiting: Restore back (Cutover)"]
    ends(api, monday)
    assert asks(api, restore, Operation.CUTOVER) == ""


def test_asking_again_writes_nothing(api: ApiServer) -> None:
    monday, tuesday = made(api, "monday"), made(api, "tuesday")
    asks(api, monday)
    asks(api, tuesday)
    writes = list(api.writes)
    asks(api, monday)
    asks(api, tuesday)
    assert api.writes == writes


def test_of_two_operators_that_ask_at_the_same_moment_one_has_to_look_again(api: ApiServer) -> None:
    monday, back = made(api, "monday"), made(api, "back", RESTORES)
    asks(api, monday)
    ends(api, monday)
    real = api.get

    async def overtaken(resource: ApiResource, namespace: str, name: str) -> Object | None:
        seen = await real(resource, namespace, name)
        api.get = real  # type: ignore[method-assign]
        kube: Any = api
        await claim(kube, NAMESPACE, "aada", Claim.of(back, Operation.CUTOVER, api.clock.now()))
        return seen

    api.get = overtaken  # type: ignore[method-assign]
    assert asks(api, monday).startswith("Conflict")
    assert api.claims() == ["Restore back (Cutover)"]
    assert asks(api, monday).startswith("OperationInProgress")


@pytest.mark.parametrize("how", ["deleted", "made again", "Completed", "Failed"])
def test_nobody_waits_for_what_is_gone_or_has_ended(api: ApiServer, how: str) -> None:
    monday, tuesday = made(api, "monday"), made(api, "tuesday")
    asks(api, monday)
    if how in ("deleted", "made again"):
        api.remove(BACKUPS, "monday")
    if how == "made again":
        made(api, "monday")
    if how in ("Completed", "Failed"):
        api.read(BACKUPS, "monday")["status"] = {"phase": how}
    assert asks(api, tuesday) == ""
    assert api.claims() == ["Backup tuesday (Backup)"]


def test_what_is_shown_of_an_lms_is_not_what_has_ended(api: ApiServer) -> None:
    kube: Any = api
    monday = made(api, "monday")
    asks(api, monday)
    assert [str(one) for one in asyncio.run(tidied(kube, NAMESPACE, "aada"))] == ["Backup monday (Backup)"]
    api.read(BACKUPS, "monday")["status"] = {"phase": "Completed"}
    assert asyncio.run(tidied(kube, NAMESPACE, "aada")) == ()
    assert api.claims() == []


def test_claims_that_a_hand_broke_let_nobody_work_and_say_how_to_go_on(api: ApiServer) -> None:
    asks(api, made(api, "monday"))
    api.read(LEASES, LEASE)["metadata"]["annotations"][ANNOTATION_CLAIMS] = "[{"
    told = asks(api, made(api, "tuesday"))
    assert told.startswith("ClaimsUnreadable")
    assert f"kubectl annotate lease {LEASE} {ANNOTATION_CLAIMS}-" in told


def test_without_the_lms_there_is_nothing_to_claim(api: ApiServer) -> None:
    api.remove(AADA_LMS, "aada")
    assert asks(api, made(api, "monday")).startswith("AadaLmsNotFound")


def test_a_claim_that_cannot_be_given_back_now_disturbs_nobody(api: ApiServer) -> None:
    monday = made(api, "monday")
    asks(api, monday)
    api.unreachable = True
    ends(api, monday)
    api.unreachable = False
    assert api.claims() == ["Backup monday (Backup)"]
