"""After the loss of everything but the bucket and the offline key: one Restore, and the LMS serves again."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pyrage
import pytest

from tests.cluster import builders, release
from tests.cluster.backups.school import School, everything_said
from tests.cluster.files import FIRST, Claim, copied_to
from tests.cluster.release import Operator
from tests.cluster.restores.rehearsal import LIVE, Rehearsal
from tests.cluster.servers import Bucket, Database
from tests.cluster.workspace import LONG, Object, Workspace
from tests.service.secrecy import forms
from tests.testbed.cluster import Cluster
from tests.testbed.services import install_postgres, install_s3, make_bucket
from tests.testbed.shell import say

LOGIN = {"email": "ada@example.edu", "password": "notes-on-the-engine-1843"}
OFFLINE = "offline-key"
ROLES = "SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname LIKE 'aada%' OR rolname = 'teachers' ORDER BY 1"
PROPERTIES = f"""
CREATE ROLE teachers; GRANT CONNECT ON DATABASE {LIVE} TO teachers;
ALTER ROLE teachers IN DATABASE {LIVE} SET work_mem TO '7MB'; ALTER DATABASE {LIVE} CONNECTION LIMIT 77;
"""


@pytest.fixture
def outside(cluster: Cluster) -> Iterator[Bucket]:
    """The S3 server of somebody else, which no loss of a cluster reaches."""
    name = f"outside-{secrets.token_hex(3)}"
    release.ensure_namespace(cluster, name)
    server = install_s3(cluster, name)
    make_bucket(cluster, server, builders.BUCKET)
    yield Bucket(Workspace(cluster, name), server, builders.BUCKET)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def school(cluster: Cluster, operator: Operator, sample_lms: str, outside: Bucket) -> Iterator[Rehearsal]:
    """A school with accounts; its private key is in nobody's cluster."""
    name = f"total-loss-{secrets.token_hex(3)}"
    release.ensure_namespace(cluster, name)
    workspace = Workspace(cluster, name)
    database = Database(workspace, install_postgres(cluster, name))
    keys = {key: f"canary-{secrets.token_urlsafe(24)}" for key in ("JWT_SECRET_KEY", "ENCRYPTION_KEY")}
    workspace.secret(builders.LMS_SECRET, **keys)
    workspace.secret("s3-credentials", **outside.server.credentials)
    key = pyrage.x25519.Identity.generate()
    yield Rehearsal(workspace, database, outside, str(key), str(key.to_public()))
    cluster.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")


def answers(school: School, method: str, path: str, **request: Any) -> Any:
    """What the LMS answers."""
    where = f"--namespace={school.workspace.namespace}"
    with school.workspace.cluster.port_forward("service/aada-backend", 8000, where) as port:
        answer = httpx.request(method, f"http://127.0.0.1:{port}{path}", timeout=20, trust_env=False, **request)
    assert answer.status_code == 200, answer.text
    return answer.json()


def lose_everything(school: Rehearsal) -> Rehearsal:
    """The namespace with its server and all objects is gone; a new one of that name has a new, empty server."""
    cluster, name = school.workspace.cluster, school.workspace.namespace
    cluster.kubectl("delete", "namespace", name, "--timeout=120s")
    release.ensure_namespace(cluster, name)
    server = install_postgres(cluster, name)
    school.workspace.secret("s3-credentials", **school.s3.server.credentials)
    school.workspace.secret(OFFLINE, identity=school.identity)
    return replace(school, database=Database(school.workspace, server))


def _markers(school: Rehearsal) -> list[bytes]:
    """Whose the folder in the bucket was and is, oldest first."""
    found = school.s3.keys()
    keys = sorted(key for key in found if "/_owner/" in key)
    with school.s3.client() as client:
        return [client.get_object(Bucket=school.s3.name, Key=key)["Body"].read() for key in keys]


def test_one_restore_brings_back_an_lms_of_which_only_the_bucket_and_the_key_are_left(
    school: Rehearsal, operator: Operator, outside: Bucket
) -> None:
    workspace = school.workspace
    workspace.apply(builders.aada_lms(host=school.database.host))
    workspace.wait_condition("lms/aada", "Ready", timeout=LONG)
    workspace.kubectl("exec", "deploy/aada-backend", "--", "python", "-m", "sample_lms.generate", "--size", "20MB")
    school.database.sql(PROPERTIES)
    files = Claim.make(workspace, "files")
    files.write(dict(FIRST))
    workspace.patch("lms/aada", storage={"uploads": {"claimName": files.name, "mountPath": "/app/uploads"}})
    encryption = {"verificationIdentitySecretRef": None}
    school.policy("nightly", encryption=encryption, uploads=copied_to(outside, "files"))
    backup = school.completed(school.backup("monday", "nightly"))
    workspace.wait_condition("lmsb/monday", "UploadsCheckpointed", timeout=LONG)
    bundled = next(c for c in backup["status"]["conditions"] if c["type"] == "Bundled")
    assert (bundled["status"], bundled["reason"]) == ("True", "Complete"), bundled
    content, roles = school.content(), school.database.sql(ROLES)
    said = [found for kind in ("secret/aada-db", f"secret/{builders.LMS_SECRET}") if (found := workspace.get(kind))]

    new = lose_everything(school)
    server = {"host": new.database.host, "sslMode": "disable", "adminSecretRef": {"name": "db-admin"}}
    s3 = {"bucket": new.s3.name, "endpoint": new.s3.endpoint, "credentialsSecretRef": {"name": "s3-credentials"}}
    storage = {"s3": s3, "lms": "aada", "latest": True, "identitySecretRef": {"name": OFFLINE, "key": "identity"}}
    files = Claim.make(workspace, "files")
    spec: Object = {"source": {"storage": storage}, "target": {"mode": "NewServer", "server": server}}
    spec["uploads"] = {"claimName": files.name}
    workspace.apply(builders.custom_resource("Restore", "all-of-it", spec))
    body = new.restored("lmsr/all-of-it", LONG)

    say(f"total loss: {body['status']['duration']} from the Restore to an LMS that is ready")
    assert answers(new, "GET", "/health")["database"] == "connected"
    token = answers(new, "POST", "/auth/login", json=LOGIN)["access_token"]
    assert answers(new, "GET", "/me", headers={"Authorization": f"Bearer {token}"})["email"] == LOGIN["email"]
    assert new.database.sql(ROLES) == roles
    assert files.read() == FIRST
    assert new.database.sql(f"SELECT datconnlimit FROM pg_database WHERE datname = '{LIVE}'") == "77"
    # Signing in has written a refresh token: everything else is as it was.
    differing = set(content.splitlines()) ^ set(new.content().splitlines())
    assert all(line.startswith("refresh_tokens|") for line in differing), differing
    for secret in said:
        found = workspace.get(f"secret/{secret['metadata']['name']}")
        assert found is not None
        assert found["data"].items() >= {k: v for k, v in secret["data"].items() if k not in ("url",)}.items()
    workspace.wait_for("bp/nightly", lambda found: found.get("status", {}).get("inventory", {}).get("found") == 1, LONG)
    new.completed("lmsb/monday")
    owner = json.loads(next(iter(_markers(new))))["uid"]
    assert owner in workspace.says("bp/nightly", "PrefixOwned", "PrefixOwnedByAnother", LONG)
    workspace.kubectl("annotate", "bp/nightly", f"lms.aada.edu/take-over={owner}")
    workspace.says("bp/nightly", "PrefixOwned", "TakingOver", LONG)
    new.completed(new.backup("tuesday", "nightly"))
    assert len(_markers(new)) == 2
    keys = [value for secret in said for value in secret["data"].values() if len(value) > 40]
    text = json.dumps([list(everything_said(workspace, operator)), workspace.get("lmsr/all-of-it")])
    assert not any(value in text for value in keys)
    assert not any(form in text for form in forms(school.identity))
