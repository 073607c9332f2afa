"""A school whose application's login rotates: the sample LMS with two pods, a SecretRotation, and steady use."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from aada_operator.core.clock import SystemClock, to_rfc3339
from aada_operator.core.overlay import merged
from tests.cluster import builders, load, release
from tests.cluster.rotations import logins
from tests.cluster.rotations.logins import Logins
from tests.cluster.servers import Database
from tests.cluster.workspace import LONG, Object, Workspace, summary
from tests.testbed.catalogue import SAMPLE_LMS
from tests.testbed.cluster import FIELD_MANAGER, Cluster
from tests.testbed.services import install_postgres

ROTATION = "login"
REF = f"rot/{ROTATION}"
SECRET = "aada-db"
DATABASE = builders.DATABASE_NAME
JWT = "rot/jwt"
CONSUMERS = [{"kind": "Deployment", "name": logins.NAME}, {"kind": "StatefulSet", "name": logins.INDEX}]
MAIL, MAIL_KEY, MAIL_LENGTH = "rot/mail", "MAIL_KEY", 48
ACCEPTED = "JWT_SECRET_KEYS_ACCEPTED"
HEALTH = "http://aada-backend:8000/health"
# Asks for a token and nothing else.
PROTECTED = "http://aada-backend:8000/enrolments"
MINT = """
from sample_lms.security import Identity, access_token
from sample_lms.settings import settings_from_environment
print(access_token(settings_from_environment(), Identity(1, "student")))
"""

# What one pod says to a token, past its Service.
ASK = """
import sys, urllib.error, urllib.request
request = urllib.request.Request("http://localhost:8000/enrolments", headers={"Authorization": f"Bearer {sys.argv[1]}"})
try:
    print(urllib.request.urlopen(request, timeout=30).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def _nothing(_: object) -> None:
    """An LMS that waits for nothing."""


@dataclass(frozen=True)
class School:
    """One namespace."""

    workspace: Workspace
    database: Database

    @classmethod
    def open(
        cls,
        cluster: Cluster,
        name: str,
        every: float = 0.5,
        in_flight: int = logins.FEW,
        before: Callable[[School], object] = _nothing,
        **lms: Any,
    ) -> School:
        """A ready LMS, pods that log in all the time, and one that can send requests.

        ``before`` is what has to be done before it can be ready, ``lms`` a patch of its spec.
        """
        release.ensure_namespace(cluster, name)
        workspace = Workspace(cluster, name)
        database = Database(workspace, install_postgres(cluster, name))
        keys = {key: secrets.token_urlsafe(32) for key in ("JWT_SECRET_KEY", "ENCRYPTION_KEY", MAIL_KEY)}
        workspace.secret(builders.LMS_SECRET, **keys, **{ACCEPTED: ""})
        variables = [{"name": key, "secretRef": {"name": builders.LMS_SECRET, "key": key}} for key in (*keys, ACCEPTED)]
        components = [builders.api_component(replicas=2, resources={"requests": {"cpu": "50m"}})]
        wanted = builders.aada_lms(host=database.host, components=components, secrets=variables)
        workspace.apply(merged(wanted, {"spec": lms}))
        school = cls(workspace, database)
        before(school)
        workspace.wait_condition("lms/aada", "Ready", timeout=LONG)
        image = f"{SAMPLE_LMS}:{builders.VERSION}"
        load.install(workspace, image)
        logins.install(workspace, image, SECRET, every, in_flight)
        return school

    def declare(self, **spec: Any) -> None:
        """The SecretRotation, with times that a test can wait for."""
        wanted = {
            "lmsRef": {"name": builders.LMS},
            "type": "DatabasePassword",
            "gracePeriod": "1s",
            "consumers": CONSUMERS,
        } | spec
        self.workspace.apply(builders.custom_resource("SecretRotation", ROTATION, wanted))

    def declare_tokens(self, **spec: Any) -> None:
        """A SecretRotation of the key that signs tokens."""
        wanted = {"lmsRef": {"name": builders.LMS}, "type": "JwtSigningKey", "gracePeriod": "1s"} | spec
        self.workspace.apply(builders.custom_resource("SecretRotation", JWT.removeprefix("rot/"), wanted))

    def ask(self, ref: str = REF) -> None:
        """Ask for a rotation now."""
        moment = to_rfc3339(SystemClock().now())
        self.workspace.kubectl("annotate", ref, "--overwrite", f"lms.aada.edu/rotate-at={moment}")

    def ask_until(self, step: str, ref: str = REF) -> None:
        """Ask for a rotation now, and wait until it is at a step."""
        self.workspace.wait_for(ref, partial(is_at, step), LONG, then=partial(self.ask, ref))

    def rotated(self, revision: int, timeout: float = LONG, ref: str = REF) -> Object:
        """Wait until a revision is in use and proved, and nothing is under way; a roll-back is told at once."""
        found = self.workspace.wait_for(ref, lambda body: _is_at_rest(body, revision), timeout)
        assert (newest(found)["result"], newest(found)["revision"]) == ("Rotated", revision), summary(found)
        return found

    def next_revision(self, ref: str = REF) -> int:
        """The one that a rotation brings now, that of the login unless another is named."""
        return int(self._status(ref).get("revision", 0)) + 1

    def _status(self, ref: str = REF) -> Object:
        status: Object = (self.workspace.get(ref) or {}).get("status") or {}
        return status

    def rotate(self) -> Object:
        """One rotation, asked for and waited for."""
        revision, last = self.next_revision(), self._status().get("lastRotation")
        if last:  # a time of the API has whole seconds: the next one must be later than the last
            while to_rfc3339(SystemClock().now()) <= last:
                time.sleep(0.05)
        self.ask()
        return self.rotated(revision)

    def open_logins(self) -> list[str]:
        """The roles of the application that may log in."""
        query = f"SELECT rolname FROM pg_roles WHERE rolcanlogin AND starts_with(rolname, '{DATABASE}') ORDER BY 1"
        return self.database.sql(query).splitlines()

    def owners(self) -> list[str]:
        """Who owns what is in the database."""
        query = "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE oid >= 16384"
        return self.database.sql(query, DATABASE).splitlines()

    def given(self) -> dict[str, Object]:
        """The fields that belong to who applied the manifests; one whose value somebody changes does so no more."""
        refs = ("lms/aada", REF, f"deployment/{logins.NAME}", f"statefulset/{logins.INDEX}")
        return {ref: self._given(ref) for ref in refs}

    def _given(self, ref: str) -> Object:
        body = json.loads(self.workspace.kubectl("get", ref, "--show-managed-fields", "--output=json"))
        (given,) = (one for one in body["metadata"]["managedFields"] if one["manager"] == FIELD_MANAGER)
        fields: Object = given["fieldsV1"]
        return fields

    def secrets(self) -> list[str]:
        """Names of the Secrets that a rotation keeps while it works."""
        return [one["metadata"]["name"] for one in self.workspace.items("secrets", f"lms.aada.edu/rotation={ROTATION}")]

    def values(self, secret: str) -> dict[str, str]:
        """What a Secret holds now."""
        found = (self.workspace.get(f"secret/{secret}") or {})["data"]
        return {key: base64.b64decode(value).decode() for key, value in found.items()}

    def declare_mail(self, command: list[str], **spec: Any) -> None:
        """A SecretRotation of a key that a command tries."""
        wanted = {
            "lmsRef": {"name": builders.LMS},
            "type": "Generic",
            "secretRef": {"name": builders.LMS_SECRET, "key": MAIL_KEY},
            "generator": {"length": MAIL_LENGTH, "alphabet": "hex"},
            "verify": {"component": "backend", "command": command},
        } | spec
        self.workspace.apply(builders.custom_resource("SecretRotation", MAIL.removeprefix("rot/"), wanted))

    def pods(self) -> set[str]:
        """The uids of all pods that serve or consume."""
        return {pod["metadata"]["uid"] for pod in self.workspace.items("pods")}

    def mail_key(self) -> str:
        """The value that new pods have."""
        return self.values(builders.LMS_SECRET)[MAIL_KEY]

    def token(self) -> str:
        """A token that a pod of the LMS signs now."""
        return self.workspace.kubectl("exec", "deployment/aada-backend", "--", "python3", "-c", MINT).strip()

    def answers(self, token: str) -> set[str]:
        """How the application's pods answer a request with a token: each is asked, past the Service."""
        ask = ["python3", "-c", ASK, token]
        return {self.workspace.kubectl("exec", pod, "--", *ask).strip() for pod in self.backends()}

    def backends(self) -> dict[str, str]:
        """The application's pods that are not on their way out: their names, and the uid of each."""
        found = [pod["metadata"] for pod in self.workspace.items("pods", "lms.aada.edu/component=backend")]
        return {pod["name"]: pod["uid"] for pod in found if "deletionTimestamp" not in pod}

    def use(self) -> Logins:
        """Logins of the further consumers so far."""
        return logins.counted(self.workspace, f"deployment/{logins.NAME}")


def is_at(step: str, rotation: Object) -> bool:
    """Whether a rotation is at a step."""
    return bool((rotation.get("status") or {}).get("step") == step)


def newest(rotation: Object) -> Object:
    """How the last rotation ended, empty when there was none."""
    past: Object = ((rotation.get("status") or {}).get("history") or [{}])[0]
    return past


def _is_at_rest(body: Object, revision: int) -> bool:
    is_idle = (body.get("status") or {}).get("phase") == "Idle"
    return is_idle and int(newest(body).get("revision", 0)) >= revision
