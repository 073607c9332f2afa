"""Handing built images to the node's containerd: only layers that it does not have yet travel."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import tempfile
from pathlib import Path

from tests.testbed import imaging
from tests.testbed.layout import Layout
from tests.testbed.namespace import Namespace
from tests.testbed.shell import NOT_UP, TestbedError, run

# The label on containerd's record of an image that says which build it holds.
ID_LABEL = "aada.testbed/image-id"


def load(layout: Layout, namespace: Namespace, tag: str) -> bool:
    """Import the last build of a tag and say whether that was needed: not when the node has that very build.

    Raises TestbedError when the tag was never built or no node runs.
    """
    built = imaging.require_build(layout, tag)
    if f"{ID_LABEL}={built.image_id}" in run(_ctr(namespace, "images", "list", f"name=={tag}")):
        return False
    with tempfile.TemporaryDirectory(dir=layout.cache) as folder:
        archive = Path(folder) / "image.tar"
        present = set(run(_ctr(namespace, "content", "list", "--quiet")).split())
        write_archive(imaging.export(layout, tag), tag, archive, present)
        import_archive(namespace, archive)
    run(_ctr(namespace, "images", "label", tag, f"{ID_LABEL}={built.image_id}"))
    return True


def import_archive(namespace: Namespace, archive: Path) -> str:
    """Import an OCI or Docker archive into containerd and return what it says."""
    return run(_ctr(namespace, "images", "import", "-"), stdin=archive)


def write_archive(exported: Path, tag: str, archive: Path, present: set[str]) -> None:
    """Write an exported image (see `imaging.export`) as an OCI archive, without the blobs in `present` (digests)."""
    manifest = exported.read_bytes()
    digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    entry = {
        "mediaType": json.loads(manifest)["mediaType"],
        "digest": digest,
        "size": len(manifest),
        "annotations": {"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": tag},
    }
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
        _add(tar, _blob(digest), manifest)
        for blob in imaging.blobs_of(exported):
            if blob not in present:
                tar.add(exported.parent / blob.removeprefix("sha256:"), _blob(blob))


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _blob(digest: str) -> str:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise TestbedError(f"{digest} is no SHA-256 digest: the image is damaged, build it again")
    return f"blobs/{digest.replace(':', '/')}"


def _ctr(namespace: Namespace, *argv: str) -> list[str | Path]:
    try:
        return namespace.enter("ctr", "--namespace=k8s.io", *argv)
    except ProcessLookupError as not_running:
        raise TestbedError(NOT_UP) from not_running
