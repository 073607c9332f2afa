"""Custom resources for tests: valid with their defaults, changed by a patch that is merged into the spec.

>>> builders.backup_policy(historyLimit={"successful": 2})
"""

from __future__ import annotations

from typing import Any

from aada_operator.api.common import API_VERSION
from aada_operator.core.overlay import merged
from tests.testbed.catalogue import SAMPLE_LMS
from tests.testbed.services import DATABASE_SECRET, S3_SECRET
from tests.testbed.versions import SAMPLE_LMS_RELEASES

Object = dict[str, Any]

LMS = "aada"
POLICY = "nightly"
VERSION = SAMPLE_LMS_RELEASES[0]
DATABASE_NAME = "aada_lms"
LMS_SECRET = "lms-keys"
BUCKET = "backups"
IDENTITY_SECRET = "backup-identity"
IDENTITY_KEY = "identity"


def custom_resource(kind: str, name: str, spec: Object) -> Object:
    """An object of our group."""
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def aada_lms(name: str = LMS, *, host: str = "postgres", database: str = DATABASE_NAME, **patch: Any) -> Object:
    """The sample LMS with one small API pod; ``host`` is the PostgreSQL server without TLS."""
    spec = {
        "version": VERSION,
        "components": [api_component()],
        "database": {
            "host": host,
            "name": database,
            "sslMode": "disable",
            "adminSecretRef": {"name": DATABASE_SECRET},
        },
        "secrets": [
            {"name": key, "secretRef": {"name": LMS_SECRET, "key": key}} for key in ("JWT_SECRET_KEY", "ENCRYPTION_KEY")
        ],
    }
    return custom_resource("AadaLms", name, merged(spec, patch))


def api_component(**patch: Any) -> Object:
    """The sample LMS' API with its smallest profile; the image's own command would migrate."""
    component = {
        "name": "backend",
        "role": "api",
        "image": SAMPLE_LMS,
        "command": ["gunicorn"],
        "replicas": 1,
        "port": 8000,
        "env": [{"name": "SAMPLE_LMS_PROFILE", "value": "small"}],
        "probes": {"readiness": {"http": {"path": "/health"}}},
        "connections": {"workers": 1, "poolSize": 2, "maxOverflow": 2},
    }
    result: Object = merged(component, patch)
    return result


def portal_component(portal: str = "learn", **patch: Any) -> Object:
    """One of the sample LMS' portals: a page that needs no database."""
    component = {
        "name": portal,
        "role": "web",
        "image": SAMPLE_LMS,
        "command": ["python", "-m", "sample_lms.web", portal],
        "replicas": 1,
        "port": 8080,
    }
    result: Object = merged(component, patch)
    return result


def backup_policy(
    name: str = POLICY,
    *,
    endpoint: str = "http://s3:7070",
    bucket: str = BUCKET,
    recipients: list[str] | None = None,
    **patch: Any,
) -> Object:
    """A policy without a schedule that takes no first backup by itself; encrypted when recipients are given."""
    identity = {"verificationIdentitySecretRef": {"name": IDENTITY_SECRET, "key": IDENTITY_KEY}}
    spec = {
        "lmsRef": {"name": LMS},
        "immediate": False,
        "storage": [{"name": "primary", "s3": {
            "bucket": bucket, "endpoint": endpoint, "credentialsSecretRef": {"name": S3_SECRET},
        }}],
        "encryption": {"mode": "Age", "recipients": recipients} | identity if recipients else {"mode": "None"},
        "job": {"scratchSize": "2Gi"},
    }  # fmt: skip
    return custom_resource("BackupPolicy", name, merged(spec, patch))


def backup(name: str = "by-hand", *, policy: str = POLICY, **patch: Any) -> Object:
    """A backup now."""
    return custom_resource("Backup", name, merged({"policyRef": {"name": policy}}, patch))


def claim(name: str) -> Object:
    """A claim for users' files, of the class that the cluster has by itself."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def restore(name: str = "rehearsal", *, backup: str = "", policy: str = POLICY, **patch: Any) -> Object:
    """A restore of a named backup, else of the policy's latest, into a new database."""
    source = {"backupName": backup} if backup else {"policyRef": {"name": policy}, "latest": True}
    return custom_resource("Restore", name, merged({"source": source}, patch))
