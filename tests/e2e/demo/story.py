"""The steps of the demo. Each can be run again: what is there already is found, not made twice."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from string import Template

import pyrage

from tests.cluster.release import build_image, ensure_namespace, install
from tests.cluster.servers import Database
from tests.cluster.workspace import Workspace
from tests.testbed.catalogue import SAMPLE_LMS
from tests.testbed.cluster import Cluster
from tests.testbed.services import ensure_secret, install_postgres, install_s3, make_bucket
from tests.testbed.shell import say, step

FOLDER = Path(__file__).parent
VERSION = "v1.3.0"
BUCKET = "lms-backups"
DATABASE = "aada_lms"
RESTORED = "aada_lms_drill"
IMAGES = [f"{SAMPLE_LMS}:{version}" for version in ("v1.2.3", VERSION)]

# Rows and a digest per table, by plain SQL: the comparison does not take the operator's word for it.
_CONTENT = """
SELECT string_agg(format('%I %s', table_name, (xpath('/row/c/text()', content))[1]), E'\\n' ORDER BY table_name)
FROM (SELECT table_name, query_to_xml(format(
        'SELECT count(*) || '' '' || coalesce(md5(string_agg(md5(t::text), '''' ORDER BY md5(t::text))), '''') AS c
         FROM %I.%I t', table_schema, table_name), false, true, '') AS content
      FROM information_schema.tables
      WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'audit_log') AS tables
"""


@dataclass(frozen=True)
class Story:
    """The demo in one namespace; ``size`` is that of the school's database, such as ``40MB``."""

    cluster: Cluster
    namespace: str = "school"
    size: str = "40MB"

    @property
    def school(self) -> Workspace:
        return Workspace(self.cluster, self.namespace)

    def tell(self) -> None:
        """The whole story, in order."""
        self.cluster.create()
        self.prepare_images()
        self.install_servers()
        self.install_operator()
        self.declare_lms()
        self.enrol_students()
        self.back_up()
        self.restore()
        self.compare()

    def prepare_images(self) -> None:
        with step("images of the sample LMS"):
            for image in IMAGES:
                build_image(self.cluster, image)

    def install_servers(self) -> None:
        """PostgreSQL and an S3 server: what a school has already."""
        ensure_namespace(self.cluster, self.namespace)
        with step("PostgreSQL and an S3 server"):
            install_postgres(self.cluster, self.namespace)
            make_bucket(self.cluster, install_s3(self.cluster, self.namespace), BUCKET)
        wanted = {"jwt": secrets.token_urlsafe(32), "encryption": secrets.token_urlsafe(32)}
        ensure_secret(self.cluster, self.namespace, "lms-secrets", wanted)

    def install_operator(self) -> None:
        install(self.cluster)

    def declare_lms(self) -> None:
        """Roles, Secret, schema and pods of the LMS."""
        self._apply("lms.yaml")
        with step("AadaLms: database roles, schema, rollout"):
            self._wait("aadalms/aada", "Ready")

    def enrol_students(self) -> None:
        """Realistic rows, made once by the sample LMS's own generator in the running pod."""
        if self._sql(DATABASE, "SELECT count(*) > 1 FROM users") == "t":
            return
        with step(f"fill the database with {self.size} of students, courses and submissions"):
            generator = ("python", "-m", "sample_lms.generate", "--size", self.size, "--seed", "1843")
            self.school.kubectl("exec", "deploy/aada-backend", "--", *generator)

    def back_up(self) -> None:
        """A policy whose first backup is taken at once and proved on a scratch server."""
        identity = pyrage.x25519.Identity.generate()
        keys = {"identity": str(identity), "recipient": str(identity.to_public())}
        kept = ensure_secret(self.cluster, self.namespace, "backup-identity", keys)
        self._apply("policy.yaml", RECIPIENT=kept["recipient"])
        with step("BackupPolicy: first backup, encrypted, to the bucket"):
            self.school.kubectl("wait", "--for=jsonpath={.status.lastFullName}", "bp/nightly", "--timeout=300s")
        with step("verification: the backup restored on a scratch server and compared"):
            self._wait(f"backup.lms.aada.edu/{self.backup_name()}", "Verified")

    def backup_name(self) -> str:
        return self.school.kubectl("get", "bp", "nightly", "--output=jsonpath={.status.lastFullName}")

    def restore(self) -> None:
        """The newest backup into a database of its own, beside the live one."""
        self._apply("restore.yaml")
        with step("Restore: the newest backup into a new database"):
            self._wait("restore.lms.aada.edu/drill", "Completed")

    def compare(self) -> None:
        """Rows and digests of every table, in the live and in the restored database.

        Raises AssertionError when they differ. The audit log goes on growing in the live one and is left out.
        """
        live, restored = (self._sql(name, _CONTENT) for name in (DATABASE, RESTORED))
        assert live == restored, f"contents differ:\n{live}\n--- restored\n{restored}"
        say("• live and restored database hold the same rows (table, rows, digest):")
        say("\n".join(f"    {line}" for line in restored.splitlines()))

    def _apply(self, file: str, **values: str) -> None:
        text = Template((FOLDER / file).read_text()).substitute(values)
        self.cluster.apply(text, self.namespace)

    def _wait(self, what: str, condition: str) -> None:
        try:
            self.school.kubectl("wait", f"--for=condition={condition}", what, "--timeout=300s")
        except Exception:
            say(self.school.kubectl("describe", what))
            raise

    def _sql(self, database: str, query: str) -> str:
        server = install_postgres(self.cluster, self.namespace)
        return Database(self.school, server).sql(query, database)

    def overview(self) -> str:
        """What ``kubectl get`` shows at the end."""
        return self.school.kubectl("get", "aadalms,backuppolicies,backups.lms.aada.edu,restores.lms.aada.edu")
