"""A school whose API is scaled: its LMS, its database, and the policy for its pods."""

from __future__ import annotations

import secrets
from typing import Any

from tests.cluster import builders, release, sizes
from tests.cluster.servers import Database
from tests.cluster.sizes import REF
from tests.cluster.workspace import LONG, Object, Workspace
from tests.testbed.cluster import Cluster
from tests.testbed.services import install_postgres
from tests.testbed.versions import SAMPLE_LMS_RELEASES

LIMIT = f"SELECT rolconnlimit FROM pg_roles WHERE rolname = '{builders.DATABASE_NAME}_a'"
PODS_OF_IT = "lms.aada.edu/component=backend"
# They have ended six seconds after they have served on, so that the next one may leave sooner.
PODS: Object = {"terminationGracePeriodSeconds": 16}
ALL_DAY: Object = {
    "days": ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"], "from": "00:00", "to": "23:59", "minReplicas": 2,
}  # fmt: skip


class School:
    """A namespace with an AadaLms of one pod, and a policy for one to three."""

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self.workspace, self.database = workspace, database

    @classmethod
    def open(cls, cluster: Cluster, name: str) -> School:
        """The LMS, ready; no policy yet."""
        release.ensure_namespace(cluster, name)
        workspace = Workspace(cluster, name)
        keys = {key: secrets.token_urlsafe(32) for key in ("JWT_SECRET_KEY", "ENCRYPTION_KEY")}
        workspace.secret(builders.LMS_SECRET, **keys)
        made = cls(workspace, Database(workspace, install_postgres(cluster, name)))
        made.lms()
        workspace.wait_condition("lms/aada", "Ready", timeout=LONG)
        return made

    def declare(self, **spec: Any) -> None:
        """The policy, as small as the pods are: four connections each. What those that begin use is soon forgotten."""
        soon = {"scaleDownStabilization": "15s"}
        sizes.declare(self.workspace, **({"minReplicas": 1, "maxReplicas": 3, "behavior": soon} | spec))

    def lms(self, **patch: Any) -> None:
        """The AadaLms with a change of its component, or of its version."""
        version = patch.pop("version", SAMPLE_LMS_RELEASES[0])
        pods = {"resources": {"requests": {"cpu": "100m"}}, "podTemplate": {"spec": PODS}}
        component = builders.api_component(**pods, **patch)
        self.workspace.apply(builders.aada_lms(host=self.database.host, components=[component], version=version))

    def pods(self) -> set[str]:
        """The pods that are not on their way out."""
        found = self.workspace.items("pods", PODS_OF_IT)
        return {pod["metadata"]["uid"] for pod in found if "deletionTimestamp" not in pod["metadata"]}

    def has(self, pods: int, timeout: float = LONG) -> None:
        """Wait until so many pods are wanted and there."""
        sizes.has(self.workspace, pods, timeout)

    def limit(self) -> int:
        """CONNECTION LIMIT of the application's role."""
        return int(self.database.sql(LIMIT))

    def look_again(self) -> None:
        """Have the AadaLms and the policy look now."""
        for ref in ("lms/aada", REF):
            note = f"lms.aada.edu/reconcile-at={secrets.token_hex(4)}"
            self.workspace.kubectl("annotate", ref, "--overwrite", note)
