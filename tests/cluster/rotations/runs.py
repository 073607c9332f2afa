"""A CronJob that uses the application's Secret: its runs are begun by a test, hold no session, and end when told to."""

from __future__ import annotations

from tests.cluster.rotations import logins
from tests.cluster.workspace import Object, Workspace

NAME = "nightly-export"
CONSUMER = {"kind": "CronJob", "name": NAME}
_LOG_IN = """
import os, psycopg2
where = dict(host=os.environ["DB_HOST"], dbname=os.environ["DB_NAME"], connect_timeout=20)
session = psycopg2.connect(user=os.environ["DB_USER"], password=os.environ["DB_PASSWORD"], **where)
cursor = session.cursor()
cursor.execute("SELECT session_user")
print(*cursor.fetchone())
"""


def install(workspace: Workspace, image: str, secret: str) -> None:
    """The CronJob, which runs by itself once a year."""
    container = {
        "name": NAME,
        "image": image,
        "command": ["sh", "-c", "until [ -e /tmp/end ]; do sleep 0.2; done"],
        "env": logins.environment(secret),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec: Object = {
        "containers": [container],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
    }
    job = {"backoffLimit": 0, "template": {"metadata": {"labels": {"app": NAME}}, "spec": spec}}
    workspace.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": NAME},
            "spec": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": job}},
        }
    )


def begin(workspace: Workspace, name: str) -> Object:
    """A run of it, as of its schedule; returns its pod, which runs."""
    workspace.kubectl("create", "job", name, f"--from=cronjob/{NAME}")
    workspace.kubectl("wait", f"job/{name}", "--for=jsonpath={.status.ready}=1", "--timeout=120s")
    (pod,) = workspace.items("pods", f"batch.kubernetes.io/job-name={name}")
    return pod


def log_in(workspace: Workspace, name: str) -> str:
    """A run opens a session and closes it; returns who the server says it is."""
    return workspace.kubectl("exec", f"job/{name}", "--", "python3", "-c", _LOG_IN).strip()


def end(workspace: Workspace, name: str) -> None:
    """A run has done its work."""
    workspace.kubectl("exec", f"job/{name}", "--", "touch", "/tmp/end")
    workspace.kubectl("wait", f"job/{name}", "--for=condition=Complete", "--timeout=60s")
