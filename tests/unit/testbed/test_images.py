"""Which builds and imports are needed, and what may not end in an image."""

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.testbed import imaging
from tests.testbed.catalogue import BASE, METRICS, PAUSE, POOLER, POSTGRES_SERVER, S3_SERVER, STORE, Image
from tests.testbed.layout import CHECKOUT, TESTBED, Layout
from tests.testbed.loading import write_archive
from tests.testbed.shell import TestbedError


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    """An image whose context is a folder of a checkout that is no git repository."""
    monkeypatch.setattr(imaging, "CHECKOUT", tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "app.py").write_text("print('one')\n")
    return Image("localhost/aada/app:dev", tmp_path / "Dockerfile", tmp_path / "context", {"A": "1"})


def test_touching_a_file_is_no_change(image: Image) -> None:
    before = imaging.inputs_digest(image)
    (image.context / "app.py").touch()
    assert imaging.inputs_digest(image) == before


@pytest.mark.parametrize("change", ["content", "mode", "new file", "name", "Dockerfile", "build argument"])
def test_every_change_of_an_input_is_a_change(image: Image, change: str) -> None:
    before = imaging.inputs_digest(image)
    app = image.context / "app.py"
    match change:
        case "content":
            app.write_text("print('two')\n")
        case "mode":
            app.chmod(0o755)
        case "new file":
            (image.context / "other.py").write_text("")
        case "name":
            app.rename(image.context / "main.py")
        case "Dockerfile":
            image.dockerfile.write_text("FROM scratch\n")
        case _:
            image = Image(image.tag, image.dockerfile, image.context, {"A": "2"})
    assert imaging.inputs_digest(image) != before


def test_files_that_git_ignores_are_no_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imaging, "CHECKOUT", tmp_path)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("cache/\n")
    (tmp_path / "cache").mkdir()
    for name in ("app.py", "cache/app.pyc"):
        (tmp_path / name).write_text("")
    assert {path.name for path in imaging._context_files(tmp_path)} == {".gitignore", "app.py"}


def test_an_unchanged_image_starts_no_build(image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout("test", tmp_path / "cache")
    record = imaging._record(layout, image.tag)
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"inputs": imaging.inputs_digest(image), "image_id": "sha256:1"}))
    monkeypatch.setattr(imaging, "run", lambda *_, **__: pytest.fail("buildah was started"))
    assert imaging.build(layout, image).image_id == "sha256:1"


@pytest.mark.parametrize("torn", ["", "{", '{"inputs": "x"}', "null"])
def test_a_torn_record_of_a_build_is_no_record(torn: str, tmp_path: Path) -> None:
    layout = Layout("test", tmp_path)
    record = imaging._record(layout, "localhost/aada/app:dev")
    record.parent.mkdir(parents=True)
    record.write_text(torn)
    assert imaging.last_build(layout, "localhost/aada/app:dev") is None


def test_an_image_that_was_never_built_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match=r"tests\.testbed images"):
        imaging.require_build(Layout("test", tmp_path), "localhost/aada/app:dev")


def test_checkouts_do_not_overwrite_each_others_images_and_share_the_base() -> None:
    one, two = Layout("one", Path("/cache")), Layout("two", Path("/cache"))
    tag = "localhost/aada/operator:dev"
    assert imaging.local_name(one, tag) != imaging.local_name(two, tag)
    assert imaging.local_name(one, BASE) == imaging.local_name(two, BASE) == BASE


def test_pip_settings_of_the_environment_reach_the_build() -> None:
    environment = {
        "PIP_INDEX_URL": "https://packages.example.org/simple",
        "PIP_CERT": "/my/ca.crt",
        "PIP_NO_INPUT": "1",
    }
    lines = imaging.pip_configuration(environment).splitlines()
    assert lines[0] == "[global]"
    assert {"index-url = https://packages.example.org/simple", "cert = /my/ca.crt"} <= set(lines)
    assert "no-input" not in " ".join(lines)


def image_folder(folder: Path, *layers: bytes) -> dict[str, str]:
    """An exported image; returns the digests of its blobs by content."""
    folder.mkdir()
    digests = {}
    for blob in (b"config", *layers):
        digest = hashlib.sha256(blob).hexdigest()
        (folder / digest).write_bytes(blob)
        digests[blob.decode()] = f"sha256:{digest}"
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"digest": digests["config"]},
        "layers": [{"digest": digests[layer.decode()]} for layer in layers],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return digests


def built(layout: Layout, cluster: str, digests: dict[str, str]) -> None:
    """The record of a cluster's last build of the application."""
    record = layout.cache / "buildah" / "builds" / cluster / "localhost_aada_app_dev"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"inputs": "of today", "image_id": digests["config"]}))


def test_an_image_is_taken_from_buildah_once_for_all_clusters_of_a_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    def push(argv: list[str | Path], **_: object) -> str:
        taken.append(argv[-2])
        folder = Path(str(argv[-1]).removeprefix("dir:"))
        shutil.copytree(tmp_path / "image", folder)
        (folder / "version").write_text("Directory Transport Version: 1.1\n")
        return ""

    monkeypatch.setattr(imaging, "run", push)
    digests = image_folder(tmp_path / "image", b"base", b"code")
    first, second = (Layout(name, tmp_path / "cache") for name in ("first", "second"))
    for layout in (first, second):
        built(layout, layout.name, digests)
    manifest = imaging.export(first, "localhost/aada/app:dev")
    assert imaging.export(second, "localhost/aada/app:dev") == manifest
    assert taken == ["localhost/first/aada/app:dev"]
    assert imaging.blobs_of(manifest) == [digests["config"], digests["base"], digests["code"]]
    assert {path.name for path in manifest.parent.iterdir()} == {
        manifest.name,
        *(digest.removeprefix("sha256:") for digest in digests.values()),
    }


def test_exported_images_that_are_no_longer_anybodys_last_build_are_removed(tmp_path: Path) -> None:
    layout = Layout("mine", tmp_path)
    old, new = (image_folder(tmp_path / name, b"base", name.encode()) for name in ("old", "new"))
    exported = tmp_path / "exported"
    exported.mkdir()
    for name, digests in (("old", old), ("new", new)):
        digests["config"] = f"sha256:{hashlib.sha256(name.encode() * 2).hexdigest()}"
        (exported / digests["config"].removeprefix("sha256:")).write_text(name * 2)
        content = json.loads((tmp_path / name / "manifest.json").read_text())
        content["config"]["digest"] = digests["config"]
        (exported / f"{digests['config'].removeprefix('sha256:')}.json").write_text(json.dumps(content))
        for layer in ("base", name):
            (exported / digests[layer].removeprefix("sha256:")).write_text(layer)
    built(layout, "mine", new)
    (tmp_path / "buildah" / "builds" / "mine" / "torn").write_text("{")
    imaging.prune(layout)
    kept = {path.name for path in exported.iterdir()}
    image_id = new["config"].removeprefix("sha256:")
    assert kept == {f"{image_id}.json", image_id, *(new[part].removeprefix("sha256:") for part in ("base", "new"))}


def test_layers_that_the_node_has_do_not_travel(tmp_path: Path) -> None:
    digests = image_folder(tmp_path / "image", b"base", b"code")
    archive = tmp_path / "image.tar"
    write_archive(tmp_path / "image" / "manifest.json", "localhost/aada/app:dev", archive, present={digests["base"]})
    with tarfile.open(archive) as tar:
        names = set(tar.getnames())
        index = json.load(tar.extractfile("index.json") or pytest.fail("no index"))
    assert f"blobs/{digests['code'].replace(':', '/')}" in names
    assert f"blobs/{digests['config'].replace(':', '/')}" in names
    assert f"blobs/{digests['base'].replace(':', '/')}" not in names
    assert f"blobs/{index['manifests'][0]['digest'].replace(':', '/')}" in names


def test_a_manifest_cannot_name_files_outside_the_image(tmp_path: Path) -> None:
    image_folder(tmp_path / "image", b"base")
    manifest = tmp_path / "image" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["layers"] = [{"digest": "sha256:../../etc/passwd"}]
    manifest.write_text(json.dumps(content))
    with pytest.raises(TestbedError, match="damaged"):
        write_archive(manifest, "localhost/aada/app:dev", tmp_path / "image.tar", present=set())


@pytest.mark.parametrize(
    ("file", "tag"),
    [
        ("node/local-path-pod.yaml", BASE),
        ("node/containerd.toml", PAUSE),
        ("manifests/postgres.yaml", POSTGRES_SERVER),
        ("manifests/s3.yaml", S3_SERVER),
        ("manifests/metrics-server.yaml", METRICS),
        ("manifests/pgbouncer.yaml", POOLER),
        ("manifests/secrets-manager.yaml", STORE),
    ],
)
def test_manifests_name_the_versions_of_the_table(file: str, tag: str) -> None:
    assert tag in (TESTBED / file).read_text()


def test_every_image_has_its_dockerfile() -> None:
    assert {path.parent.name for path in (CHECKOUT / "tests/testbed/images").glob("*/Dockerfile")} == {
        "base",
        "metrics-server",
        "pause",
        "pgbouncer",
        "postgres",
        "secrets-manager",
        "versitygw",
    }
