"""After the loss of everything one Restore brings the LMS back, changes nothing that is there, and survives kills."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from aada_operator.api.bundle import RoleDefinition
from aada_operator.api.restore_places import TargetServer
from aada_operator.api.uploads import CheckpointDocument
from aada_operator.core import steps
from aada_operator.core.controller import RESYNC
from aada_operator.core.database import ServerRole
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, JOBS, RESTORES, SECRETS
from aada_operator.restores.rebuild import database, rebuild
from aada_operator.worker.keys import keygen
from tests.unit.backups.api_server import Crash, custom_resource
from tests.unit.backups.school import LMS_SPEC
from tests.unit.restores.rehearsal import CHECKPOINT, FILES_RESULT, JOB, RESTORE
from tests.unit.restores.total_loss import LOGIN, OWNER, PASSWORD, SERVER, TotalLoss, bundle, secret, source

MADE = ["Secret/aada-db", "Secret/lms-keys", "Secret/aada-chunk-key", "BackupPolicy/nightly", "AadaLms/aada"]
MARK = "lms.aada.edu/restore=12345678-9abc-4def-8000-000000000000"


def loaded(world: TotalLoss, **spec: Any) -> None:
    """A Restore whose Job has ended well, and everything that follows by itself."""
    world.lost(source=source(), **spec)
    world.settle()
    assert world.jobs == [JOB], world.status
    world.end_job()
    go_on(world)


def go_on(world: TotalLoss) -> None:
    """As often as the operator wants to come back within seconds."""
    for _ in range(4):
        world.settle(20)


def done(world: TotalLoss) -> None:
    loaded(world)
    world.serve()
    go_on(world)


class TestBringsBack:
    def test_the_database_under_its_own_name_on_the_server_of_the_target(self, loss: TotalLoss) -> None:
        loss.lost(source=source())
        loss.settle()
        task = loss.task()
        assert task["database"] == {"host": "new-db", "port": 5433, "name": "aada_lms", "sslMode": "require"}
        volumes = loss.api.read(JOBS, JOB)["spec"]["template"]["spec"]["volumes"]
        mounted = {v["name"]: v["secret"]["secretName"] for v in volumes if "secret" in v}
        assert mounted == {"database": "new-admin", "storage": "s3", "identity": "offline-key"}

    def test_everything_and_the_lms_serves(self, loss: TotalLoss) -> None:
        loaded(loss)
        assert loss.condition("Ready") == ("False", "LmsNotReady")
        loss.clock.advance(seconds=42)
        loss.serve()
        assert loss.settle() is None
        assert (loss.status["phase"], loss.status["database"]) == ("Completed", "aada_lms")
        assert (loss.status["mode"], loss.status["duration"]) == ("NewServer", "42s")
        assert [step["name"] for step in loss.status["steps"]] == [
            "Resolve", "Plan", "Preflight", "Approve", "Load",
            "Roles", "Properties", "Secrets", "Login", "Objects", "Serving", "Record",
        ]  # fmt: skip
        assert "AadaLms/aada" in loss.message("Completed")

    def test_the_roles_with_the_password_of_the_secret(self, loss: TotalLoss) -> None:
        done(loss)
        assert loss.new.roles.keys() == {OWNER, LOGIN}, "superusers are nobody's to make"
        assert loss.new.roles[LOGIN].definition.login
        assert not loss.new.roles[OWNER].definition.login
        assert loss.new.passwords == {LOGIN: PASSWORD}

    def test_the_properties_of_the_database(self, loss: TotalLoss) -> None:
        done(loss)
        assert loss.new.properties["aada_lms"].connection_limit == 7

    def test_the_lms_with_the_address_of_the_new_server(self, loss: TotalLoss) -> None:
        done(loss)
        spec = loss.api.read(AADA_LMS, "aada")["spec"]
        assert spec["database"] == SERVER
        assert spec["components"] == LMS_SPEC["components"]

    def test_the_secrets_the_applications_with_the_new_address(self, loss: TotalLoss) -> None:
        done(loss)
        values = loss.values("aada-db")
        assert values["url"] == f"postgresql+psycopg2://{LOGIN}:{PASSWORD}@new-db:5433/aada_lms?sslmode=require"
        assert (values["host"], values["port"], values["password"]) == ("new-db", "5433", PASSWORD)
        assert loss.values("lms-keys") == {"KEY": "canary-key"}

    def test_the_url_to_read_with_names_its_service_still(self, loss: TotalLoss) -> None:
        """The replica is lost with its server: the Service leads to the new one, with the TLS of that."""
        known = bundle()
        (lms,) = known.objects("AadaLms")
        replica = {"host": "db-ro", "sslMode": "verify-ca"}
        lms["spec"] = lms["spec"] | {"database": lms["spec"]["database"] | {"readReplica": replica}}
        (secret,) = [one for one in known.objects("Secret") if one["metadata"]["name"] == "aada-db"]
        url = f"postgresql+psycopg2://{LOGIN}:{PASSWORD}@aada-db-read:5432/aada_lms?sslmode=verify-ca"
        secret["data"] = secret["data"] | {"READ_DATABASE_URL": base64.b64encode(url.encode()).decode()}
        loss.stored("monday", known)
        done(loss)
        assert loss.api.read(AADA_LMS, "aada")["spec"]["database"]["readReplica"] == {"host": "db-ro"}
        expected = f"postgresql+psycopg2://{LOGIN}:{PASSWORD}@aada-db-read:5433/aada_lms?sslmode=require"
        assert loss.values("aada-db")["READ_DATABASE_URL"] == expected

    def test_without_the_pooler_that_led_to_the_lost_server(self, loss: TotalLoss) -> None:
        known = bundle()
        (lms,) = known.objects("AadaLms")
        pooler = {"host": "pgbouncer", "adminSecretRef": {"name": "pooler-admin"}}
        lms["spec"] = lms["spec"] | {"database": lms["spec"]["database"] | {"pooler": pooler}}
        loss.stored("monday", known)
        done(loss)
        assert "pooler" not in loss.api.read(AADA_LMS, "aada")["spec"]["database"]
        assert loss.values("aada-db")["host"] == "new-db"

    @pytest.mark.parametrize("kept", [True, False])
    def test_with_a_key_of_its_own_that_was_there_before_only_if_it_decrypts(self, loss: TotalLoss, kept: bool) -> None:
        known = bundle()
        (lms,) = known.objects("AadaLms")
        key = {"secretRef": {"name": "lms-keys", "key": "KEY"}, "table": "users", "column": "email"}
        lms["spec"] = lms["spec"] | {"database": lms["spec"]["database"] | {"dataKey": key}}
        loss.stored("monday", known)
        if kept:
            loss.api.secret("lms-keys", KEY="canary-of-today")
        loss.lost(source=source())
        loss.settle()
        volumes = loss.api.read(JOBS, JOB)["spec"]["template"]["spec"]["volumes"]
        mounted = {volume["name"] for volume in volumes}
        assert ("data-key" in mounted) is kept
        if not kept:
            done(loss)
            assert loss.api.read(AADA_LMS, "aada")["spec"]["database"]["dataKey"] == key

    def test_but_not_the_admin_of_the_lost_server(self, loss: TotalLoss) -> None:
        done(loss)
        assert "db-admin" not in loss.api.names(SECRETS)

    def test_with_objects_that_outlive_the_restore(self, loss: TotalLoss) -> None:
        done(loss)
        objects = [loss.api.read(AADA_LMS, "aada"), loss.api.read(BACKUP_POLICIES, "nightly")]
        objects.append(loss.api.read(SECRETS, "aada-db"))
        assert not any("ownerReferences" in body["metadata"] for body in objects)

    def test_a_suspended_lms_which_is_not_waited_for(self, loss: TotalLoss) -> None:
        known = bundle()
        (lms,) = known.objects("AadaLms")
        lms["spec"] = lms["spec"] | {"suspend": True}
        loss.stored("monday", known)
        loaded(loss)
        assert loss.status["phase"] == "Completed"

    def test_nothing_of_a_secret_is_told(self, loss: TotalLoss, caplog: pytest.LogCaptureFixture) -> None:
        done(loss)
        told = json.dumps(loss.api.read(RESTORES, RESTORE)) + json.dumps(loss.events) + caplog.text
        told += json.dumps([loss.api.read(JOBS, name) for name in loss.jobs])
        for value in (PASSWORD, "canary-key"):
            assert value not in told
            assert base64.b64encode(value.encode()).decode() not in told


class TestWhich:
    def test_the_newest_content_wins_whatever_its_name(self, loss: TotalLoss) -> None:
        loss.stored("a-later-one", bundle(), snapshot="2026-02-02T02:00:00Z")
        loss.stored("zzz", bundle(), snapshot="2026-01-01T00:00:00Z")
        loss.bucket.objects["school/aada/torn/manifest.json"] = b"{}"
        loss.bucket.objects["school/aada/_chunks/e/ab/abc"] = b"x"
        loss.lost(source=source())
        loss.settle()
        assert loss.status["plan"]["backup"] == "a-later-one"

    def test_or_the_one_that_is_named(self, loss: TotalLoss) -> None:
        loss.stored("tuesday", bundle(), snapshot="2026-02-02T02:00:00Z")
        loss.lost(source=source(backup="monday"))
        loss.settle()
        assert loss.status["plan"]["backup"] == "monday"

    def test_of_another_namespace(self, loss: TotalLoss) -> None:
        moved = {key.replace("school/", "old-school/", 1): data for key, data in loss.bucket.objects.items()}
        loss.bucket.objects = moved
        loss.lost(source=source(namespace="old-school"))
        loss.settle()
        assert loss.task()["folder"] == "old-school/aada/monday"

    def test_none_is_waited_for_and_the_place_is_named(self, loss: TotalLoss) -> None:
        loss.bucket.objects.clear()
        loss.lost(source=source())
        loss.settle()
        assert loss.condition("Ready") == ("False", "BackupNotFound")
        assert "backups/school/aada" in loss.message("Ready")

    def test_beside_the_live_database_of_an_lms_that_is_there(self, loss: TotalLoss) -> None:
        loss.api.add(AADA_LMS, custom_resource("AadaLms", "aada", LMS_SPEC))
        loss.api.secret("db-admin", username="admin", password="password")
        loss.restore("x", source=source(), target={"mode": "NewDatabase"})
        loss.settle()
        assert loss.task()["database"]["host"] == "db"
        assert loss.task()["database"]["name"] == "aada_lms_restore_12345678"


class TestPlan:
    def test_says_what_is_made_and_acts_at_once(self, loss: TotalLoss) -> None:
        """Nothing that exists is changed, and after the loss of everything time counts."""
        loss.lost(source=source())
        loss.settle()
        plan = loss.status["plan"]
        assert plan["makes"] == MADE
        assert plan["keeps"] == ["Secret/s3"]
        for words in ("new-db:5433", "2 roles", "AadaLms/aada", "left as they are: Secret/s3"):
            assert words in plan["summary"]
        assert loss.jobs == [JOB]

    def test_waits_for_an_approval_when_that_is_wanted(self, loss: TotalLoss) -> None:
        loss.lost(source=source(), mode="Approve")
        assert loss.settle() == RESYNC
        assert loss.jobs == []
        loss.approve(loss.status["plan"]["hash"])
        loss.settle()
        assert loss.jobs == [JOB]

    def test_observe_does_nothing(self, loss: TotalLoss) -> None:
        loss.lost(source=source(), mode="Observe")
        loss.settle()
        assert loss.condition("Ready") == ("False", "Observing")
        assert [write for write in loss.api.writes if not write.startswith("status")] == []
        assert loss.new.roles == {}


class TestChangesNothingThatIsThere:
    def test_a_secret_stays_and_its_password_is_used(self, loss: TotalLoss) -> None:
        loss.api.secret("aada-db", username=LOGIN, password="another", url="u")
        done(loss)
        assert loss.values("aada-db") == {"username": LOGIN, "password": "another", "url": "u"}
        assert loss.new.passwords == {LOGIN: "another"}

    def test_an_lms_stays_as_it_is_and_is_not_waited_for(self, loss: TotalLoss) -> None:
        loss.api.add(AADA_LMS, custom_resource("AadaLms", "aada", LMS_SPEC))
        loaded(loss)
        assert loss.status["phase"] == "Completed"
        assert loss.api.read(AADA_LMS, "aada")["spec"] == LMS_SPEC
        assert "AadaLms/aada" in loss.status["plan"]["keeps"]

    def test_a_role_of_somebody_else_stays_as_it_is(self, loss: TotalLoss) -> None:
        theirs = ServerRole(RoleDefinition(name=OWNER, login=True), "theirs")
        loss.new.roles[OWNER] = theirs
        done(loss)
        assert loss.new.roles[OWNER] == theirs

    def test_what_is_changed_once_the_lms_is_there_stays_changed(self, loss: TotalLoss) -> None:
        loaded(loss)
        del loss.new.properties["aada_lms"]
        loss.api.remove(SECRETS, "lms-keys")
        loss.settle()
        assert "aada_lms" not in loss.new.properties
        assert "lms-keys" not in loss.api.names(SECRETS)


class TestRefusesBeforeAnythingIsTouched:
    @pytest.fixture(autouse=True)
    def _untouched(self, loss: TotalLoss) -> Any:
        yield
        assert (loss.jobs, loss.new.roles, loss.api.names(AADA_LMS)) == ([], {}, [])
        assert set(loss.new.databases) <= {"postgres", "aada_lms"}

    def refused(self, loss: TotalLoss, reason: str) -> str:
        loss.lost(source=source())
        assert loss.settle() is None
        assert loss.condition("Failed") == ("True", reason)
        return loss.message("Failed")

    def waits(self, loss: TotalLoss, reason: str) -> str:
        loss.lost(source=source())
        assert loss.settle()
        assert loss.condition("Ready") == ("False", reason)
        return loss.message("Ready")

    def test_a_key_that_does_not_open_it(self, loss: TotalLoss) -> None:
        loss.api.remove(SECRETS, "offline-key")
        loss.api.secret("offline-key", identity=keygen()[0])
        self.refused(loss, "WrongKey")

    def test_a_bundle_that_is_not_what_was_written(self, loss: TotalLoss) -> None:
        (key,) = (key for key in loss.bucket.objects if "bundle" in key)
        loss.bucket.objects[key] = loss.bucket.objects[key][:-1] + b"x"
        self.refused(loss, "Corrupt")

    def test_a_bundle_that_is_gone(self, loss: TotalLoss) -> None:
        (key,) = (key for key in loss.bucket.objects if "bundle" in key)
        del loss.bucket.objects[key]
        self.refused(loss, "Corrupt")

    def test_a_backup_without_a_bundle(self, loss: TotalLoss) -> None:
        loss.bucket.objects.clear()
        loss.stored("monday", None)
        assert "NewDatabase" in self.refused(loss, "NoBundle")

    def test_no_key_for_an_encrypted_backup(self, loss: TotalLoss) -> None:
        without = source()
        del without["storage"]["identitySecretRef"]
        loss.lost(source=without)
        loss.settle()
        assert loss.condition("Failed") == ("True", "NoIdentity")

    def test_a_key_whose_secret_is_missing(self, loss: TotalLoss) -> None:
        loss.api.remove(SECRETS, "offline-key")
        assert "offline-key" in self.waits(loss, "SecretMissing")

    def test_a_database_that_is_there(self, loss: TotalLoss) -> None:
        loss.new.databases["aada_lms"] = "precious"
        self.refused(loss, "TargetExists")

    def test_an_older_server(self, loss: TotalLoss) -> None:
        loss.new.major = 14
        self.refused(loss, "VersionUnsupported")

    def test_an_admin_that_may_not_make_roles(self, loss: TotalLoss) -> None:
        loss.new.may_create_roles = False
        assert "CREATEROLE" in self.waits(loss, "InsufficientPrivilege")

    def test_a_secret_that_is_neither_here_nor_in_the_backup(self, loss: TotalLoss) -> None:
        known = bundle()
        items = [item for item in known.kubernetes["items"] if item["metadata"]["name"] != "lms-keys"]
        loss.stored("monday", known.model_copy(update={"kubernetes": {"items": items}}))
        assert "lms-keys" in self.waits(loss, "SecretMissing")

    def test_a_dead_server(self, loss: TotalLoss) -> None:
        loss.new.trouble = Waiting("ConnectionRefused", "nothing listens")
        self.waits(loss, "ConnectionRefused")


def test_a_login_of_somebody_else_is_refused(loss: TotalLoss) -> None:
    loss.new.roles[LOGIN] = ServerRole(RoleDefinition(name=LOGIN, login=True), "theirs")
    loss.lost(source=source())
    assert loss.settle() is None
    assert loss.condition("Failed") == ("True", "RoleTaken")
    assert loss.new.passwords == {}
    assert loss.jobs == []


def test_a_schema_that_the_application_does_not_find_stops_before_the_lms_is_made(loss: TotalLoss) -> None:
    loss.new.revision = "0001"
    loaded(loss)
    assert loss.condition("Failed") == ("True", "SmokeFailed")
    assert loss.api.names(AADA_LMS) == []


def test_an_lms_that_never_gets_ready_is_told_in_the_end(loss: TotalLoss) -> None:
    loaded(loss)
    loss.clock.advance(hours=5)
    loss.settle()
    assert loss.condition("Failed") == ("True", "LmsNotReady")
    assert "all objects are there" in loss.message("Failed")


class TestSurvives:
    @pytest.mark.parametrize("when", ["crash_before", "crash_after"])
    def test_a_kill_at_every_write(self, loss: TotalLoss, when: str) -> None:
        loss.lost(source=source())
        reached = 0
        for _ in range(120):
            # Every write that is reached for the first time kills, before it or right after it; then it gets through.
            if len(loss.api.writes) >= reached:
                setattr(loss.api, when, len(loss.api.writes) + (when == "crash_after"))
                reached = len(loss.api.writes) + 1
            try:
                if loss.visit() is None and loss.status.get("phase") == "Completed":
                    break
            except Crash:
                continue
            if JOB in loss.jobs and "aada_lms" not in loss.new.databases:
                loss.end_job()
            if "aada" in loss.api.names(AADA_LMS):
                loss.serve()
        assert loss.status["phase"] == "Completed"
        assert loss.new.passwords == {LOGIN: PASSWORD}
        assert loss.values("lms-keys") == {"KEY": "canary-key"}
        creates = [write for write in loss.api.writes if write.startswith("create")]
        assert len(creates) == len(set(creates)), "nothing is made twice"

    @pytest.mark.parametrize("step", ["Roles", "Properties", "Secrets", "Login", "Objects"])
    @pytest.mark.parametrize("side", ["before", "after"])
    def test_a_kill_around_every_step(
        self, loss: TotalLoss, monkeypatch: pytest.MonkeyPatch, step: str, side: str
    ) -> None:
        kills: list[str] = []

        def failpoint(name: str) -> None:
            if name == f"restore.{step}.{side}-act" and not kills:
                kills.append(name)
                raise Crash(name)

        monkeypatch.setattr(steps, "failpoint", failpoint)
        done(loss)
        assert kills
        assert loss.status["phase"] == "Completed"
        assert loss.new.passwords == {LOGIN: PASSWORD}

    def test_a_kill_between_two_objects(self, loss: TotalLoss) -> None:
        """The AadaLms is the last: without it the next visit does not take anything for done."""
        loss.lost(source=source())
        loss.settle()
        loss.end_job()
        while "nightly" not in loss.api.names(BACKUP_POLICIES):
            loss.api.crash_after = len(loss.api.writes)
            try:
                loss.visit()
            except Crash:
                continue
        assert loss.api.names(AADA_LMS) == []
        go_on(loss)
        assert loss.api.names(AADA_LMS) == ["aada"]

    def test_a_lost_status_once_it_has_loaded(self, loss: TotalLoss) -> None:
        loaded(loss)
        loss.api.read(RESTORES, RESTORE)["status"] = {}
        loss.serve()
        loss.settle(20)
        assert loss.status["phase"] == "Completed"
        assert loss.jobs == [JOB], "nothing is loaded a second time"
        assert loss.new.passwords_given == 1

    def test_an_api_server_that_refuses_to_let_it_make_an_lms(
        self, loss: TotalLoss, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create = loss.api.create

        async def refusing(resource: Any, body: Any) -> Any:
            if resource == AADA_LMS:
                raise Stalled("Refused", "the Kubernetes API refused it")
            return await create(resource, body)

        monkeypatch.setattr(loss.api, "create", refusing)
        loaded(loss)
        assert loss.condition("Failed") == ("True", "Refused")


def test_a_secret_without_a_url_gets_none() -> None:
    known = bundle()
    items = [secret("aada-db", username=LOGIN, password="p", url="no url at all"), *known.objects("AadaLms")]
    known = known.model_copy(update={"kubernetes": {"items": items}})
    server = database(known, TargetServer.model_validate(SERVER), "aada_lms", "aada")
    made = rebuild(known, server, "aada", "school", "u")
    data = {key: base64.b64decode(value).decode() for key, value in made.secrets[0]["data"].items()}
    assert data == {"username": LOGIN, "password": "p", "url": "no url at all"}


class TestUsersFiles:
    """Where they are is said by the policy, so they come after it."""

    FILES = f"{RESTORE}-uploads-1"

    @pytest.fixture
    def with_files(self, loss: TotalLoss) -> TotalLoss:
        uploads = {"uploads": {"s3": {"bucket": "files", "credentialsSecretRef": {"name": "s3"}}}}
        known = bundle()
        (policy,) = known.objects("BackupPolicy")
        policy["spec"] = policy["spec"] | uploads
        loss.stored("monday", known)
        loss.bucket.objects["school/aada/monday/uploads.json"] = (
            CheckpointDocument.model_validate(CHECKPOINT).model_dump_json(by_alias=True).encode()
        )
        return loss

    def test_come_back_with_everything_else(self, with_files: TotalLoss) -> None:
        loaded(with_files, uploads={"claimName": "files"})
        assert with_files.jobs == [JOB, self.FILES]
        assert with_files.task(self.FILES)["listSha256"] == CHECKPOINT["listSha256"]
        assert with_files.api.names(AADA_LMS) == ["aada"], "its policy says where they are"
        with_files.api.end_job(self.FILES, FILES_RESULT)
        with_files.serve()
        go_on(with_files)
        assert with_files.status["phase"] == "Completed"
        assert [step["name"] for step in with_files.status["steps"]][-4:] == ["Objects", "Uploads", "Serving", "Record"]

    def test_without_a_checkpoint_nothing_is_begun(self, loss: TotalLoss) -> None:
        loss.lost(source=source(), uploads={"claimName": "files"})
        loss.settle()
        assert loss.condition("Ready") == ("False", "NoCheckpoint")
        assert loss.jobs == []
