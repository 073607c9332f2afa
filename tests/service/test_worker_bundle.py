"""The bundle through a real server and a real bucket: what it holds comes back, and nobody sees it on the way."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator

import pytest
import zstandard
from pyrage import decrypt, x25519

from aada_operator.api.bundle import Bundle, BundleOrder, RoleDefinition, SecretOrder
from aada_operator.api.task import VerifyResult
from aada_operator.worker.keys import keygen
from tests.service.servers import POSTGRES_BIN, PostgresServer
from tests.service.worker_harness import Job

KEY = "canary-encryption-key"
ORDER = BundleOrder(
    objects=[{"apiVersion": "lms.aada.edu/v1alpha1", "kind": "AadaLms", "metadata": {"name": "aada"}, "spec": {}}],
    secrets=[
        SecretOrder(folder="bundle-0", name="lms-keys", labels={"team": "it"}),
        SecretOrder(folder="bundle-1", name="certificate", type="kubernetes.io/tls"),
        SecretOrder(folder="bundle-2", name="gone-since"),
    ],
    missing=["Secret/never-there"],
)
ROLES = """
    CREATE ROLE bundle_owner NOLOGIN;
    CREATE ROLE "bundle App" LOGIN CONNECTION LIMIT 20 VALID UNTIL '2040-01-01 12:00+00' PASSWORD 'canary-role'
        IN ROLE bundle_owner;
    ALTER ROLE "bundle App" SET role = 'bundle_owner';
    ALTER ROLE "bundle App" SET search_path = "$user", 'odd Schema', public;
    CREATE ROLE bundle_readers NOINHERIT CREATEDB; GRANT bundle_readers TO bundle_owner WITH ADMIN OPTION;
    CREATE ROLE bundle_stranger LOGIN; CREATE ROLE bundle_king SUPERUSER; GRANT bundle_owner TO bundle_king;
    ALTER DATABASE "{0}" OWNER TO bundle_owner; ALTER DATABASE "{0}" CONNECTION LIMIT 77;
    ALTER DATABASE "{0}" SET search_path TO public, "odd Schema"; ALTER DATABASE "{0}" SET work_mem = '7MB';
    ALTER ROLE bundle_readers IN DATABASE "{0}" SET application_name = 'it''s \\ one';
    REVOKE ALL ON DATABASE "{0}" FROM PUBLIC; GRANT CONNECT ON DATABASE "{0}" TO bundle_readers WITH GRANT OPTION;
"""
MADE = ("bundle_owner", '"bundle App"', "bundle_readers", "bundle_stranger", "bundle_king")


@pytest.fixture
def school(postgres: PostgresServer, database: str) -> Iterator[str]:
    """A database with roles of all kinds around it."""
    postgres.execute(ROLES.format(database))
    yield database
    postgres.dropdb(database)
    drop_roles(postgres)


def drop_roles(postgres: PostgresServer) -> None:
    postgres.execute(f"DROP ROLE IF EXISTS {', '.join(MADE)}")


def mount(job: Job) -> None:
    job.secret("bundle-0/ENCRYPTION_KEY", KEY)
    job.secret("bundle-0/..data/ENCRYPTION_KEY", KEY)
    job.secret("bundle-1/tls.key", "canary-tls")


def opened(job: Job, name: str = "nightly") -> Bundle:
    """The bundle, read as an administrator with the private key would."""
    sealed = job.part(name, kind="bundle").read_bytes()
    packed = decrypt(sealed, [x25519.Identity.from_str(job.identity)])
    return Bundle.model_validate_json(zstandard.ZstdDecompressor().decompress(packed))


def role(bundle: Bundle, name: str) -> RoleDefinition:
    (found,) = (one for one in bundle.roles if one.name == name)
    return found


class TestHolds:
    def test_the_secrets_as_objects_that_can_be_applied(self, job: Job, small: str) -> None:
        mount(job)
        result = job.backup(small, bundle=ORDER)
        items = {item["metadata"]["name"]: item for item in opened(job).kubernetes["items"]}
        assert items.keys() == {"lms-keys", "certificate", "aada"}
        assert base64.b64decode(items["lms-keys"]["data"]["ENCRYPTION_KEY"]).decode() == KEY
        assert items["lms-keys"]["data"].keys() == {"ENCRYPTION_KEY"}, "the kubelet's own links are no keys"
        assert items["lms-keys"]["metadata"]["labels"] == {"team": "it"}
        assert items["certificate"]["type"] == "kubernetes.io/tls"
        assert result.bundle is not None
        assert (result.bundle.objects, result.bundle.secrets) == (1, 2)
        assert result.bundle.missing == ["Secret/never-there", "Secret/gone-since"]

    def test_the_roles_of_the_database_and_nobody_elses(self, job: Job, school: str) -> None:
        job.backup(school)
        bundle = opened(job)
        names = {one.name for one in bundle.roles}
        assert {"bundle_owner", "bundle App", "bundle_readers"} <= names
        assert not {"bundle_stranger", "bundle_king"} & names
        app = role(bundle, "bundle App")
        assert (app.login, app.connection_limit, app.valid_until) == (True, 20, "2040-01-01T12:00:00.000000Z")
        assert [(m.role, m.admin) for m in app.member_of] == [("bundle_owner", False)]
        assert (role(bundle, "bundle_readers").inherit, role(bundle, "bundle_readers").create_db) == (False, True)
        assert "canary-role" not in bundle.model_dump_json()
        assert "SCRAM" not in bundle.model_dump_json()


class TestByHand:
    def test_roles_and_properties_come_back_with_psql(self, job: Job, postgres: PostgresServer, school: str) -> None:
        job.backup(school)
        before = opened(job)
        postgres.dropdb(school)
        drop_roles(postgres)
        psql(postgres, before.roles_sql)
        postgres.createdb(school, owner="bundle_owner")
        psql(postgres, before.database_sql, f"--set=database={school}")
        job.backup(school, "again")
        after = opened(job, "again")
        assert after.roles == before.roles
        assert sorted(map(str, after.database.grants)) == sorted(map(str, before.database.grants))
        assert sorted(map(str, after.database.settings)) == sorted(map(str, before.database.settings))
        assert after.database.connection_limit == before.database.connection_limit == 77

    def test_twice_is_once(self, job: Job, postgres: PostgresServer, school: str) -> None:
        job.backup(school)
        bundle = opened(job)
        psql(postgres, bundle.roles_sql)
        psql(postgres, bundle.database_sql, f"--set=database={school}")


def psql(postgres: PostgresServer, text: str, *arguments: str) -> None:
    connection = [f"--host={postgres.folder}", f"--port={postgres.port}", "--username=postgres", "--dbname=postgres"]
    argv = [str(POSTGRES_BIN / "psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", *connection, *arguments]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class TestIsGuarded:
    def test_nothing_secret_is_in_names_manifest_log_or_objects(self, job: Job, small: str) -> None:
        """The harness looks at the output, the outcome, arguments and environments for every mounted Secret."""
        mount(job)
        job.backup(small, bundle=ORDER)
        files = [path for path in (job.s3.root / job.bucket).rglob("*") if path.is_file()]
        assert files
        for secret in (KEY, base64.b64encode(KEY.encode()).decode(), "canary-tls"):
            assert not any(secret in str(path) for path in files)
            assert not any(secret.encode() in path.read_bytes() for path in files)

    def test_without_encryption_it_has_roles_and_objects_only(self, job: Job, small: str) -> None:
        mount(job)
        plain = ORDER.model_copy(update={"secrets": []})
        result = job.backup(small, recipients=[], bundle=plain)
        part = job.part(kind="bundle")
        assert part.name.endswith("bundle-00000.json.zst")
        document = json.loads(zstandard.ZstdDecompressor().decompress(part.read_bytes()))
        assert [item["kind"] for item in document["kubernetes"]["items"]] == ["AadaLms"]
        assert result.bundle is not None
        assert result.bundle.secrets == 0
        assert "bundle" in {check.name for check in job.verify().checks}

    def test_a_flipped_byte_fails_the_verification(self, job: Job, small: str) -> None:
        job.backup(small, bundle=ORDER)
        part = job.part(kind="bundle")
        data = bytearray(part.read_bytes())
        data[len(data) // 2] ^= 1
        part.write_bytes(data)
        failure = job.run("verify", job.verify_task()).failure
        assert (failure.reason, failure.retryable) == ("Corrupt", False)
        assert "bundle" in failure.message

    def test_a_missing_one_fails_the_verification_and_a_restore(self, job: Job, small: str) -> None:
        job.backup(small, bundle=ORDER)
        job.part(kind="bundle").unlink()
        assert job.run("verify", job.verify_task()).failure.reason == "Corrupt"
        assert job.run("restore", job.restore_task("never_made")).failure.reason == "Corrupt"

    def test_another_key_does_not_open_it(self, job: Job, small: str) -> None:
        job.backup(small, bundle=ORDER)
        job.secret("identity/identity", keygen()[0])
        assert job.run("verify", job.verify_task()).failure.reason == "WrongKey"

    def test_a_worker_killed_after_it_leaves_no_backup(self, job: Job, small: str) -> None:
        assert job.run("backup", job.task(small), "worker.backup.after-bundle=kill").exit_code == -9
        assert job.manifest() is None


class TestOlderBackups:
    def test_without_a_bundle_are_verified_as_before(self, job: Job, small: str) -> None:
        job.backup(small)
        manifest = job.manifest()
        assert manifest is not None
        old = [part for part in manifest.parts if part.kind != "bundle"]
        document = manifest.model_copy(update={"parts": old, "bundle": None, "format_version": "1.0"})
        file = job.s3.file(job.bucket, "schools/aada/lms/nightly/manifest.json")
        file.write_text(document.model_dump_json(by_alias=True))
        checks = job.run("verify", job.verify_task()).result(VerifyResult).checks
        assert "bundle" not in {check.name for check in checks}
