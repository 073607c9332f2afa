"""A namespace after the loss of everything: a bucket, its credentials, the offline key and a new, empty server."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from aada_operator.adapters.kube_secrets import read_keys
from aada_operator.adapters.postgres_errors import AUTHENTICATION_FAILED
from aada_operator.adapters.postgres_globals import database_sql, roles_sql
from aada_operator.api.bundle import (
    Bundle,
    BundleSummary,
    DatabaseDefinition,
    DatabaseGrant,
    Membership,
    RoleDefinition,
)
from aada_operator.api.manifest import Part
from aada_operator.core.database import ServerRole, ServerRoles
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, BACKUPS, SECRETS, Object
from aada_operator.restores import new_server
from aada_operator.worker.codec import Sealer, parse_recipients
from aada_operator.worker.keys import keygen
from tests.unit.backups.api_server import NAMESPACE
from tests.unit.backups.school import LMS_SPEC, POLICY_SPEC, manifest
from tests.unit.restores.rehearsal import PostgresServer, Rehearsal

OWNER, LOGIN, PASSWORD = "aada_lms_owner", "aada_lms_a", "canary-password"
URL = f"postgresql+psycopg2://{LOGIN}:{PASSWORD}@db:5432/aada_lms?sslmode=verify-full"
SERVER: Object = {"host": "new-db", "port": 5433, "sslMode": "require", "adminSecretRef": {"name": "new-admin"}}
S3: Object = {"bucket": "backups", "credentialsSecretRef": {"name": "s3"}}


def source(**fields: Any) -> Object:
    """The backup in the bucket, the newest one unless ``backup`` names another."""
    which = {} if "backup" in fields else {"latest": True}
    identity = {"identitySecretRef": {"name": "offline-key", "key": "identity"}}
    return {"storage": {"s3": S3, "lms": "aada"} | which | identity | fields}


def object_of(kind: str, name: str, **fields: Any) -> Object:
    version = "v1" if kind == "Secret" else "lms.aada.edu/v1alpha1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}} | fields


def secret(name: str, /, **values: str) -> Object:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return object_of("Secret", name, type="Opaque", data=data)


def bundle(**changes: Any) -> Bundle:
    """What the LMS had."""
    lms = LMS_SPEC | {"secrets": [{"name": "KEY", "secretRef": {"name": "lms-keys", "key": "KEY"}}]}
    items = [
        secret("aada-db", url=URL, host="db", port="5432", name="aada_lms", username=LOGIN, password=PASSWORD),
        secret("lms-keys", KEY="canary-key"),
        secret("s3", AWS_ACCESS_KEY_ID="old", AWS_SECRET_ACCESS_KEY="old"),
        secret("db-admin", username="old-admin", password="canary-admin"),
        secret("aada-chunk-key", key="chunks"),
        object_of("AadaLms", "aada", spec=lms),
        object_of("BackupPolicy", "nightly", spec=POLICY_SPEC),
    ]
    roles = [
        RoleDefinition(name=LOGIN, login=True, member_of=[Membership(role=OWNER)]),
        RoleDefinition(name=OWNER),
        RoleDefinition(name="postgres", superuser=True, login=True),
    ]
    database = DatabaseDefinition(owner=OWNER, connection_limit=7, grants=[DatabaseGrant(privilege="CONNECT")])
    fields: Object = {"kubernetes": {"kind": "List", "items": items}, "roles": roles, "database": database} | changes
    return Bundle(**fields, roles_sql=roles_sql(roles), database_sql=database_sql(database))


@dataclass
class NewPostgres(PostgresServer):
    """A server that has roles with comments and passwords, too."""

    databases: dict[str, str] = field(default_factory=lambda: {"postgres": ""})
    roles: dict[str, ServerRole] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    may_create_roles: bool = True
    passwords_given: int = 0

    async def roles_of(self, _: Any, names: Iterable[str]) -> ServerRoles:
        there = {name: role for name, role in self.roles.items() if name in set(names)}
        return ServerRoles("admin", self.may_create_roles, there)

    async def make_roles(self, _: Any, wanted: Iterable[RoleDefinition], there: ServerRoles, mark: str) -> None:
        for role in wanted:
            assert role.name not in there.roles or there.roles[role.name].comment == mark, "somebody else's role"
            self.roles[role.name] = ServerRole(role, mark)

    async def give_password(self, _: Any, role: str, password: str) -> None:
        assert self.roles[role].definition.login
        self.passwords[role] = password
        self.passwords_given += 1

    @asynccontextmanager
    async def application(
        self, kube: Any, namespace: str, lms: str, database: Any, _: bool, name: str
    ) -> AsyncIterator[NewPostgres]:
        found = await read_keys(kube, namespace, database.app_secret(lms), ["username", "password"])
        if self.passwords.get(found["username"].decode()) != found["password"].decode():
            raise Waiting(AUTHENTICATION_FAILED, "refused")
        assert self.databases[name].endswith(";complete")
        yield self


@dataclass
class TotalLoss(Rehearsal):
    """The world of one test."""

    recipient: str = ""
    new: NewPostgres = field(default_factory=NewPostgres)

    def stored(self, name: str, found: Bundle | None, *, snapshot: str = "2026-02-01T02:00:01Z") -> None:
        """A backup with a bundle in the bucket."""
        known = manifest(name, uid=f"uid-of-{name}", bundle=BundleSummary(objects=2, secrets=5, roles=2))
        known = known.model_copy(update={"snapshot_at": snapshot})
        if found:
            data = found.model_dump_json(by_alias=True, exclude_none=True).encode()
            sealed = Sealer(1, parse_recipients([self.recipient])).seal(data)
            part = Part(
                key=f"{name}/attempt-1-0/bundle-00000.json.zst.age",
                kind="bundle",
                encryption="age",
                size=len(sealed),
                sha256=hashlib.sha256(sealed).hexdigest(),
                plain_size=len(data),
            )
            self.bucket.objects[f"{NAMESPACE}/aada/{part.key}"] = sealed
            known = known.model_copy(update={"parts": [*known.parts, part]})
        self.bucket.objects[f"{NAMESPACE}/aada/{name}/manifest.json"] = known.model_dump_json(by_alias=True).encode()

    def lost(self, *, source: Object, **spec: Any) -> None:
        """The one Restore that brings all back."""
        self.restore("x", **({"source": source, "target": {"mode": "NewServer", "server": SERVER}} | spec))

    def serve(self) -> None:
        """The LMS becomes ready."""
        ready = {"type": "Ready", "status": "True", "reason": "Serving", "lastTransitionTime": "2026-03-01T01:00:00Z"}
        self.api.read(AADA_LMS, "aada")["status"] = {"conditions": [ready]}

    def values(self, name: str) -> dict[str, str]:
        """What a Secret of the namespace holds."""
        data = self.api.read(SECRETS, name)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}


@pytest.fixture
def loss(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> TotalLoss:
    """Nothing but the bucket with the backup ``monday``, and the Secrets for bucket, key and new server."""
    identity, recipient = keygen()
    new = NewPostgres()
    world = TotalLoss(rehearsal.clock, rehearsal.api, rehearsal.bucket, new, recipient=recipient, new=new)
    for resource in (AADA_LMS, BACKUP_POLICIES, BACKUPS):
        for name in world.api.names(resource):
            world.api.remove(resource, name)
    for name in ("db-admin", "identity"):
        world.api.remove(SECRETS, name)
    world.bucket.objects.clear()
    world.api.secret("offline-key", identity=identity)
    world.api.secret("new-admin", username="admin", password="password")
    world.stored("monday", bundle())
    monkeypatch.setattr("aada_operator.restores.preflight.admin_session", new.session)
    monkeypatch.setattr("aada_operator.restores.preflight.restore_target", new.look)
    monkeypatch.setattr("aada_operator.adapters.postgres.revision", new.read_revision)
    for attribute, stand_in in {
        "admin_session": new.session,
        "application_session": new.application,
        "look": new.roles_of,
        "make_roles": new.make_roles,
        "properties": new.properties_of,
        "give_properties": new.give_properties,
        "give_password": new.give_password,
    }.items():
        monkeypatch.setattr(new_server, attribute, stand_in)
    return world
