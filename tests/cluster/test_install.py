"""Installing the operator: by Helm, by kubectl alone, for all namespaces and for some, upgraded, removed, doubled."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from aada_operator.api.registry import KINDS
from tests.cluster import builders, release
from tests.cluster.release import NAMESPACE, RELEASE, Operator, helm
from tests.cluster.servers import Database
from tests.cluster.workspace import LONG, Object, Workspace, condition, summary
from tests.testbed.catalogue import OPERATOR
from tests.testbed.cluster import Cluster
from tests.testbed.layout import CHECKOUT

CRDS = [f"crd/{kind.resource.plural}.lms.aada.edu" for kind in KINDS]
PLAIN = "deployment,service,serviceaccount,role,rolebinding,clusterrole,clusterrolebinding"
TAKE_OVER = 45.0


@pytest.fixture
def changing(cluster: Cluster, operator: Operator) -> Iterator[Operator]:
    """The operator, which a test may upgrade and remove; afterwards it is again what the other tests expect."""
    yield operator
    release.install(cluster)


def asks_for_database(body: Object) -> bool:
    """The operator has looked at an AadaLms whose admin Secret is missing."""
    return condition(body, "Ready").get("status") == "False"


def sees(workspace: Workspace, name: str) -> None:
    """An operator that acts writes the conditions of a new AadaLms, even of one that cannot be."""
    workspace.apply(builders.aada_lms(name))
    workspace.wait_for(f"lms/{name}", asks_for_database, 60)


def as_operator(operator: Operator, verb: str, resource: str, namespace: str) -> bool:
    """Whether the operator's service account may do this."""
    account = f"--as=system:serviceaccount:{NAMESPACE}:{RELEASE}"
    argv = [str(operator.cluster.kubectl_path), "auth", "can-i", verb, resource, account, f"--namespace={namespace}"]
    answer = subprocess.run(
        argv, env=operator.cluster.environment(), capture_output=True, encoding="utf-8", check=False
    )
    assert answer.stdout.strip() in ("yes", "no"), answer
    return answer.stdout.strip() == "yes"


def test_the_operator_pod_passes_pod_security_restricted(operator: Operator) -> None:
    namespace = operator.get(f"namespace/{NAMESPACE}")
    assert namespace is not None
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert operator.pods()


def test_uninstalling_leaves_the_lms_running_and_installing_again_leaves_it_alone(
    cluster: Cluster,
    changing: Operator,
    lms_namespace: Workspace,
    database: Database,
    lms_secrets: str,
    sample_lms: str,
) -> None:
    lms_namespace.apply(builders.aada_lms(host=database.host))
    lms_namespace.wait_condition("lms/aada", "Ready", timeout=180)
    before = lms_namespace.get("deployment/aada-backend")
    helm(cluster, "uninstall", RELEASE, f"--namespace={NAMESPACE}", "--wait")
    assert changing.pods() == []
    assert cluster.kubectl("get", *CRDS, "--output=name").split()
    assert lms_namespace.get("lms/aada") is not None
    assert running(lms_namespace) == running_pods_of(before)
    release.install(cluster)
    lms_namespace.patch("lms/aada", suspend=False)
    lms_namespace.wait_condition("lms/aada", "Ready", timeout=60)
    after = lms_namespace.get("deployment/aada-backend")
    assert before is not None
    assert after is not None
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


def running(workspace: Workspace) -> int:
    """Ready pods of the API."""
    return running_pods_of(workspace.get("deployment/aada-backend"))


def running_pods_of(deployment: Object | None) -> int:
    assert deployment is not None
    return int(deployment["status"]["readyReplicas"])


def test_upgrading_the_release_upgrades_the_definitions(cluster: Cluster, changing: Operator, tmp_path: Path) -> None:
    old = shutil.copytree(release.CHART, tmp_path / "chart")
    file = old / "files" / "crds" / "restores.yaml"
    definition = yaml.safe_load(file.read_text())
    columns = definition["spec"]["versions"][0]["additionalPrinterColumns"]
    columns.append({"name": "GONE", "type": "string", "jsonPath": ".status.gone"})
    file.write_text(yaml.safe_dump(definition, sort_keys=False))
    release.install(cluster, chart=old)
    assert "GONE" in column_names(cluster)
    release.install(cluster)
    assert "GONE" not in column_names(cluster)


def column_names(cluster: Cluster) -> list[str]:
    path = "{.spec.versions[0].additionalPrinterColumns[*].name}"
    return cluster.kubectl("get", "crd/restores.lms.aada.edu", f"--output=jsonpath={path}").split()


def test_an_operator_for_one_namespace_serves_it_and_has_no_rights_elsewhere(
    cluster: Cluster,
    changing: Operator,
    lms_namespace: Workspace,
    database: Database,
    lms_secrets: str,
    sample_lms: str,
) -> None:
    release.install(cluster, {"watch": {"namespaces": [lms_namespace.namespace]}})
    owned = f"--selector=app.kubernetes.io/instance={RELEASE}"
    assert cluster.kubectl("get", "clusterroles,clusterrolebindings", owned, "--output=name") == ""
    other = Workspace(cluster, "default")
    other.apply(builders.aada_lms("not-served"))
    try:
        lms_namespace.apply(builders.aada_lms(host=database.host))
        lms_namespace.wait_condition("lms/aada", "Ready", timeout=180)
        lms_namespace.kubectl("delete", "deployment/aada-backend")
        lms_namespace.wait_for("deployment/aada-backend", lambda body: bool(body["status"].get("readyReplicas")), 90)
        ignored = other.get("lms/not-served")
        assert ignored is not None
        assert "status" not in ignored, summary(ignored)
    finally:
        other.delete("lms/not-served")
    assert as_operator(changing, "get", "secrets", lms_namespace.namespace)
    assert not as_operator(changing, "get", "secrets", "default")
    assert not as_operator(changing, "get", "secrets", NAMESPACE)


def test_kubectl_alone_installs_it(
    cluster: Cluster, changing: Operator, lms_namespace: Workspace, tmp_path: Path
) -> None:
    helm(cluster, "uninstall", RELEASE, f"--namespace={NAMESPACE}", "--wait")
    manifests = shutil.copytree(CHECKOUT / "manifests", tmp_path / "manifests")
    repository, _, tag = OPERATOR.rpartition(":")
    file = manifests / "kustomization.yaml"
    named = file.read_text().replace("newName: aada-operator", f"newName: {repository}")
    file.write_text(named.replace("newTag: 0.1.0", f"newTag: {tag}"))
    try:
        cluster.kubectl("apply", "-k", str(manifests))
        changing.rolled_out()
        sees(lms_namespace, "plain")
        (pod,) = changing.pods()
        (container,) = pod["spec"]["containers"]
        assert {"name": "AADA_WORKER_IMAGE", "value": container["image"]} in container["env"]
    finally:
        changing.kubectl("delete", PLAIN, "--selector=app.kubernetes.io/managed-by=kustomize", "--wait")


def test_helm_takes_over_what_kubectl_installed(cluster: Cluster, changing: Operator) -> None:
    helm(cluster, "uninstall", RELEASE, f"--namespace={NAMESPACE}", "--wait")
    marks = ("meta.helm.sh/release-name-", "meta.helm.sh/release-namespace-")
    cluster.kubectl("annotate", *CRDS, *marks)
    cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={CHECKOUT}/crds/")
    release.install(cluster)
    assert changing.pods()


def test_of_two_pods_one_leads_and_the_other_takes_over_when_it_hangs(
    cluster: Cluster, changing: Operator, lms_namespace: Workspace
) -> None:
    release.install(cluster, {"replicas": 2})
    pods = {pod["metadata"]["name"] for pod in changing.pods()}
    assert len(pods) == 2
    first = changing.leader()
    assert {pod for pod in pods if leads(changing, pod)} == {first}
    sees(lms_namespace, "before")

    changing.signal(first, signal.SIGSTOP)
    frozen = time.monotonic()
    second = changing.leader(but_not=first)
    print(f"{second} leads {time.monotonic() - frozen:.1f} s after the leader was frozen")
    sees(lms_namespace, "after")
    changing.signal(first, signal.SIGCONT)
    changing.wait_for(f"pod/{first}", lambda pod: restarts(pod) > 0, LONG)
    changing.rolled_out()
    assert {pod for pod in pods if leads(changing, pod)} == {second}


def test_a_leader_that_ends_in_order_hands_over_at_once(cluster: Cluster, changing: Operator) -> None:
    release.install(cluster, {"replicas": 2})
    first = changing.leader()
    lease = changing.watch("lease/aada-operator", TAKE_OVER)
    next(lease)
    changing.kubectl("delete", f"pod/{first}", "--wait=false")
    # A Lease that nobody holds is free; one that was not given back is waited for, 15 s from its last renewal.
    assert any(not event["object"]["spec"].get("holderIdentity") for event in lease)
    changing.leader(but_not=first)


def test_an_operator_that_was_killed_leads_again(operator: Operator, lms_namespace: Workspace) -> None:
    (pod,) = operator.pods()
    operator.kill()
    operator.wait_for(f"pod/{pod['metadata']['name']}", lambda body: restarts(body) > restarts(pod))
    sees(lms_namespace, "after-the-kill")


def restarts(pod: Object) -> int:
    """How often the container was started again and is ready."""
    (container,) = pod["status"]["containerStatuses"]
    return int(container["restartCount"]) if container["ready"] else 0


def leads(operator: Operator, pod: str) -> bool:
    return "aada_operator_leader 1.0" in operator.metrics(pod)
