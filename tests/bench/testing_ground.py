"""A cluster of its own for the measurements: the CRDs, and one user per operator so that requests can be told apart."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from aada_operator.api.registry import KINDS, crd
from tests.testbed.cluster import Cluster
from tests.testbed.layout import cluster_name
from tests.testbed.provider import open_cluster

NAMESPACE = "bench"
GENERATOR = "load-generator"
LONGEST_NAME = 40
TOKEN_LIFETIME = "3h"


@dataclass(frozen=True)
class Ground:
    """The cluster, and the folder with a kubeconfig of each user."""

    cluster: Cluster
    folder: Path

    def kubeconfig(self, user: str) -> Path:
        return self.folder / f"{user}.kubeconfig"

    @staticmethod
    def audit_name(user: str) -> str:
        """The user as the audit log names it."""
        return f"system:serviceaccount:{NAMESPACE}:{user}"


@contextmanager
def ground(operators: Sequence[str], folder: Path) -> Iterator[Ground]:
    """Bring up a cluster in which nothing else runs; it is removed at the end unless it was up before.

    An operator inside the cluster would do the work that is measured, and other pods would take the machine's time.
    """
    os.environ["AADA_CLUSTER"] = own_name(cluster_name())
    cluster = open_cluster()
    was_up = cluster.is_up()
    users = [*operators, GENERATOR]
    try:
        cluster.create()
        cluster.apply(yaml.safe_dump_all([*map(crd, KINDS), *_accounts(users)]))
        cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        place = Ground(cluster, folder)
        for user in users:
            _write_kubeconfig(place, user)
        yield place
    finally:
        if not was_up:
            cluster.delete()


def own_name(name: str) -> str:
    """The name of the cluster for measurements beside the cluster `name`."""
    suffix = "-bench"
    return name if name.endswith(suffix) else name[: LONGEST_NAME - len(suffix)].rstrip("-") + suffix


def _accounts(users: Sequence[str]) -> list[dict[str, Any]]:
    """Service accounts that may do everything: what is measured is not their permissions."""
    places = [{"name": user, "namespace": NAMESPACE} for user in users]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        *({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place} for place in places),
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAMESPACE},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount"} | place for place in places],
        },
    ]


def _write_kubeconfig(place: Ground, user: str) -> None:
    """The cluster's kubeconfig with the token of a service account in place of the administrator's certificate."""
    token = place.cluster.kubectl("create", "token", user, f"--namespace={NAMESPACE}", f"--duration={TOKEN_LIFETIME}")
    document = yaml.safe_load(place.cluster.kubeconfig_path.read_text())
    document["users"] = [{"name": entry["name"], "user": {"token": token.strip()}} for entry in document["users"]]
    path = place.kubeconfig(user)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))
