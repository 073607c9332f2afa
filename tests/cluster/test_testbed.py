"""The running test bed: what other tests rely on."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import urllib.request
from pathlib import Path

import psycopg
import pytest

from tests.cluster.testbed_pods import pod, run_pod, web_server
from tests.testbed import cgroups, fixtures, loading
from tests.testbed.cluster import Cluster
from tests.testbed.local import LocalCluster
from tests.testbed.node_init import KUBELET_TUNABLES
from tests.testbed.services import install_postgres, install_s3, make_bucket
from tests.testbed.shell import wait_until
from tests.testbed.versions import KUBERNETES, POSTGRES

namespace = fixtures.namespace

# A range for documentation (RFC 5737): no machine has such an address.
OUTSIDE = "192.0.2.1"


@pytest.fixture
def local(cluster: Cluster) -> LocalCluster:
    if not isinstance(cluster, LocalCluster):
        pytest.skip("this is about the local provider")
    return cluster


def test_every_part_has_the_pinned_version(cluster: Cluster) -> None:
    versions = json.loads(cluster.kubectl("version", "--output=json"))
    assert versions["serverVersion"]["gitVersion"] == f"v{KUBERNETES}"
    kubelet = cluster.kubectl("get", "nodes", "--output=jsonpath={.items[*].status.nodeInfo.kubeletVersion}")
    assert kubelet == f"v{KUBERNETES}"


def test_a_pod_reaches_a_service_by_every_form_of_its_name(cluster: Cluster, namespace: str) -> None:
    web_server(cluster, namespace)
    script = (
        "import urllib.request as u, sys\n"
        "def reach(name):\n"
        "    for _ in range(50):\n"
        "        try: return u.urlopen(f'http://{name}/hostname', timeout=5).status\n"
        "        except OSError as e: last = e; __import__('time').sleep(0.1)\n"
        "    raise last\n"
        f"print([reach(n) for n in ('web', 'web.{namespace}', 'web.{namespace}.svc.cluster.local')])"
    )
    assert run_pod(cluster, namespace, "client", "python3", "-c", script) == "[200, 200, 200]\n"


def test_nothing_outside_has_a_name_or_a_route_and_a_try_ends_at_once(local: LocalCluster, namespace: str) -> None:
    script = (
        "import socket, time\n"
        "start = time.monotonic()\n"
        "for action in (lambda: socket.getaddrinfo('pypi.org', 443),\n"
        f"               lambda: socket.create_connection(('{OUTSIDE}', 80), timeout=30)):\n"
        "    try: action(); print('reached')\n"
        "    except OSError as error: print(error.errno)\n"
        "print(time.monotonic() - start < 5)"
    )
    name_unknown, network_unreachable = -2, 101
    printed = run_pod(local, namespace, "explorer", "python3", "-c", script).split()
    assert printed == [str(name_unknown), str(network_unreachable), "True"]


def test_the_node_has_no_link_but_its_own(local: LocalCluster) -> None:
    links = json.loads(subprocess.check_output([*local.namespace.enter("ip", "-json", "link")]))
    physical = [link["ifname"] for link in links if not re.fullmatch(r"lo|node0|cni0|veth\w+", link["ifname"])]
    tunnels = {"tunl0", "sit0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0"}
    assert set(physical) <= tunnels, "the kernel adds these, down and with no peer, to every network namespace"
    assert not [link for link in links if link["ifname"] in tunnels and "UP" in link["flags"]]


def test_the_kernel_settings_that_the_kubelet_writes_are_the_nodes_own(local: LocalCluster) -> None:
    mounts = subprocess.check_output(list(local.namespace.enter("cat", "/proc/mounts")), text=True)
    covered = {line.split()[1] for line in mounts.splitlines()}
    assert {f"/proc/sys/{setting}" for setting in KUBELET_TUNABLES} <= covered


def test_the_components_share_processors_with_the_pods_as_one_of_two(local: LocalCluster) -> None:
    (group,) = [tree for tree in cgroups.existing(local.layout.cgroup) if (tree / cgroups.SYSTEM).is_dir()]
    members = (group / cgroups.SYSTEM / "cgroup.procs").read_text().split()
    named = {Path(f"/proc/{member}/comm").read_text().strip() for member in members if _lives(member)}
    assert {"etcd", "kube-apiserver", "kubelet", "containerd"} <= named
    assert (group / "kubepods").is_dir()
    assert not (group / "cgroup.procs").read_text(), "beside the two there is nothing"


def _lives(process: str) -> bool:
    return Path(f"/proc/{process}/comm").exists()


def test_a_claim_of_the_default_class_can_be_written_by_a_non_root_pod(cluster: Cluster, namespace: str) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": "data"}
    cluster.apply(
        json.dumps({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim}),
        namespace,
    )
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    with_group = {"volumes": volumes, "securityContext": {"fsGroup": 20002}}
    script = "echo kept > /data/file && stat --format='%u %g' /data/file"
    assert run_pod(cluster, namespace, "writer", "sh", "-c", script, **with_group) == "10001 20002\n"
    assert run_pod(cluster, namespace, "reader", "cat", "/data/file", **with_group) == "kept\n"


def test_a_deleted_claim_frees_its_disk(local: LocalCluster, namespace: str) -> None:
    test_a_claim_of_the_default_class_can_be_written_by_a_non_root_pod(local, namespace)

    def folders() -> list[Path]:
        return list((local.layout.state / "volumes").glob(f"*_{namespace}_data"))

    assert folders()
    local.kubectl("delete", "pod,pvc", "--all", f"--namespace={namespace}")
    wait_until(lambda: not folders(), "the volume's folder to be removed", 60)


def test_a_restricted_namespace_refuses_a_pod_that_is_root(cluster: Cluster, namespace: str) -> None:
    manifest = pod("root").replace('"runAsNonRoot": true', '"runAsNonRoot": false').replace("10001", "0")
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        cluster.kubectl("apply", f"--namespace={namespace}", "-f", "-", input=manifest, stderr=subprocess.PIPE)
    assert "violates PodSecurity" in refusal.value.stderr


def test_the_audit_log_tells_who_did_what_once(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "configmap", "written-once", f"--namespace={namespace}")

    def entries() -> list[dict[str, object]]:
        lines = cluster.audit_log.read_text().splitlines()
        found = [json.loads(line) for line in lines if "written-once" in line and line.endswith("}")]
        return [entry for entry in found if entry["objectRef"].get("namespace") == namespace]

    wait_until(lambda: bool(entries()), "the entry in the audit log", 10)
    (entry,) = [entry for entry in entries() if entry["verb"] == "create"]
    assert entry["stage"] == "ResponseComplete"
    assert entry["level"] == "Metadata"
    assert "requestObject" not in entry


def test_a_forwarded_port_leads_to_a_service(cluster: Cluster, namespace: str) -> None:
    web_server(cluster, namespace)
    with (
        cluster.port_forward("service/web", 80, f"--namespace={namespace}") as port,
        urllib.request.urlopen(f"http://127.0.0.1:{port}/hostname", timeout=10) as answer,
    ):
        assert answer.status == 200


def test_a_restarted_api_server_is_another_process_with_the_same_objects(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "configmap", "survivor", f"--namespace={namespace}")
    metric = ("get", "--raw", "/metrics")

    def started() -> str:
        return next(line for line in cluster.kubectl(*metric).splitlines() if line.startswith("process_start_time"))

    before = started()
    cluster.restart_apiserver()
    assert started() != before
    assert "survivor" in cluster.kubectl("get", "configmap", "survivor", f"--namespace={namespace}")


def test_a_container_that_many_tests_kill_is_started_again_soon(local: LocalCluster) -> None:
    node = local.kubectl("get", "nodes", "--output=jsonpath={.items[0].metadata.name}")
    found = json.loads(local.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/configz"))
    assert found["kubeletconfig"]["crashLoopBackOff"] == {"maxContainerRestartPeriod": "10s"}


def test_a_rebuilt_image_is_what_the_next_pod_runs(local: LocalCluster, namespace: str, tmp_path: Path) -> None:
    tag = "localhost/aada/rebuilt:dev"
    (tmp_path / "Dockerfile").write_text('ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY text /text\nCMD ["cat", "/text"]\n')

    def build(text: str) -> bool:
        (tmp_path / "text").write_text(text)
        local.build_image(tmp_path / "Dockerfile", tmp_path, tag)
        return loading.load(local.layout, local.namespace, tag)

    assert build("one\n")
    assert run_pod(local, namespace, "first", image=tag) == "one\n"
    assert not build("one\n"), "an unchanged image was imported again"
    assert build("two\n")
    assert run_pod(local, namespace, "second", image=tag) == "two\n"


def test_pip_settings_and_the_ca_bundle_stay_out_of_the_image(
    local: LocalCluster, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://canary.example.org/simple")
    tag = "localhost/aada/settings:dev"
    never_cached = f"RUN grep -q canary /etc/pip.conf # {secrets.token_hex(8)}"
    (tmp_path / "Dockerfile").write_text(f"ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\n{never_cached}\n")
    local.build_image(tmp_path / "Dockerfile", tmp_path, tag)
    local.load_image(tag)
    assert run_pod(local, namespace, "look", "cat", "/etc/pip.conf", image=tag) == ""


def test_the_servers_for_tests_work_in_a_restricted_namespace(cluster: Cluster, namespace: str) -> None:
    server = install_postgres(cluster, namespace)
    assert install_postgres(cluster, namespace) == server, "a second install changed the password"
    bucket_server = install_s3(cluster, namespace)
    make_bucket(cluster, bucket_server, "backups", versioning=True)
    make_bucket(cluster, bucket_server, "backups", versioning=True)
    with cluster.port_forward("service/postgres", server.port, f"--namespace={namespace}") as port:
        login = f"host=127.0.0.1 port={port} user={server.credentials['username']} connect_timeout=10"
        with psycopg.connect(login, password=server.credentials["password"]) as connection:
            assert connection.info.server_version // 10000 == int(POSTGRES)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(login, password="wrong")
