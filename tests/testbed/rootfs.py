"""The root filesystem of the base image, made by debootstrap once per machine and version."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.testbed.layout import TESTBED, Layout
from tests.testbed.shell import locked, run, step
from tests.testbed.versions import BASE_TAG, DEBIAN

INCLUDE = "ca-certificates,python3,python3-venv"
PACKAGES_SCRIPT = TESTBED / "images" / "base" / "packages.sh"
# Private mounts: what debootstrap mounts goes with the process, even when it is killed.
ALONE = ("unshare", "--mount", "--propagation", "private")


def base_folder(layout: Layout) -> Path:
    """The folder with `rootfs.tar`, made when it is not there. Raises TestbedError when a step fails."""
    done = layout.cache / f"base-{BASE_TAG}"
    with locked(layout.cache / "locks" / "rootfs.lock", "the base image"):
        for half_built in layout.cache.glob(f"{done.name}.building-*"):
            shutil.rmtree(half_built)
        if not done.is_dir():
            with step(f"make the base root filesystem, Debian {DEBIAN} with PostgreSQL (once per machine)"):
                _make(layout, done)
    return done


def _make(layout: Layout, done: Path) -> None:
    target = Path(tempfile.mkdtemp(prefix=f"{done.name}.building-", dir=layout.cache))
    root = target / "root"
    log = layout.cache / "locks" / "rootfs.log"
    run([*ALONE, "debootstrap", "--variant=minbase", f"--include={INCLUDE}", DEBIAN, root], log=log)
    shutil.copy(PACKAGES_SCRIPT, root / "packages.sh")
    run([*ALONE, "chroot", root, "sh", "/packages.sh"], env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, log=log)
    (root / "packages.sh").unlink()
    # debootstrap copies these from the machine.
    for copied in ("resolv.conf", "hostname"):
        (root / "etc" / copied).write_text("")
    # pip's settings are mounted on this file while an image is built; a mount point that buildah makes would stay.
    (root / "etc" / "pip.conf").write_text("")
    run(["tar", "--create", f"--file={target}/rootfs.tar", f"--directory={root}", "--exclude=./dev/*", "."])
    shutil.rmtree(root)
    target.chmod(0o755)
    target.rename(done)
