"""What a node is made of: Debian packages and programs built from their Go modules, once per machine and version."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.testbed.layout import Layout
from tests.testbed.shell import TestbedError, locked, run, say, step
from tests.testbed.versions import DEBIAN_PACKAGES, KUBERNETES_PROGRAMS, PROGRAMS, Program

GO_ENV = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -buildvcs=false"}


def install_packages(layout: Layout) -> None:
    """Install the Debian packages that are missing. Raises TestbedError where apt-get does not exist or fails."""
    if not _missing_packages():
        return
    with locked(layout.cache / "locks" / "packages.lock", "installing packages"):
        if missing := _missing_packages():
            _install(missing)


def _install(missing: list[str]) -> None:
    if not shutil.which("apt-get"):
        raise TestbedError(f"install these programs first (apt-get is not here): {', '.join(missing)}")
    with step(f"apt-get install {' '.join(missing)}"):
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update"], env=quiet)
        run(["apt-get", "install", "-y", "--no-install-recommends", *missing], env=quiet)


def unpack_package(layout: Layout, package: str) -> Path:
    """The folder with the files of a Debian package, for a program of one that would start a server if installed.

    Raises TestbedError where apt-get does not exist or fails.
    """
    target = layout.cache / f"debian-{package}"
    with locked(layout.cache / "locks" / "packages.lock", f"unpacking {package}"):
        if not target.is_dir():
            with tempfile.TemporaryDirectory(prefix=f"{package}.unpacking-", dir=layout.cache) as folder:
                with step(f"apt-get download {package}"):
                    run(["apt-get", "update"])
                    run(["apt-get", "download", package], cwd=Path(folder))
                (archive,) = Path(folder).glob("*.deb")
                run(["dpkg-deb", "--extract", archive, Path(folder) / "files"])
                (Path(folder) / "files").rename(target)
    return target


def _missing_packages() -> list[str]:
    return sorted({package for probe, package in DEBIAN_PACKAGES.items() if not _is_there(probe)})


def _is_there(probe: str) -> bool:
    return Path(probe).exists() if probe.startswith("/") else shutil.which(probe) is not None


def build_programs(layout: Layout, programs: Iterable[Program] = PROGRAMS) -> None:
    """Build what the cache lacks. Raises TestbedError when Go is missing or a build fails."""
    missing = [program for program in programs if not (layout.cache / program.folder).is_dir()]
    if not missing:
        return
    if not shutil.which("go"):
        raise TestbedError("Go is not on PATH: install Go 1.26 or newer (https://go.dev/dl), then run this again")
    with locked(layout.cache / "locks" / "build.lock", "building programs"):
        for program in missing:
            if not (layout.cache / program.folder).is_dir():
                _build(layout, program)


def _build(layout: Layout, program: Program) -> None:
    """Build into a folder beside the final one and rename it: a killed build is never mistaken for a whole one."""
    for half_built in layout.cache.glob(f"{program.folder}.building-*"):
        shutil.rmtree(half_built)
    target = Path(tempfile.mkdtemp(prefix=f"{program.folder}.building-", dir=layout.cache))
    target.chmod(0o755)
    log = layout.cache / "locks" / f"{program.folder}.log"
    with step(f"build {program.name} {program.version} (once per machine; needs a few minutes)"):
        if program is KUBERNETES_PROGRAMS:
            _build_kubernetes(program, target, log)
        else:
            wanted = [f"{package}@v{program.version}" for package in program.packages]
            env = {**GO_ENV, "GOBIN": str(target)}
            run(["go", "install", "-trimpath", "-ldflags=-s -w", *wanted], env=env, log=log)
    target.rename(layout.cache / program.folder)
    say(f"  {', '.join(sorted(path.name for path in (layout.cache / program.folder).iterdir()))}")


def _build_kubernetes(program: Program, target: Path, log: Path) -> None:
    """Build from a module of our own: `go install` refuses k8s.io/kubernetes, whose go.mod has replacements."""
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder)
        (module / "go.mod").write_text("module testbed/kubernetes\n\ngo 1.24.0\n")
        found = json.loads(
            run(["go", "mod", "download", "-json", f"{program.module}@v{program.version}"], env=GO_ENV, cwd=module)
        )
        (module / "go.mod").write_text(kubernetes_go_mod(program, Path(found["GoMod"]).read_text()))
        run(["go", "mod", "tidy"], env=GO_ENV, cwd=module, log=log)
        version = "k8s.io/component-base/version"
        major, minor, _ = program.version.split(".")
        flags = f"-s -w -X {version}.gitVersion=v{program.version} -X {version}.gitMajor={major}"
        flags += f" -X {version}.gitMinor={minor}"
        argv = ["go", "build", "-trimpath", f"-ldflags={flags}", "-o", f"{target}/", *program.packages]
        run(argv, env=GO_ENV, cwd=module, log=log)


def build_pause(layout: Layout, source: Path) -> Path:
    """Build the program of the pause image from this repository; returns the folder it is in."""
    target = layout.cache / "pause-1"
    with locked(layout.cache / "locks" / "build.lock", "building programs"):
        if not target.is_dir():
            with tempfile.TemporaryDirectory(prefix="pause-1.building-", dir=layout.cache) as folder:
                binary = Path(folder) / "out" / "pause"
                run(["go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "."], env=GO_ENV, cwd=source)
                binary.parent.rename(target)
    return target


def kubernetes_go_mod(program: Program, upstream: str) -> str:
    """A go.mod that takes Kubernetes' staging modules (`./staging/src/…` upstream) from their published v0.N.P."""
    staging = sorted(set(re.findall(r"=> \./staging/src/(\S+)", upstream)))
    if not staging:
        raise TestbedError(f"{program.module} v{program.version} names no staging modules: its go.mod has changed")
    published = f"v0.{program.version.split('.', 1)[1]}"
    tools = "".join(f"\t{package}\n" for package in program.packages)
    replacements = "".join(f"\t{module} => {module} {published}\n" for module in staging)
    return (
        "module testbed/kubernetes\n\ngo 1.24.0\n\ngodebug default=go1.24\n\n"
        f"require {program.module} v{program.version}\n\ntool (\n{tools})\n\nreplace (\n{replacements})\n"
    )
