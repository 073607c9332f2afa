"""AWS Secrets Manager (moto's server) kept in step with a rotation of the login on a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from aada_operator.core.resources import AADA_LMS
from tests.service.rotation_world import RotationWorld, rolled_back
from tests.service.stores import NAME, OTHERS, Store, login, open_store, opened


@pytest.fixture
def store(school: RotationWorld) -> Iterator[Store]:
    with open_store(school) as found:
        yield found


async def test_readers_of_the_store_get_the_new_login_and_can_use_either_all_the_time(
    school: RotationWorld, store: Store
) -> None:
    old = await opened(school, store)
    versions = store.versions()
    school.clock.advance(days=31)
    for _ in range(60):
        await school.turn()
        assert school.may_log_in(*login(store.read()))
        school.clock.advance(seconds=30)
    assert school.past() == ["Rotated"]
    assert login(store.read()) == login(school.secret()) != login(old)
    assert {key: store.read()[key] for key in OTHERS} == OTHERS
    assert store.versions() == versions + 1, "each retry is the same version"
    assert school.said("StoreInStep") == "True InStep"


async def test_a_store_that_is_away_is_waited_for_before_anything_is_published(
    school: RotationWorld, store: Store
) -> None:
    await opened(school, store)
    school.clock.advance(days=31)
    store.stop()
    for _ in range(3):
        await school.turn()
    assert school.revisions() == []
    assert school.said("Ready") == "False StoreUnreachable"
    store.start()
    await school.turns(until="Grace")
    assert school.secret()["username"] == f"{school.database}_b"


async def test_a_rotation_that_fails_gives_readers_the_old_login_back(school: RotationWorld, store: Store) -> None:
    old = await opened(school, store)
    school.clock.advance(days=31)
    school.stuck = True
    await school.turns(until="Converge")
    assert login(store.read()) != login(old)
    school.clock.advance(minutes=11)
    await school.turn()
    school.stuck = False
    await school.turns()
    assert school.past() == ["RolledBack Converging"]
    assert login(store.read()) == login(old)
    assert school.open_logins() == [old["username"]]


async def test_a_store_that_goes_away_before_it_knows_the_new_login_leads_back(
    school: RotationWorld, store: Store
) -> None:
    old = await opened(school, store)
    school.clock.advance(days=31)
    await school.turns(until="ApplyToDatabase")
    store.stop()
    await school.turn()
    assert (school.status["step"], school.said("Ready")) == ("ProposeToStore", "False StoreUnreachable")
    school.clock.advance(minutes=11)
    await school.turn()
    await school.turns(until="RestoreInStore")
    store.start()
    await school.turns()
    rolled_back(school, "StoreUnreachable", old)
    assert login(store.read()) == login(old)


async def test_a_store_that_goes_away_before_others_read_the_new_login_leads_back(
    school: RotationWorld, store: Store
) -> None:
    old = await opened(school, store)
    school.clock.advance(days=31)
    await school.turns(until="Publish")
    store.stop()
    await school.turn()
    assert (school.status["step"], school.said("Ready")) == ("PromoteInStore", "False StoreUnreachable")
    school.clock.advance(minutes=11)
    await school.turn()
    await school.turns(until="RestoreInStore")
    assert school.may_log_in(*login(old))
    assert school.may_log_in(*login(school.secret("login-r1"))), "both work until the store answers"
    store.start()
    await school.turns()
    rolled_back(school, "StoreUnreachable", old)
    assert login(store.read()) == login(old)


async def test_a_value_that_somebody_changes_by_hand_is_reported(school: RotationWorld, store: Store) -> None:
    old = await opened(school, store)
    await school.turns()
    assert school.said("StoreInStep") == "True InStep"
    store.write(**OTHERS, username=old["username"], password="typed by hand")
    await school.turn()
    assert school.said("StoreInStep") == "False SecretDataDrift"
    school.clock.advance(days=31)
    await school.turn()
    assert school.said("Stalled") == "True SecretDataDrift"
    assert "typed by hand" not in f"{school.status}"
    assert school.revisions() == []


@pytest.mark.parametrize(
    ("value", "reason"), [("a-bare-password", "StoreValueNotJson"), ('{"password": "x"}', "StoreValueNotJson")]
)
async def test_a_store_with_a_bare_password_is_refused(
    school: RotationWorld, store: Store, value: str, reason: str
) -> None:
    await opened(school, store)
    store.client.put_secret_value(SecretId=NAME, SecretString=value)
    school.clock.advance(days=31)
    await school.turn()
    assert school.said("Stalled") == f"True {reason}"


@pytest.mark.parametrize("shape", ["bare", "json"])
@pytest.mark.parametrize("stuck", [False, True])
async def test_in_place_a_store_needs_no_user_name_and_keeps_its_shape(
    school: RotationWorld, store: Store, shape: str, stuck: bool
) -> None:
    """The runbook's store holds the password and nothing else: who reads it goes on reading just that."""

    def written(password: str) -> str:
        return password if shape == "bare" else json.dumps({"host": "db", "password": password})

    def read() -> str:
        answer = store.client.get_secret_value(SecretId=NAME, VersionStage="AWSCURRENT")
        return str(answer["SecretString"])

    old = await opened(school, store, strategy="InPlace")
    store.client.put_secret_value(SecretId=NAME, SecretString=written(old["password"]))
    school.server.read(AADA_LMS, "aada")["spec"]["maintenanceWindows"] = [{"schedule": "0 * * * *", "duration": "1h"}]
    school.clock.advance(days=31)
    school.stuck = stuck
    await school.turns(until="Converge")
    assert read() == written(school.secret()["password"]) != written(old["password"])
    school.clock.advance(minutes=11 if stuck else 0)
    await school.turn()
    school.stuck = False
    await school.turns()
    assert school.past() == ["RolledBack Converging" if stuck else "Rotated"]
    assert read() == written(school.secret()["password"])
    assert school.said("StoreInStep") == "True InStep"


async def test_in_place_a_store_without_a_password_is_refused(school: RotationWorld, store: Store) -> None:
    await opened(school, store, strategy="InPlace")
    school.server.read(AADA_LMS, "aada")["spec"]["maintenanceWindows"] = [{"schedule": "0 * * * *", "duration": "1h"}]
    store.client.put_secret_value(SecretId=NAME, SecretString='{"username": "x"}')
    school.clock.advance(days=31)
    await school.turn()
    assert school.said("Stalled") == "True StoreValueNotJson"


async def test_a_secret_that_the_store_has_not_is_named(school: RotationWorld, store: Store) -> None:
    await opened(school, store)
    store.client.delete_secret(SecretId=NAME, ForceDeleteWithoutRecovery=True)
    school.clock.advance(days=31)
    await school.turn()
    assert school.said("Stalled") == "True StoreSecretMissing"
    assert NAME in school.told()


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_at_any_write_makes_no_second_version(school: RotationWorld, store: Store, moment: str) -> None:
    await opened(school, store)
    for number in range(4, 9):
        before = store.versions()
        setattr(school.server, f"crash_{moment}", len(school.server.writes) + number)
        await school.rotate()
        assert store.versions() == before + 1
        assert login(store.read()) == login(school.secret())
