"""Container images: built by buildah without a daemon, handed to the node's containerd."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.testbed import programs
from tests.testbed.layout import CHECKOUT, TESTBED, Layout
from tests.testbed.namespace import Namespace
from tests.testbed.rootfs import base_folder
from tests.testbed.shell import TestbedError, locked, run, step
from tests.testbed.versions import BASE_TAG, POSTGRES, VERSITYGW

REPOSITORY = "localhost/aada"
BASE = f"{REPOSITORY}/base:{BASE_TAG}"
PAUSE = f"{REPOSITORY}/pause:1"
VERSITYGW_IMAGE = f"{REPOSITORY}/versitygw:{VERSITYGW.version}"
POSTGRES_IMAGE = f"{REPOSITORY}/postgres:{POSTGRES}"
OPERATOR = f"{REPOSITORY}/operator:dev"
SAMPLE_LMS = f"{REPOSITORY}/sample-lms:dev"

FOLDER = TESTBED / "images"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_SETTINGS = ("index_url", "extra_index_url", "trusted_host", "cert", "proxy", "default_timeout", "retries")
# The label on containerd's record of an image that says which build it holds.
ID_LABEL = "aada.testbed/image-id"


@dataclass(frozen=True)
class Image:
    """What an image is made of."""

    tag: str
    dockerfile: Path
    context: Path
    build_args: Mapping[str, str] = field(default_factory=dict)


def node_images(layout: Layout) -> list[Image]:
    """The images without which the node cannot run pods and make volumes."""
    pause = programs.build_pause(layout, FOLDER / "pause")
    return [
        Image(PAUSE, FOLDER / "pause" / "Dockerfile", pause),
        Image(BASE, FOLDER / "base" / "Dockerfile", base_folder(layout)),
    ]


def project_images(layout: Layout) -> list[Image]:
    """The servers that tests use, the operator and the sample LMS; those whose Dockerfile is there."""
    on_base = {"BASE_IMAGE": BASE}
    wanted = [
        Image(POSTGRES_IMAGE, FOLDER / "postgres" / "Dockerfile", FOLDER / "postgres", on_base),
        Image(VERSITYGW_IMAGE, FOLDER / "versitygw" / "Dockerfile", layout.cache / VERSITYGW.folder),
        Image(OPERATOR, CHECKOUT / "Dockerfile", CHECKOUT, on_base),
        Image(SAMPLE_LMS, CHECKOUT / "tests/sample_lms/Dockerfile", CHECKOUT / "tests/sample_lms", on_base),
    ]
    return [image for image in wanted if image.dockerfile.exists()]


def build(layout: Layout, image: Image) -> None:
    """Build an image; buildah's layer cache makes an unchanged one a matter of a second.

    The machine's CA bundle and pip settings are mounted for RUN steps and do not end in the image.
    Raises TestbedError with buildah's last words.
    """
    layout.logs.mkdir(parents=True, exist_ok=True)
    with _buildah(layout) as buildah, tempfile.NamedTemporaryFile("w", suffix=".conf") as pip_conf:
        pip_conf.write(pip_configuration(os.environ))
        pip_conf.flush()
        mounts = {Path(pip_conf.name): "/etc/pip.conf", CA_BUNDLE: str(CA_BUNDLE)}
        volumes = [f"--volume={source}:{target}:ro" for source, target in mounts.items() if source.exists()]
        arguments = [f"--build-arg={name}={value}" for name, value in image.build_args.items()]
        options = ["--isolation=chroot", "--layers", "--pull-never", f"--file={image.dockerfile}", f"--tag={image.tag}"]
        argv = [*buildah, "build", *options, *arguments, *volumes, image.context]
        run(argv, log=layout.logs / f"build-{image.tag.rpartition('/')[2].replace(':', '-')}.log")


def load(layout: Layout, namespace: Namespace, ref: str) -> bool:
    """Import a built image into containerd and say whether that was needed: not when the node has the same build."""
    with _buildah(layout) as buildah:
        built = run([*buildah, "images", "--format={{.ID}}", "--no-trunc", ref]).strip()
        if f"{ID_LABEL}={built}" in run(_ctr(namespace, "images", "list", f"name=={ref}")):
            return False
        with tempfile.TemporaryDirectory(dir=layout.cache) as folder:
            archive = Path(folder) / "image.tar"
            run([*buildah, "push", "--quiet", ref, f"docker-archive:{archive}:{ref}"])
            import_archive(namespace, archive)
    run(_ctr(namespace, "images", "label", ref, f"{ID_LABEL}={built}"))
    return True


def import_archive(namespace: Namespace, archive: Path) -> str:
    """Import an OCI or Docker archive into containerd and return what it says."""
    return run(_ctr(namespace, "images", "import", "-"), stdin=archive)


def build_and_load(layout: Layout, namespace: Namespace, images: Sequence[Image]) -> None:
    """Build and import each image in turn, with a progress line for each."""
    for image in images:
        with step(f"image {image.tag}"):
            build(layout, image)
            load(layout, namespace, image.tag)


def pip_configuration(environment: Mapping[str, str]) -> str:
    """pip's settings from `PIP_…` variables as a configuration file; the machine's CA bundle unless another is set."""
    settings = {"cert": str(CA_BUNDLE)} if CA_BUNDLE.exists() else {}
    for name in PIP_SETTINGS:
        if value := environment.get(f"PIP_{name.upper()}"):
            settings[name.replace("_", "-").removeprefix("default-")] = value
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items())


@contextmanager
def _buildah(layout: Layout) -> Iterator[list[str | Path]]:
    """buildah on a store of its own, alone on it; what it mounts is private and goes with it."""
    with (
        locked(layout.cache / "locks" / "buildah.lock", "building images"),
        tempfile.TemporaryDirectory(prefix="aada-buildah-") as run_root,
    ):
        store: list[str | Path] = [
            "--root",
            layout.cache / "buildah",
            "--runroot",
            run_root,
            "--storage-driver",
            "overlay",
        ]
        yield ["unshare", "--mount", "--propagation", "private", "buildah", *store]


def _ctr(namespace: Namespace, *argv: str) -> list[str | Path]:
    try:
        return namespace.enter("ctr", "--namespace=k8s.io", *argv)
    except ProcessLookupError as not_running:
        raise TestbedError("no cluster is up: run `python -m tests.testbed up` first") from not_running
