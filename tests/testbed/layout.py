"""Where everything is: the cache of a machine, the state of one cluster, and the same state as its node sees it."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.versions import Program

CHECKOUT = Path(__file__).resolve().parents[2]
TESTBED = Path(__file__).resolve().parent

# The node binds its state folder here inside its own mount namespace: configuration files are then the same for
# every cluster, and socket paths stay below the 108 bytes that a unix socket may have.
NODE = Path("/run/aada")


def cache_folder() -> Path:
    """The machine's cache: `AADA_CACHE`, else `XDG_CACHE_HOME/aada-operator`, else `~/.cache/aada-operator`."""
    if chosen := os.environ.get("AADA_CACHE"):
        return Path(chosen).resolve()
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base).resolve() / "aada-operator"


def cluster_name(checkout: Path = CHECKOUT) -> str:
    """`AADA_CLUSTER`, else a name made of the checkout's path: two checkouts never share a cluster.

    Raises ValueError when `AADA_CLUSTER` is no DNS label of at most 40 characters.
    """
    chosen = os.environ.get("AADA_CLUSTER")
    if chosen is None:
        folder = re.sub(r"[^a-z0-9]+", "-", checkout.name.lower()).strip("-")[:20] or "checkout"
        return f"{folder}-{_digest(checkout)}"
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", chosen):
        raise ValueError(f"AADA_CLUSTER={chosen!r} must be lower-case letters, digits and '-', at most 40 characters")
    return chosen


def worker_cluster_name(worker: str) -> str:
    """The name of the cluster of one worker of pytest-xdist, beside the checkout's own."""
    return f"{cluster_name()[:32]}-{worker}"


def _digest(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Layout:
    """The folders of one cluster on this machine."""

    name: str
    cache: Path

    @classmethod
    def current(cls) -> Layout:
        return cls(cluster_name(), cache_folder())

    @property
    def state(self) -> Path:
        """What `up` makes and `down` removes."""
        return self.cache / "clusters" / self.name

    @property
    def image_store(self) -> Path:
        """containerd's images, kept from one `up` to the next."""
        return self.cache / "containerd" / self.name

    @property
    def lock(self) -> Path:
        return self.cache / "locks" / f"{self.name}.lock"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def logs(self) -> Path:
        return self.state / "log"

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.log"

    @property
    def cgroup(self) -> str:
        """The one thing outside the cache: clusters of the same name in two caches have two."""
        return f"aada-{self.name}-{_digest(self.cache)}"

    def program(self, program: Program, command: str | None = None) -> Path:
        """The path of a built command; a program with one command is named by the program alone."""
        return self.cache / program.folder / (command or program.name)
