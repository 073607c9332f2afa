"""The one table of everything the test bed builds, with the versions that were proved together."""

from __future__ import annotations

from dataclasses import dataclass

KUBERNETES = "1.34.4"
POSTGRES = "15"
DEBIAN = "bookworm"
# Raise it when a Dockerfile or the package list of the base image changes.
BASE_TAG = f"{DEBIAN}-2"


@dataclass(frozen=True)
class Program:
    """One Go module and the commands that are built from it into `<cache>/<name>-<version>/`."""

    name: str
    version: str
    module: str
    packages: tuple[str, ...]

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.version}"


KUBERNETES_PROGRAMS = Program(
    "kubernetes",
    KUBERNETES,
    "k8s.io/kubernetes",
    tuple(
        f"k8s.io/kubernetes/cmd/{command}"
        for command in (
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubelet",
            "kube-proxy",
            "kubectl",
        )
    ),
)
COREDNS = Program("coredns", "1.14.7", "github.com/coredns/coredns", ("github.com/coredns/coredns",))
LOCAL_PATH = Program(
    "local-path-provisioner",
    "0.0.30",
    "github.com/rancher/local-path-provisioner",
    ("github.com/rancher/local-path-provisioner",),
)
VERSITYGW = Program(
    "versitygw", "1.8.0", "github.com/versity/versitygw", ("github.com/versity/versitygw/cmd/versitygw",)
)
METRICS_SERVER = Program(
    "metrics-server",
    "0.9.0",
    "sigs.k8s.io/metrics-server",
    ("sigs.k8s.io/metrics-server/cmd/metrics-server",),
)
HELM = Program("helm", "4.3.1", "helm.sh/helm/v4", ("helm.sh/helm/v4/cmd/helm",))

# The kind release whose node images are of this Kubernetes minor version; unproved, see kind.py.
KIND = "0.30.0"
KIND_NODE_IMAGE = "kindest/node:v1.34.0"
SAMPLE_LMS_RELEASES = ("v1.2.3", "v1.3.0", "v1.4.0-crash")

# What a node needs comes first, so that a cluster can start while the rest is still being built.
NODE_PROGRAMS = (KUBERNETES_PROGRAMS, COREDNS, LOCAL_PATH)
PROGRAMS = (*NODE_PROGRAMS, VERSITYGW, HELM, METRICS_SERVER)

# A command that shows whether the Debian package is there, and the package.
DEBIAN_PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "etcd": "etcd-server",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "ip": "iproute2",
    "conntrack": "conntrack",
    "socat": "socat",
    "ethtool": "ethtool",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "nsenter": "util-linux",
    f"/usr/lib/postgresql/{POSTGRES}/bin/postgres": f"postgresql-{POSTGRES}",
    "/usr/sbin/pgbouncer": "pgbouncer",
    # What a person restores with by hand.
    "age": "age",
    # Debian's, by its path: another one in the PATH is not found by tests that fix theirs.
    "/usr/bin/aws": "awscli",
    "jq": "jq",
    "zstd": "zstd",
    # What copies users' files into a bucket.
    "rclone": "rclone",
    "sysctl": "procps",
}
