"""The container images of the test bed and of the project: their names and what they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.testbed.layout import CHECKOUT, TESTBED, Layout
from tests.testbed.versions import BASE_TAG, METRICS_SERVER, POSTGRES, SAMPLE_LMS_RELEASES, VERSITYGW

REPOSITORY = "localhost/aada"
BASE = f"{REPOSITORY}/base:{BASE_TAG}"
PAUSE = f"{REPOSITORY}/pause:1"
S3_SERVER = f"{REPOSITORY}/versitygw:{VERSITYGW.version}"
METRICS = f"{REPOSITORY}/metrics-server:{METRICS_SERVER.version}"
POSTGRES_SERVER = f"{REPOSITORY}/postgres:{POSTGRES}"
POOLER = f"{REPOSITORY}/pgbouncer:1"
STORE = f"{REPOSITORY}/secrets-manager:1"
OPERATOR = f"{REPOSITORY}/operator:dev"
SAMPLE_LMS = f"{REPOSITORY}/sample-lms"

# The same for every checkout, because their tags say what is in them.
SHARED = frozenset({BASE, PAUSE, S3_SERVER, METRICS})

FOLDER = TESTBED / "images"
SAMPLE_LMS_FOLDER = CHECKOUT / "tests" / "sample_lms"


@dataclass(frozen=True)
class Image:
    """What an image is made of. `BASE_IMAGE` is added to the build arguments by the cluster that builds it."""

    tag: str
    dockerfile: Path
    context: Path
    build_args: Mapping[str, str] = field(default_factory=dict)


def postgres_server() -> Image:
    """PostgreSQL for tests and the demo, configured by the official image's variables."""
    return Image(POSTGRES_SERVER, FOLDER / "postgres" / "Dockerfile", FOLDER / "postgres")


def s3_server(layout: Layout) -> Image:
    """versitygw, an S3 server on a folder."""
    return Image(S3_SERVER, FOLDER / "versitygw" / "Dockerfile", layout.cache / VERSITYGW.folder)


def metrics_server(layout: Layout) -> Image:
    """metrics-server, which the cluster's autoscalers ask for the use of pods."""
    return Image(METRICS, FOLDER / "metrics-server" / "Dockerfile", layout.cache / METRICS_SERVER.folder)


def pooler() -> Image:
    """PgBouncer, which tests put before PostgreSQL."""
    return Image(POOLER, FOLDER / "pgbouncer" / "Dockerfile", FOLDER / "pgbouncer")


def secrets_manager() -> Image:
    """moto's server, which tests of a store outside the cluster use in place of AWS Secrets Manager."""
    return Image(STORE, FOLDER / "secrets-manager" / "Dockerfile", FOLDER / "secrets-manager")


def project_images() -> list[Image]:
    """The operator and every release of the sample LMS, as far as their Dockerfiles are there."""
    releases = [
        Image(f"{SAMPLE_LMS}:{release}", SAMPLE_LMS_FOLDER / "Dockerfile", SAMPLE_LMS_FOLDER, {"APP_VERSION": release})
        for release in SAMPLE_LMS_RELEASES
    ]
    wanted = [Image(OPERATOR, CHECKOUT / "Dockerfile", CHECKOUT), *releases]
    return [image for image in wanted if image.dockerfile.exists()]
