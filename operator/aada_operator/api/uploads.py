"""Users' files: what a policy says of them, what their workers are told and answer, and the checkpoint of a backup."""

import json
from typing import Annotated, Literal

from pydantic import Field

from aada_operator.api.backup import FilesCheckpoint
from aada_operator.api.common import Duration, Model, StatusModel, Timestamp
from aada_operator.api.storage import S3
from aada_operator.api.task import S3Location

FORMAT_VERSION = "1.0"
CHECKPOINT_NAME = "uploads.json"
# Beside the folders of namespaces, none of which can have such a name: collections never look into it.
UPLOADS = "_uploads"
LISTS = "_uploads-lists"
# Where a Job sees the claim.
CLAIM_PATH = "/uploads"


class UploadsCheck(Model):
    """Which files the database names; asked in the restored copy of a verification."""

    sql: Annotated[
        str,
        Field(
            min_length=1,
            max_length=4096,
            description="A query whose first column is a path below the claim's root, without leading slash.",
        ),
    ]
    sample: Annotated[int, Field(ge=1, le=10000, description="How many of them, by chance, are looked for.")] = 100


class Uploads(Model):
    """Where users' files (the AadaLms' storage.uploads) are copied to; nothing is ever deleted there."""

    s3: Annotated[S3, Field(description="An S3 bucket with versioning; may be that of the backups.")]
    interval: Annotated[Duration, Field(description="How often what is new is copied.")] = "5m"
    check: Annotated[UploadsCheck | None, Field(description="Files that the database names must be in the bucket.")] = (
        None
    )


class UploadsStatus(StatusModel):
    """How far the copies of users' files are."""

    number: Annotated[int, Field(ge=0, description="Number of the last Job.")] = 0
    result: Annotated[str, Field(max_length=32, description="Running, Done or Failed.")] = ""
    reason: Annotated[str, Field(max_length=64, description="Why it failed.")] = ""
    message: Annotated[str, Field(max_length=1024, description="Why, for people.")] = ""
    claim: Annotated[str, Field(max_length=253, description="The claim that is copied.")] = ""
    started_at: Annotated[Timestamp | None, Field(description="When the last one began.")] = None
    finished_at: Annotated[Timestamp | None, Field(description="When the last one ended.")] = None
    failures: Annotated[int, Field(ge=0, description="Failed ones since the last good one.")] = 0
    last_sync: Annotated[
        Timestamp | None, Field(description="What was in the claim when this sync began is in the bucket.")
    ] = None
    files: Annotated[int, Field(ge=0, description="Files in the bucket.")] = 0
    bytes: Annotated[int, Field(ge=0, description="Their bytes.")] = 0
    transferred_files: Annotated[int, Field(ge=0, description="Files that travelled with the last good one.")] = 0
    transferred_bytes: Annotated[int, Field(ge=0, description="Their bytes.")] = 0
    unsettled: Annotated[int, Field(ge=0, description="Files that were being written: left to the next one.")] = 0
    skipped: Annotated[int, Field(ge=0, description="Links and devices, which are no files and are not copied.")] = 0
    versioned: Annotated[bool | None, Field(description="Whether the bucket keeps versions; absent: not told.")] = None
    deletes: Annotated[str, Field(max_length=64, description="Lifecycle rule that deletes users' files.")] = ""
    backups: Annotated[
        list[Annotated[str, Field(max_length=63)]],
        Field(max_length=20, description="Backups that got their checkpoint from the last good one."),
    ] = []


class SyncTask(Model):
    """Copy what is new in the claim to ``folder``; then write a checkpoint for each of ``backups``."""

    storage: Annotated[S3Location, Field(description="Where to.")]
    folder: Annotated[str, Field(description="Key prefix of the files, see `uploads_folder`.")]
    backup_storage: Annotated[S3Location, Field(description="Where the backups are.")]
    backups: Annotated[
        list[str],
        Field(description="Folders of completed backups that have no checkpoint; then every file is compared."),
    ] = []


class SyncResult(StatusModel):
    """What a sync did; ``files`` and ``bytes`` are what the bucket holds as of ``checkpoint``, by its own clock.

    ``backups`` are the names of those that have their checkpoint now.
    """

    checkpoint: str
    files: int
    bytes: int
    transferred_files: int
    transferred_bytes: int
    unsettled: int = 0
    skipped: int = 0
    versioned: bool | None = None
    deletes: str = ""
    backups: list[str] = []


class RestoreFilesTask(Model):
    """Bring the files of a checkpoint into the claim."""

    storage: Annotated[S3Location, Field(description="Where the files are.")]
    folder: Annotated[str, Field(description="Key prefix of the files.")]
    list_key: Annotated[str, Field(description="Object with the version of each of them.")]
    list_sha256: Annotated[str, Field(description="Its hash.")]
    overwrite: Annotated[bool, Field(description="Whether a file that is there and differs is replaced.")] = False


class RestoreFilesResult(StatusModel):
    """What is in the claim now; ``kept`` files were there, differ, and were left as they are."""

    files: int
    bytes: int
    copied: int
    kept: int = 0


class CheckpointDocument(FilesCheckpoint):
    """``uploads.json`` beside the manifest of a backup; written once, by the first sync after the backup."""

    format: Literal["lms.aada.edu/uploads-checkpoint"] = "lms.aada.edu/uploads-checkpoint"
    format_version: str = FORMAT_VERSION


def uploads_folder(prefix: str, namespace: str, lms: str) -> str:
    """Key prefix of the users' files of one LMS, without a trailing slash; ``prefix`` may be empty."""
    return "/".join(part for part in (prefix.strip("/"), UPLOADS, namespace, lms) if part)


def list_key(folder: str, sha256: str) -> str:
    """Key of a list of the files in ``folder``, named by its own content."""
    prefix, _, name = folder.rpartition(f"{UPLOADS}/")
    return f"{prefix}{LISTS}/{name}/{sha256}.jsonl.zst"


def checkpoint_key(folder: str) -> str:
    """Key of the checkpoint of the backup in ``folder``."""
    return f"{folder}/{CHECKPOINT_NAME}"


def parse_checkpoint(data: bytes) -> CheckpointDocument:
    """The checkpoint in an object.

    Raises:
        ValueError: it is none, or one of a format that this version does not know.
    """
    document = json.loads(data)
    major = str(document.get("formatVersion", "")).split(".")[0] if isinstance(document, dict) else ""
    if major != FORMAT_VERSION.split(".", maxsplit=1)[0]:
        raise ValueError("not a checkpoint of uploads that is known here")
    return CheckpointDocument.model_validate(document)
