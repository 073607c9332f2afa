"""Building images with buildah, which needs no daemon. An image whose inputs did not change costs nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.catalogue import SHARED, Image
from tests.testbed.layout import CHECKOUT, Layout
from tests.testbed.shell import TestbedError, locked, run

CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_SETTINGS = ("index_url", "extra_index_url", "trusted_host", "cert", "proxy", "default_timeout", "retries")


@dataclass(frozen=True)
class Build:
    """One finished build: the digest of its inputs and the image's id in buildah's store."""

    inputs: str
    image_id: str


def build(layout: Layout, image: Image) -> Build:
    """Build an image unless its inputs are those of the last build.

    The machine's CA bundle and pip settings are mounted for RUN steps and do not end in the image.
    Raises TestbedError with buildah's last words.
    """
    inputs = inputs_digest(image)
    done = last_build(layout, image.tag)
    if done and done.inputs == inputs:
        return done
    with buildah(layout) as command, tempfile.TemporaryDirectory() as folder:
        image_id = Path(folder) / "id"
        argv = [*command, "build", *_options(layout, image), *_mounts(Path(folder)), f"--iidfile={image_id}"]
        run([*argv, image.context], log=_log(layout, image.tag))
        done = Build(inputs, image_id.read_text().strip())
    record = _record(layout, image.tag)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(vars(done)))
    return done


def last_build(layout: Layout, tag: str) -> Build | None:
    """What the last build of a tag was, None when there was none (or its record is torn)."""
    return _read(_record(layout, tag))


def local_name(layout: Layout, tag: str) -> str:
    """The image's name in buildah's store, which all checkouts share: their own images carry their cluster's name."""
    return tag if tag in SHARED else tag.replace("localhost/", f"localhost/{layout.name}/", 1)


def export(layout: Layout, tag: str) -> Path:
    """The manifest of a tag's last build; its blobs lie beside it, named by their digests without the algorithm.

    buildah takes up to a minute for it, so what it wrote is kept for all clusters of the machine.
    Raises TestbedError when the tag was never built.
    """
    manifest = _manifest(layout, require_build(layout, tag).image_id)
    if manifest.exists():
        return manifest
    with buildah(layout) as command, tempfile.TemporaryDirectory(dir=layout.cache) as folder:
        if manifest.exists():  # another cluster was first
            return manifest
        image = Path(folder) / "image"
        options = ("--quiet", "--format=oci", "--disable-compression")
        run([*command, "push", *options, local_name(layout, tag), f"dir:{image}"])
        manifest.parent.mkdir(exist_ok=True)
        for blob in image.glob("?" * 64):
            blob.replace(manifest.parent / blob.name)
        (image / "manifest.json").replace(manifest)
    return manifest


@contextmanager
def buildah(layout: Layout) -> Iterator[list[str | Path]]:
    """buildah's command line on the cache's store, alone on it; what it mounts is private and goes with it."""
    with (
        locked(layout.cache / "locks" / "buildah.lock", "building images"),
        tempfile.TemporaryDirectory(prefix="aada-buildah-") as run_root,
    ):
        store: list[str | Path] = ["--root", layout.cache / "buildah", "--runroot", run_root]
        yield ["unshare", "--mount", "--propagation", "private", "buildah", *store, "--storage-driver", "overlay"]


def forget(layout: Layout) -> None:
    """Remove a cluster's own images and the records of their builds."""
    prefix = f"localhost/{layout.name}/"
    if not (layout.cache / "buildah").is_dir():
        return
    with buildah(layout) as command:
        names = run([*command, "images", "--format={{.Name}}:{{.Tag}}"]).split()
        if own := [name for name in names if name.startswith(prefix)]:
            run([*command, "rmi", "--force", *own])
        shutil.rmtree(layout.cache / "buildah" / "builds" / layout.name, ignore_errors=True)
        prune(layout)


def prune(layout: Layout) -> None:
    """Remove exported images that are no longer anybody's last build; the caller is alone on buildah's store.

    Beside an export it would take the blobs away whose manifest is not there yet.
    """
    builds = map(_read, (layout.cache / "buildah" / "builds").glob("*/*"))
    kept = {_manifest(layout, build.image_id) for build in builds if build}
    blobs = {digest.removeprefix("sha256:") for path in kept if path.exists() for digest in blobs_of(path)}
    for path in (layout.cache / "exported").glob("*"):
        if path not in kept and path.name not in blobs:
            path.unlink()


def blobs_of(manifest: Path) -> list[str]:
    """The digests of an exported image's blobs."""
    content = json.loads(manifest.read_text())
    return [str(blob["digest"]) for blob in [content["config"], *content["layers"]]]


def inputs_digest(image: Image) -> str:
    """A digest of the Dockerfile, the build arguments and the context's files (names, modes and contents)."""
    digest = hashlib.sha256(image.dockerfile.read_bytes())
    digest.update(json.dumps(dict(image.build_args), sort_keys=True).encode())
    for path in sorted(_context_files(image.context)):
        status = path.stat()
        digest.update(f"\0{path.relative_to(image.context)}\0{status.st_mode:o}\0".encode())
        digest.update(_content(path, status))
    return digest.hexdigest()


def pip_configuration(environment: Mapping[str, str]) -> str:
    """pip's settings from `PIP_…` variables as a configuration file; the machine's CA bundle unless another is set."""
    settings = {"cert": str(CA_BUNDLE)} if CA_BUNDLE.exists() else {}
    for name in PIP_SETTINGS:
        if value := environment.get(f"PIP_{name.upper()}"):
            settings[name.replace("_", "-")] = value
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items())


def _options(layout: Layout, image: Image) -> list[str]:
    arguments = [f"--build-arg={name}={value}" for name, value in image.build_args.items()]
    name = local_name(layout, image.tag)
    return ["--isolation=chroot", "--layers", "--pull-never", f"--file={image.dockerfile}", f"--tag={name}", *arguments]


def _mounts(folder: Path) -> list[str]:
    pip_conf = folder / "pip.conf"
    pip_conf.write_text(pip_configuration(os.environ))
    mounts = {pip_conf: "/etc/pip.conf", CA_BUNDLE: str(CA_BUNDLE)}
    return [f"--volume={source}:{target}:ro" for source, target in mounts.items() if source.exists()]


def _context_files(context: Path) -> list[Path]:
    """Git's view of a folder of the checkout, so that caches and virtual environments do not count; else all files."""
    if context.is_relative_to(CHECKOUT) and (CHECKOUT / ".git").exists() and shutil.which("git"):
        # Under sudo the checkout belongs to someone else, which git would refuse to read.
        git = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "."]
        listed = run(git, cwd=context)
        files = [context / name for name in listed.split("\0") if name]
    else:
        files = list(context.rglob("*"))
    return [path for path in files if path.is_file()]


def _content(path: Path, status: os.stat_result) -> bytes:
    """The file's digest; for what the cache holds (a root filesystem, programs) its size and time of change will do."""
    if path.is_relative_to(CHECKOUT):
        return hashlib.sha256(path.read_bytes()).digest()
    return f"{status.st_size} {status.st_mtime_ns}".encode()


def _read(record: Path) -> Build | None:
    try:
        return Build(**json.loads(record.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _record(layout: Layout, tag: str) -> Path:
    owner = "shared" if tag in SHARED else layout.name
    return layout.cache / "buildah" / "builds" / owner / _slug(tag)


def _manifest(layout: Layout, image_id: str) -> Path:
    return layout.cache / "exported" / f"{image_id.removeprefix('sha256:')}.json"


def _log(layout: Layout, tag: str) -> Path:
    folder = layout.cache / "locks"
    return folder / f"build-{_slug(tag)}.log"


def _slug(tag: str) -> str:
    return tag.replace("/", "_").replace(":", "_")


def require_build(layout: Layout, tag: str) -> Build:
    """The last build of a tag. Raises TestbedError when there was none."""
    if done := last_build(layout, tag):
        return done
    raise TestbedError(f"{tag} was never built here: `python -m tests.testbed images` builds the project's images")
