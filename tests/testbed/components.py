"""The processes of the node and how each is started, in the order in which they need each other."""

from __future__ import annotations

import http.client
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.layout import NODE, Layout
from tests.testbed.pki import Identity
from tests.testbed.versions import COREDNS, KUBERNETES_PROGRAMS, LOCAL_PATH

NODE_NAME = "node"
NODE_ADDRESS = "198.18.0.1"
POD_RANGE = "198.18.64.0/18"
SERVICE_RANGE = "198.19.0.0/16"
API_SERVICE_ADDRESS = "198.19.0.1"
API_PORT = 6443
ETCD_PORT = 2379
CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")

PKI = NODE / "pki"
CONFIG = NODE / "config"

IDENTITIES = {
    "apiserver": Identity(
        "kube-apiserver",
        dns_names=(
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ),
        addresses=("127.0.0.1", NODE_ADDRESS, API_SERVICE_ADDRESS),
    ),
    "admin": Identity("admin", ("system:masters",)),
    "kubelet": Identity(f"system:node:{NODE_NAME}", ("system:nodes",), (NODE_NAME,), (NODE_ADDRESS,)),
    "controller-manager": Identity("system:kube-controller-manager"),
    "scheduler": Identity("system:kube-scheduler"),
    "proxy": Identity("system:kube-proxy"),
    # Parts of the node, not of what is tested: they hold every right, under names the audit log can tell apart.
    "coredns": Identity("testbed:coredns", ("system:masters",)),
    "local-path": Identity("testbed:local-path", ("system:masters",)),
    "apiserver-kubelet-client": Identity("kube-apiserver-kubelet-client", ("system:masters",)),
    "front-proxy": Identity("front-proxy-client"),
}
# Who reaches the API server through a kubeconfig, on the node.
CLIENTS = ("kubelet", "controller-manager", "scheduler", "proxy", "coredns", "local-path")


@dataclass(frozen=True)
class Component:
    """One process; `ready` says whether those that need it may start."""

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], bool] = lambda: True


def waves(layout: Layout, api_socket: int) -> list[list[Component]]:
    """Components grouped so that each group needs only the groups before it. `api_socket` listens outside."""
    relay = Component("relay", (sys.executable, "-m", "tests.testbed.relay", str(api_socket), str(API_PORT)))
    containerd = ("containerd", "--config", f"{CONFIG}/containerd.toml")
    return [
        [_etcd(), Component("containerd", containerd, CONTAINERD_SOCKET.is_socket)],
        [_apiserver(layout)],
        [relay, _kubelet(layout), _controller_manager(layout), _scheduler(layout), _proxy(layout)],
        [_coredns(layout), _local_path(layout)],
    ]


def _etcd() -> Component:
    client = f"http://127.0.0.1:{ETCD_PORT}"
    argv = ("etcd", "--data-dir", f"{NODE}/etcd", "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", "http://127.0.0.1:2380", "--unsafe-no-fsync")  # fmt: skip
    return Component("etcd", argv, _etcd_answers)


def _apiserver(layout: Layout) -> Component:
    options = {
        "etcd-servers": f"http://127.0.0.1:{ETCD_PORT}",
        "service-cluster-ip-range": SERVICE_RANGE,
        "advertise-address": NODE_ADDRESS,
        "secure-port": API_PORT,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "client-ca-file": PKI / "ca.crt",
        "tls-cert-file": PKI / "apiserver.crt",
        "tls-private-key-file": PKI / "apiserver.key",
        "kubelet-client-certificate": PKI / "apiserver-kubelet-client.crt",
        "kubelet-client-key": PKI / "apiserver-kubelet-client.key",
        "kubelet-certificate-authority": PKI / "ca.crt",
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-key-file": PKI / "sa.pub",
        "service-account-signing-key-file": PKI / "sa.key",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "requestheader-client-ca-file": PKI / "ca.crt",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        "proxy-client-cert-file": PKI / "front-proxy.crt",
        "proxy-client-key-file": PKI / "front-proxy.key",
        "allow-privileged": "true",
        "audit-policy-file": CONFIG / "audit-policy.yaml",
        "audit-log-path": NODE / "log/audit.log",
        # MiB; past it the log is moved away, and whoever counts requests in it counts wrong.
        "audit-log-maxsize": 4096,
    }
    return _kubernetes(layout, "kube-apiserver", options, _apiserver_answers)


def _controller_manager(layout: Layout) -> Component:
    options = {
        "kubeconfig": CONFIG / "controller-manager.kubeconfig",
        "authentication-kubeconfig": CONFIG / "controller-manager.kubeconfig",
        "authorization-kubeconfig": CONFIG / "controller-manager.kubeconfig",
        "service-account-private-key-file": PKI / "sa.key",
        "root-ca-file": PKI / "ca.crt",
        "cluster-signing-cert-file": PKI / "ca.crt",
        "cluster-signing-key-file": PKI / "ca.key",
        "use-service-account-credentials": "true",
        "leader-elect": "false",
    }
    return _kubernetes(layout, "kube-controller-manager", options)


def _scheduler(layout: Layout) -> Component:
    kubeconfig = CONFIG / "scheduler.kubeconfig"
    options = {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "leader-elect": "false",
    }
    return _kubernetes(layout, "kube-scheduler", options)


def _kubelet(layout: Layout) -> Component:
    options = {
        "config": CONFIG / "kubelet.yaml",
        "kubeconfig": CONFIG / "kubelet.kubeconfig",
        "root-dir": NODE / "kubelet",
        "cgroup-root": f"/{layout.cgroup}",
        "hostname-override": NODE_NAME,
        "node-ip": NODE_ADDRESS,
    }
    return _kubernetes(layout, "kubelet", options)


def _proxy(layout: Layout) -> Component:
    options = {
        "kubeconfig": CONFIG / "proxy.kubeconfig",
        "hostname-override": NODE_NAME,
        "proxy-mode": "iptables",
        "cluster-cidr": POD_RANGE,
        # 0 leaves the machine's connection tracking table as it is.
        "conntrack-max-per-core": 0,
    }
    return _kubernetes(layout, "kube-proxy", options)


def _coredns(layout: Layout) -> Component:
    return Component("coredns", (str(layout.program(COREDNS)), "-conf", f"{CONFIG}/Corefile"))


def _local_path(layout: Layout) -> Component:
    argv = (str(layout.program(LOCAL_PATH)), "start", "--config", f"{CONFIG}/local-path.json",
            "--kubeconfig", f"{CONFIG}/local-path.kubeconfig", "--namespace", "local-path-storage",
            "--helper-pod-file", f"{CONFIG}/local-path-pod.yaml", "--configmap-name", "local-path-config",
            "--service-account-name", "local-path-provisioner")  # fmt: skip
    return Component("local-path", argv)


def _kubernetes(
    layout: Layout, command: str, options: dict[str, object], ready: Callable[[], bool] = lambda: True
) -> Component:
    program = layout.program(KUBERNETES_PROGRAMS, command)
    return Component(command, (str(program), *(f"--{name}={value}" for name, value in options.items())), ready)


def _etcd_answers() -> bool:
    try:
        with socket.create_connection(("127.0.0.1", ETCD_PORT), timeout=1):
            return True
    except OSError:
        return False


def _apiserver_answers() -> bool:
    connection = http.client.HTTPSConnection(
        "127.0.0.1", API_PORT, timeout=2, context=ssl.create_default_context(cafile=str(PKI / "ca.crt"))
    )
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
