"""Specs that must be accepted or refused: one table for the models and for the API server's schemas and rules.

``by`` says who refuses: ``both``, or only the ``operator`` at its first visit, for what a schema cannot say.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal

from aada_operator.core.overlay import merged
from tests.unit.api.rotation_cases import MEGABYTE, ROTATIONS
from tests.unit.api.scaling_cases import SCALINGS

Spec = dict[str, Any]
RECIPIENT = "age1" + "q" * 58

BACKEND: Spec = {"name": "backend", "role": "api", "image": "registry.example/lms"}
LMS: Spec = {
    "components": [BACKEND],
    "database": {"host": "db.example.edu", "adminSecretRef": {"name": "db-admin"}},
}
WINDOW: dict[str, Any] = {"schedule": "0 3 * * SUN", "duration": "2h"}
POOLER: dict[str, Any] = {"host": "pgbouncer", "adminSecretRef": {"name": "pooler-admin"}}
RDS: dict[str, Any] = {
    "identifier": "aada-read", "sourceIdentifier": "aada", "instanceClass": "db.t4g.medium",
    "credentialsSecretRef": {"name": "aws"},
}  # fmt: skip
SERVER: dict[str, Any] = {"host": "db.example.edu", "adminSecretRef": {"name": "admin"}}
STORED: dict[str, Any] = {"s3": {"bucket": "backups", "credentialsSecretRef": {"name": "s3"}}, "lms": "aada"}
POLICY: Spec = {
    "lmsRef": {"name": "aada"},
    "storage": [{"name": "primary", "s3": {"bucket": "backups", "credentialsSecretRef": {"name": "s3"}}}],
    "encryption": {"mode": "Age", "recipients": [RECIPIENT]},
}
UPLOADS: Spec = {"s3": {"bucket": "files", "credentialsSecretRef": {"name": "s3"}}}
BACKUP: Spec = {"policyRef": {"name": "nightly"}}
RESTORE: Spec = {"source": {"backupName": "monday"}}
ROTATION: Spec = {"lmsRef": {"name": "aada"}, "type": "DatabasePassword"}
SCALING: Spec = {"target": {"lmsRef": {"name": "aada"}, "component": "backend"}}
MINIMAL = {
    "AadaLms": LMS,
    "BackupPolicy": POLICY,
    "Backup": BACKUP,
    "Restore": RESTORE,
    "SecretRotation": ROTATION,
    "ScalingPolicy": SCALING,
}


@dataclass(frozen=True)
class Case:
    """One spec: ``words`` say what is special about it."""

    kind: str
    words: str
    spec: Spec
    accepted: bool
    by: Literal["both", "operator"] = "both"

    @property
    def accepted_by_server(self) -> bool:
        return self.accepted or self.by == "operator"

    def __str__(self) -> str:
        return f"{self.kind}: {self.words}"


def lms(words: str, accepted: bool, by: Literal["both", "operator"] = "both", **patch: Any) -> Case:
    return Case("AadaLms", words, merged(LMS, patch), accepted, by)


def component(words: str, accepted: bool, by: Literal["both", "operator"] = "both", **patch: Any) -> Case:
    return lms(words, accepted, by, components=[BACKEND | patch])


def database(words: str, accepted: bool, by: Literal["both", "operator"] = "both", **patch: Any) -> Case:
    return lms(words, accepted, by, database=patch)


def window(words: str, accepted: bool, by: Literal["both", "operator"] = "both", **patch: Any) -> Case:
    return lms(words, accepted, by, maintenanceWindows=[WINDOW | patch])


def policy(words: str, accepted: bool, by: Literal["both", "operator"] = "both", **patch: Any) -> Case:
    return Case("BackupPolicy", words, merged(POLICY, patch), accepted, by)


def s3(words: str, accepted: bool, **patch: Any) -> Case:
    place = copy.deepcopy(POLICY["storage"][0])
    return policy(words, accepted, storage=[place | {"s3": place["s3"] | patch}])


def place(words: str, accepted: bool, name: str, **patch: Any) -> Case:
    """A second place that differs from the first in this."""
    first: Spec = POLICY["storage"][0]
    second = {"name": name, "s3": first["s3"] | patch}
    return Case("BackupPolicy", words, POLICY | {"storage": [first, second]}, accepted)


def restore(words: str, accepted: bool, spec: Spec) -> Case:
    return Case("Restore", words, spec, accepted)


def without(kind: str, *path: str) -> Case:
    """The minimal spec without one of its fields."""
    spec: Spec = copy.deepcopy(MINIMAL[kind])
    inner = spec
    for part in path[:-1]:
        inner = inner[part]
    del inner[path[-1]]
    return Case(kind, f"without {'.'.join(path)}", spec, accepted=False)


CASES: tuple[Case, ...] = (
    *(Case(kind, "the minimal spec", spec, accepted=True) for kind, spec in MINIMAL.items()),
    *(Case(kind, "an unknown field", spec | {"surprise": 1}, accepted=False) for kind, spec in MINIMAL.items()),
    *(Case(kind, "nothing", {}, accepted=False) for kind in MINIMAL),
    # AadaLms
    without("AadaLms", "components"),
    without("AadaLms", "database", "host"),
    without("AadaLms", "database", "adminSecretRef"),
    Case("AadaLms", "no component", LMS | {"components": []}, accepted=False),
    lms("a web component only", False, components=[BACKEND | {"role": "web"}]),
    lms("an api and a web component", True, components=[BACKEND, BACKEND | {"name": "learn", "role": "web"}]),
    Case("AadaLms", "two of one name", LMS | {"components": [BACKEND, BACKEND]}, accepted=False),
    lms("eleven components", False, components=[BACKEND] + [BACKEND | {"name": f"web-{n}"} for n in range(10)]),
    component("no replicas", True, replicas=0),
    component("a hundred replicas", True, replicas=100),
    component("-1 replicas", False, replicas=-1),
    component("a million replicas", False, replicas=1_000_000),
    component("replicas in words", False, replicas="two"),
    component("one and a half replicas", False, replicas=1.5),
    component("port 0", False, port=0),
    component("port 65536", False, port=65536),
    component("a name with capitals", False, name="Backend"),
    component("a name that is too long", False, name="b" * 21),
    component("no image", False, image=""),
    component("an image of a megabyte", False, image=MEGABYTE),
    component("a role that is none", False, role="database"),
    component("a variable", True, env=[{"name": "LOG_LEVEL", "value": "info"}]),
    component("a variable from a Secret", True, env=[
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}},
    ]),
    component("a variable whose name is no name", False, env=[{"name": "LOG LEVEL", "value": "info"}]),
    component("a value of a megabyte", False, env=[{"name": "LOG_LEVEL", "value": MEGABYTE}]),
    component("a relative probe", False, probes={"readiness": {"http": {"path": "health"}}}),
    component("anything in the pod template", True, podTemplate={"spec": {"tolerations": [{"operator": "Exists"}]}}),
    component("no connections", False, connections={"workers": 0}),
    lms("a version", True, version="v1.3.0"),
    lms("a version with a slash", False, version="v1/3"),
    lms("suspended", True, suspend=True),
    lms("suspended in words", False, suspend="yes, please"),
    lms("a schema revision", True, schema={"revision": "0002_submissions"}),
    lms("a schema revision that is an option", False, schema={"revision": "--sql"}),
    lms("no migration command", False, schema={"command": []}),
    lms("a duration without a unit", False, schema={"timeout": "15"}),
    lms("a duration with two units", False, schema={"timeout": "1h30m"}),
    lms("uploads at a relative path", False, storage={"uploads": {"claimName": "u", "mountPath": "app"}}),
    window("a window every Sunday", True, timeZone="Europe/Berlin"),
    window("a time in which nothing may begin", True, kind="Deny", schedule="0 0 1 6 *", duration="14d"),
    window("a window of another kind", False, kind="Maybe"),
    window("a window of nothing", False, duration="0h"),
    window("a window of years", False, duration="1000d"),
    window("a window in words", False, duration="two hours"),
    window("a window at a minute 61", False, "operator", schedule="61 3 * * *"),
    window("a window in a zone that is none", False, "operator", timeZone="Europe/Atlantis"),
    lms("a window without an end", False, maintenanceWindows=[{"schedule": "0 3 * * SUN"}]),
    lms("a window that never opens", False, maintenanceWindows=[{"duration": "2h"}]),
    lms("twenty windows", True, maintenanceWindows=[WINDOW] * 20),
    lms("twenty-one windows", False, maintenanceWindows=[WINDOW] * 21),
    database("a host that is an option", False, host="-v"),
    database("a host with a space", False, host="db example"),
    database("an IPv6 address", True, host="fd00::1"),
    database("a pooler", True, pooler=POOLER | {"kind": "PgBouncer", "port": 6433}),
    database("a pooler of another kind", False, pooler=POOLER | {"kind": "Pgpool"}),
    database("a pooler on port 0", False, pooler=POOLER | {"port": 0}),
    database("a pooler whose host is an option", False, pooler=POOLER | {"host": "-v"}),
    database("a pooler without a console", False, pooler={"host": "pgbouncer"}),
    database("a read replica", True, readReplica={"host": "db-ro", "port": 5433, "sslMode": "verify-ca"}),
    database("a read replica in RDS", True, readReplica={"rds": RDS | {"deletionPolicy": "Delete"}}),
    database("a read replica that is nowhere", False, readReplica={}),
    database("a read replica in two places", False, readReplica={"host": "db-ro", "rds": RDS}),
    database("a read replica in RDS of no class", False, readReplica={"rds": RDS | {"instanceClass": "large"}}),
    database("a read replica in RDS that is an option", False, readReplica={"rds": RDS | {"identifier": "-v"}}),
    database("a read replica in RDS of nothing", False, readReplica={"rds": {"identifier": "aada-read"}}),
    database("a read replica whose host is an option", False, readReplica={"host": "-v"}),
    database("a lag in words", False, readReplica={"host": "db-ro", "publishWhenLagBelow": "little"}),
    database("a lag that is not measured", False, "operator",
             readReplica={"host": "db-ro", "publishWhenLagBelow": "500ms"}),
    lms("a component called as the Service of the replica", False, "operator",
        components=[BACKEND | {"name": "db-read"}], database={"readReplica": {"host": "db-ro"}}),
    component("a component called so without a replica", True, name="db-read"),
    database("a database name with a quote", False, name='aada"; --'),
    database("a database name of 64 bytes", False, name="d" * 64),
    database("a database name that is an option", False, name="-d"),
    database("TLS that is not verified enough to be named", False, sslMode="prefer"),
    database("a variable for the url", True, env={"DB": "url"}),
    database("a variable that is no name", False, "operator", env={"NOT A NAME": "url"}),
    database("a url scheme with a slash", False, urlScheme="postgresql://"),
    # BackupPolicy
    without("BackupPolicy", "lmsRef"),
    without("BackupPolicy", "storage"),
    without("BackupPolicy", "encryption"),
    policy("every night", True, full={"schedule": "0 2 * * *"}),
    policy("incremental between full", True, full={"schedule": "0 2 * * *"}, incremental={"schedule": "0 * * * *"}),
    policy("incremental without full", False, incremental={"schedule": "0 * * * *"}),
    policy("retention by age", True, retention={"maxAge": "30d"}),
    policy("retention of everything at once", True, retention={"daily": 7, "weekly": 4, "maxAge": "3d", "minCount": 9}),
    policy("retention that says nothing", False, retention={}),
    policy("retention of a count alone", False, retention={"minCount": 3}),
    policy("retention of no day", False, retention={"daily": 0}),
    policy("retention that nobody approves", False, retention={"daily": 7, "mode": "Approve"}),
    policy("every weekday by name", True, full={"schedule": "0 2 * * MON-FRI"}),
    policy("a cron expression of four fields", False, full={"schedule": "0 2 * *"}),
    policy("a cron expression of six fields", False, full={"schedule": "0 0 2 * * *"}),
    policy("hour 25", False, "operator", full={"schedule": "0 25 * * *"}),
    policy("30 February", False, "operator", full={"schedule": "0 2 30 2 *"}),
    policy("a macro instead of five fields", False, full={"schedule": "@daily"}),
    policy("words instead of a schedule", False, full={"schedule": "every night"}),
    policy("five words instead of five fields", False, "operator", full={"schedule": "at two every night please"}),
    policy("a schedule of a megabyte", False, full={"schedule": MEGABYTE}),
    policy("a time zone", True, timeZone="America/Argentina/Buenos_Aires"),
    policy("a time zone that is none", False, "operator", timeZone="Europe/Atlantis"),
    policy("a time zone that is a path", False, timeZone="../../etc/passwd"),
    Case("BackupPolicy", "encryption without a recipient", POLICY | {"encryption": {"mode": "Age"}}, accepted=False),
    Case("BackupPolicy", "encryption by nobody said", POLICY | {"encryption": {}}, accepted=False),
    Case("BackupPolicy", "no encryption, said so", POLICY | {"encryption": {"mode": "None"}}, accepted=True),
    policy("no encryption for a recipient", False, encryption={"mode": "None"}),
    policy("an SSH key as recipient", False, encryption={"recipients": ["ssh-ed25519 AAAA"]}),
    policy("eleven recipients", False, encryption={"recipients": [RECIPIENT] * 11}),
    place("two names for one bucket", False, name="offsite"),
    s3("a lock", True, objectLock={"mode": "Compliance", "days": 30}),
    s3("a lock of no days", False, objectLock={"mode": "Compliance", "days": 0}),
    s3("a lock without a mode", False, objectLock={"days": 30}),
    s3("a lock in another mode", False, objectLock={"mode": "Strict", "days": 30}),
    place("a second bucket", True, name="offsite", bucket="offsite"),
    place("the same bucket on another server", True, name="offsite", endpoint="https://s3.example.edu"),
    place("another folder of the same bucket", False, name="offsite", prefix="copy"),
    place("a second bucket under the same name", False, name="primary", bucket="offsite"),
    policy("three places", False, storage=[
        {"name": name, "s3": {"bucket": name, "credentialsSecretRef": {"name": "s3"}}} for name in ("one", "two", "six")
    ]),
    policy("a limit to the upload", True, maxRate="100Mi"),
    policy("a limit of nothing", False, maxRate="0Mi"),
    policy("a limit without a unit", False, maxRate="100"),
    policy("a limit in another unit", False, maxRate="100MB/s"),
    Case("BackupPolicy", "no place", POLICY | {"storage": []}, accepted=False),
    s3("an endpoint", True, endpoint="https://s3.example.edu:9000"),
    s3("an endpoint with a path", False, endpoint="https://s3.example.edu/bucket"),
    s3("an endpoint without a scheme", False, endpoint="s3.example.edu"),
    s3("a file as endpoint", False, endpoint="file:///etc/passwd"),
    s3("a prefix", True, prefix="schools/one"),
    s3("a prefix that climbs with slashes", False, prefix="/schools//one/"),
    s3("a bucket with capitals", False, bucket="Backups"),
    s3("a bucket of two letters", False, bucket="ab"),
    s3("a bucket that is an option", False, bucket="--help"),
    policy("compression 19", True, compression={"level": 19}),
    policy("compression 20", False, compression={"level": 20}),
    policy("history of none", False, historyLimit={"successful": 0}),
    policy("failed ones forgotten at once", True, historyLimit={"failed": 0}),
    policy("a scratch size in megabytes that are none", False, job={"scratchSize": "10GB"}),
    policy("objectives", True, objectives={"rpo": "1d", "rto": "90m"}),
    policy("an objective of forever", False, objectives={"rpo": "forever"}),
    policy("a method that is not there yet", False, method="streaming"),
    policy("users' files", True, uploads=UPLOADS),
    policy("users' files that are looked for", True,
           uploads=UPLOADS | {"interval": "15m", "check": {"sql": "SELECT path FROM documents", "sample": 10}}),
    policy("users' files without a bucket", False, uploads={"interval": "5m"}),
    policy("users' files every now and then", False, uploads=UPLOADS | {"interval": "often"}),
    policy("users' files that nobody names", False, uploads=UPLOADS | {"check": {"sql": ""}}),
    policy("a sample of none", False, uploads=UPLOADS | {"check": {"sql": "SELECT path FROM documents", "sample": 0}}),
    # Backup
    Case("Backup", "a policy that is no name", {"policyRef": {"name": "Nightly!"}}, accepted=False),
    Case("Backup", "every type", BACKUP | {"type": "Incremental"}, accepted=True),
    Case("Backup", "a type that is none", BACKUP | {"type": "Differential"}, accepted=False),
    Case("Backup", "an import", {"type": "Imported", "importFrom": STORED | {"backup": "monday"}}, accepted=True),
    Case("Backup", "an import from nowhere", {"type": "Imported"}, accepted=False),
    Case("Backup", "an import of no backup", {"type": "Imported", "importFrom": STORED}, accepted=False),
    Case("Backup", "an import for a policy", BACKUP | {"type": "Imported", "importFrom": STORED | {"backup": "monday"}},
         accepted=False),
    Case("Backup", "a full backup from elsewhere", BACKUP | {"importFrom": STORED | {"backup": "monday"}},
         accepted=False),
    # Restore
    restore("the latest of a policy", True, {"source": {"policyRef": {"name": "nightly"}, "latest": True}}),
    restore("no source", False, {"source": {}}),
    restore("a policy without latest", False, {"source": {"policyRef": {"name": "nightly"}}}),
    restore("latest of nothing", False, {"source": {"latest": True}}),
    restore("latest: false", False, {"source": {"policyRef": {"name": "nightly"}, "latest": False}}),
    restore("both sources", False, {
        "source": {"backupName": "monday", "policyRef": {"name": "nightly"}, "latest": True},
    }),
    restore("a name and latest", False, {"source": {"backupName": "monday", "latest": True}}),
    restore("a name and latest: false", False, {"source": {"backupName": "monday", "latest": False}}),
    restore("a database", True, RESTORE | {"target": {"database": "exam_review"}}),
    restore("a database with a quote", False, RESTORE | {"target": {"database": 'a"b'}}),
    restore("a cutover", True, RESTORE | {"target": {"mode": "Cutover"}}),
    restore("a cutover with all that belongs to it", True,
            RESTORE | {"target": {"mode": "Cutover"}, "safetyBackup": False, "keepOldFor": "30d", "mode": "Auto"}),
    restore("a cutover that names a database", False, RESTORE | {"target": {"mode": "Cutover", "database": "aada"}}),
    restore("a cutover's fields without one", False, RESTORE | {"keepOldFor": "30d"}),
    restore("some tables", True, RESTORE | {"tables": ["grades", "public.grades", "Schöne Schule.Kürs -- %s"]}),
    restore("a table without a name", False, RESTORE | {"tables": [""]}),
    restore("a table with a name of a megabyte", False, RESTORE | {"tables": [MEGABYTE]}),
    restore("a hundred and one tables", False, RESTORE | {"tables": [f"t{n}" for n in range(101)]}),
    restore("a cutover of some tables", False, RESTORE | {"target": {"mode": "Cutover"}, "tables": ["grades"]}),
    restore("a cutover of no tables but all", True, RESTORE | {"target": {"mode": "Cutover"}, "tables": []}),
    restore("checks", True, RESTORE | {"checks": [{"name": "users", "sql": "SELECT count(*) FROM users", "min": 1}]}),
    restore("checks of a cutover", True,
            RESTORE | {"target": {"mode": "Cutover"}, "checks": [{"name": "any", "sql": "SELECT 1"}]}),
    restore("a check that asks nothing", False, RESTORE | {"checks": [{"name": "users"}]}),
    restore("a safety backup of what is not replaced", False, RESTORE | {"safetyBackup": True}),
    restore("a new server", True, RESTORE | {"target": {"mode": "NewServer", "server": SERVER}}),
    restore("a new server that nobody names", False, RESTORE | {"target": {"mode": "NewServer"}}),
    restore("a server for a database beside the live one", False, RESTORE | {"target": {"server": SERVER}}),
    restore("a server for a cutover", False, RESTORE | {"target": {"mode": "Cutover", "server": SERVER}}),
    restore("a new server and another database", False,
            RESTORE | {"target": {"mode": "NewServer", "server": SERVER, "database": "aada"}}),
    restore("a new server without an admin", False,
            RESTORE | {"target": {"mode": "NewServer", "server": {"host": "h"}}}),
    restore("a safety backup on a new server", False,
            RESTORE | {"target": {"mode": "NewServer", "server": SERVER}, "safetyBackup": True}),
    restore("the newest backup in a bucket", True, {"source": {"storage": STORED | {"latest": True}}}),
    restore("a named backup in a bucket", True, {"source": {"storage": STORED | {"backup": "monday"}}}),
    restore("no backup in a bucket", False, {"source": {"storage": STORED}}),
    restore("latest: false in a bucket", False, {"source": {"storage": STORED | {"latest": False}}}),
    restore("a name and latest in a bucket", False,
            {"source": {"storage": STORED | {"latest": True, "backup": "monday"}}}),
    restore("a bucket and a Backup", False,
            {"source": {"storage": STORED | {"latest": True}, "backupName": "monday"}}),
    restore("a bucket and a policy", False,
            {"source": {"storage": STORED | {"latest": True}, "policyRef": {"name": "nightly"}, "latest": True}}),
    restore("a bucket and a copy", False, {"source": {"storage": STORED | {"latest": True}, "copy": "offsite"}}),
    restore("a cutover from a bucket", False,
            {"source": {"storage": STORED | {"latest": True}}, "target": {"mode": "Cutover"}}),
    restore("users' files", True, RESTORE | {"uploads": {"claimName": "files", "overwrite": True}}),
    restore("users' files into no claim", False, RESTORE | {"uploads": {"overwrite": True}}),
    restore("users' files into a claim that is no name", False, RESTORE | {"uploads": {"claimName": "My Files"}}),
    restore("every mode", True, RESTORE | {"mode": "Approve"}),
    restore("a mode that is none", False, RESTORE | {"mode": "Later"}),
    restore("a timeout", True, RESTORE | {"timeout": "90m"}),
    restore("a timeout of a megabyte", False, RESTORE | {"timeout": MEGABYTE}),
    # SecretRotation
    without("SecretRotation", "lmsRef"),
    without("SecretRotation", "type"),
    *(Case("SecretRotation", words, ROTATION | patch, accepted, by) for words, accepted, by, patch in ROTATIONS),
    # ScalingPolicy
    without("ScalingPolicy", "target"),
    *(Case("ScalingPolicy", words, SCALING | patch, accepted, by) for words, accepted, by, patch in SCALINGS),
)  # fmt: skip
