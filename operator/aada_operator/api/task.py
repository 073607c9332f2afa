"""What the operator tells a worker Job (`AADA_TASK`), and what the Job answers (its termination message)."""

from typing import Annotated, Any, Literal

from pydantic import Field

from aada_operator.api.bundle import BundleOrder, BundleSummary
from aada_operator.api.common import DnsLabel, Model, StatusModel
from aada_operator.api.data_key import DataKey
from aada_operator.api.ownership import Claim

# Reasons of a failed Job. Whether a retry can help is said by `Outcome.retryable`, not by the reason.
DATABASE_UNREACHABLE = "DatabaseUnreachable"
DATABASE_AUTHENTICATION_FAILED = "DatabaseAuthenticationFailed"
DATABASE_MISSING = "DatabaseMissing"
INSUFFICIENT_PRIVILEGE = "InsufficientPrivilege"
SNAPSHOT_FAILED = "SnapshotFailed"
LOCK_TIMEOUT = "LockTimeout"
DUMP_FAILED = "DumpFailed"
STORAGE_UNREACHABLE = "StorageUnreachable"
STORAGE_ACCESS_DENIED = "StorageAccessDenied"
BUCKET_NOT_FOUND = "BucketNotFound"
MANIFEST_CONFLICT = "ManifestConflict"
CORRUPT = "Corrupt"
WRONG_KEY = "WrongKey"
DIGEST_MISMATCH = "DigestMismatch"
CHECK_FAILED = "CheckFailed"
CHECK_INVALID = "CheckInvalid"
DATA_KEY_MISMATCH = "DataKeyMismatch"
NO_SPACE = "NoSpace"
TARGET_EXISTS = "TargetExists"
RESTORE_FAILED = "RestoreFailed"
VERSION_UNSUPPORTED = "VersionUnsupported"
UPLOADS_FAILED = "UploadsFailed"
UPLOADS_MISSING = "UploadsMissing"
FILES_UNREADABLE = "FilesUnreadable"
TABLE_NOT_FOUND = "TableNotFound"
TERMINATED = "Terminated"
INTERNAL = "Internal"

# S3 takes 10,000 parts for one object: larger dumps become several objects.
DEFAULT_OBJECT_BYTES = 48 * 2**30


class ObjectLock(Model):
    """For how long nobody can delete or change what is written, with whatever keys; the bucket must be made for it."""

    mode: Annotated[
        Literal["Governance", "Compliance"],
        Field(description="Governance: a right of its own lifts it. Compliance: nobody can, not even the account."),
    ]
    days: Annotated[int, Field(ge=1, le=3650, description="Days, counted from the last backup that needs an object.")]


class S3Location(Model):
    """A bucket on an S3 server; credentials are never part of it."""

    bucket: Annotated[str, Field(description="Bucket.")]
    endpoint: Annotated[str | None, Field(description="URL of the server; absent: AWS.")] = None
    region: Annotated[str, Field(description="Region.")] = "us-east-1"
    object_lock: Annotated[ObjectLock | None, Field(description="How objects are locked; absent: not.")] = None
    allow_local_endpoint: Annotated[
        bool, Field(description="Whether the endpoint may be a loopback or link-local address: for tests only.")
    ] = False


class DatabaseAddress(Model):
    """Where a database is; user and password are mounted files."""

    host: Annotated[str, Field(description="Host name, address or folder of a unix socket.")]
    port: Annotated[int, Field(description="Port.")] = 5432
    name: Annotated[str, Field(description="Name of the database.")]
    ssl_mode: Annotated[
        Literal["disable", "prefer", "require", "verify-ca", "verify-full"], Field(description="As libpq's sslmode.")
    ] = "verify-full"


class BackupTask(Model):
    """Back one database up into ``folder``."""

    name: Annotated[str, Field(description="Name of the Backup.")]
    uid: Annotated[str, Field(description="UID of the Backup.")]
    namespace: Annotated[str, Field(description="Namespace of the Backup.")]
    lms: Annotated[str, Field(description="AadaLms that is backed up.")]
    policy: Annotated[str | None, Field(description="BackupPolicy; absent: none.")] = None
    attempt: Annotated[int, Field(ge=1, description="Number of the try.")] = 1
    database: Annotated[DatabaseAddress, Field(description="What is backed up.")]
    revision_table: Annotated[
        str | None, Field(description="Table with the schema revision, as name or schema.name; absent: none.")
    ] = None
    storage: Annotated[S3Location, Field(description="Where to.")]
    folder: Annotated[str, Field(description="Key prefix of this backup, see `manifest.backup_folder`.")]
    base: Annotated[
        str | None, Field(description="Backup of the same LMS whose chunks need not travel again; absent: all do.")
    ] = None
    bundle: Annotated[BundleOrder, Field(description="What is packed besides the database.")] = BundleOrder()
    claim: Annotated[Claim | None, Field(description="Whose the folder of the LMS is to be; absent: not asked.")] = None
    recipients: Annotated[list[str], Field(description="age public keys; empty: not encrypted.")] = []
    compression_level: Annotated[int, Field(ge=1, le=19, description="Level of zstd.")] = 1
    lock_timeout_seconds: Annotated[int, Field(ge=1, description="Longest wait for the locks.")] = 30
    max_snapshot_age_seconds: Annotated[int, Field(ge=1, description="Longest life of the snapshot.")] = 3600
    streams: Annotated[int, Field(ge=1, le=16, description="Sessions that read tables at once.")] = 2
    object_bytes: Annotated[int, Field(ge=1, description="Most bytes of one object; more make another.")] = (
        DEFAULT_OBJECT_BYTES
    )
    max_rate: Annotated[int | None, Field(ge=1, description="Most bytes a second of all uploads; absent: any.")] = None


class SqlCheck(Model):
    """A question to the restored copy, and what its answer must be; a role asks that may only read."""

    name: Annotated[DnsLabel, Field(description="Name of the check.")]
    sql: Annotated[
        str, Field(min_length=1, max_length=4096, description="A query; the first column of its first row counts.")
    ]
    min: Annotated[float | None, Field(ge=-(10**15), le=10**15, description="The least that it must be.")] = None
    max: Annotated[float | None, Field(ge=-(10**15), le=10**15, description="The most that it may be.")] = None

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """The least and the most: without either, true (or any number but 0) is expected."""
        return (1, None) if self.min is None and self.max is None else (self.min, self.max)


class FilesCheck(Model):
    """Files that the restored copy names must be in the bucket as of the backup's checkpoint."""

    storage: Annotated[S3Location, Field(description="Where users' files are.")]
    folder: Annotated[str, Field(description="Their key prefix.")]
    list_key: Annotated[str, Field(description="Object with the version of each file of the checkpoint.")]
    list_sha256: Annotated[str, Field(description="Its hash.")]
    sql: Annotated[str, Field(description="A query for their paths.")]
    sample: Annotated[int, Field(ge=1, description="How many of them, by chance.")]


class VerifyTask(Model):
    """Restore the backup in ``folder`` on a scratch server and compare."""

    storage: Annotated[S3Location, Field(description="Where the backup is.")]
    folder: Annotated[str, Field(description="Key prefix of the backup.")]
    checks: Annotated[list[SqlCheck], Field(description="What must hold in the copy besides.")] = []
    files: Annotated[FilesCheck | None, Field(description="Users' files that are looked for.")] = None


class RestoreTask(Model):
    """Restore the backup in ``folder`` into a new database and compare."""

    uid: Annotated[str, Field(description="UID of the Restore: marks the database as its own.")]
    storage: Annotated[S3Location, Field(description="Where the backup is.")]
    folder: Annotated[str, Field(description="Key prefix of the backup.")]
    manifest_sha256: Annotated[
        str | None, Field(description="Hash of the manifest that was planned with; absent: whichever is there.")
    ] = None
    database: Annotated[DatabaseAddress, Field(description="Target server; `name` is the database that is made.")]
    maintenance_database: Annotated[str, Field(description="Database to connect to for making the new one.")] = (
        "postgres"
    )
    tables: Annotated[list[str], Field(description="Only these tables, see `core.tables`; empty: everything.")] = []
    checks: Annotated[list[SqlCheck], Field(description="What must hold in the database besides.")] = []
    data_key: Annotated[
        DataKey | None, Field(description="The application's key, which must decrypt a value first; absent: not asked.")
    ] = None


class CopyTask(Model):
    """Bring the backup in ``source_folder`` to a second place, where it is the same backup in ``folder``."""

    name: Annotated[str, Field(description="Name of the Backup.")]
    source: Annotated[S3Location, Field(description="Where the backup is.")]
    source_folder: Annotated[str, Field(description="Key prefix of the backup there.")]
    manifest_sha256: Annotated[str, Field(description="Hash of the manifest that the Backup recorded.")]
    storage: Annotated[S3Location, Field(description="Where the copy goes.")]
    folder: Annotated[str, Field(description="Key prefix of the copy.")]
    claim: Annotated[Claim | None, Field(description="Whose the folder of the LMS is to be; absent: not asked.")] = None
    max_rate: Annotated[int | None, Field(ge=1, description="Most bytes a second of all uploads; absent: any.")] = None


class CollectTask(Model):
    """Delete what belongs to no backup of an LMS any more."""

    storage: Annotated[S3Location, Field(description="Where the backups are.")]
    folder: Annotated[str, Field(description="Key prefix of everything of the LMS, see `manifest.lms_folder`.")]
    claim: Annotated[Claim | None, Field(description="Whose the folder must be; absent: not asked.")] = None
    min_age_seconds: Annotated[int, Field(ge=1, description="Younger objects may be of a backup that is on its way.")]


class Check(StatusModel):
    """One thing that was compared."""

    name: str
    ok: bool
    message: str = ""


class BackupResult(StatusModel):
    """What a completed backup is; everything but the hash is also in its manifest."""

    manifest_sha256: str
    adopted: bool = False
    started_at: str
    completed_at: str
    snapshot_at: str
    duration_seconds: float
    size_bytes: int
    stored_bytes: int
    new_bytes: int
    base: str | None = None
    epoch: str
    immutable_until: str | None = None
    tables: int
    rows: int
    digest: str
    schema_revision: str | None = None
    server_version: str
    system_identifier: str | None = None
    lsn: str | None = None
    encrypted: bool
    bundle: BundleSummary | None = None


class VerifyResult(StatusModel):
    """What a passed verification saw; ``restore_seconds`` is the load alone, download included."""

    tables: int
    rows: int
    digest: str
    duration_seconds: float
    restore_seconds: float
    bytes: int
    checks: list[Check]


class RestoreResult(StatusModel):
    """What a completed restore made; ``adopted``: an earlier try of this Restore had completed it.

    ``left_out`` is what belongs to chosen tables and could not come with them, in words.
    """

    database: str
    adopted: bool = False
    left_out: str = ""
    tables: int
    rows: int
    digest: str
    duration_seconds: float
    restore_seconds: float
    bytes: int
    checks: list[Check]


class CopyResult(StatusModel):
    """What a completed copy took: objects and bytes that travelled, the rest was there."""

    objects: int
    bytes: int
    duration_seconds: float
    immutable_until: str | None = None


class CollectResult(StatusModel):
    """What a collection did; ``postponed`` says why it deleted nothing, ``orphan_*`` is what stays for now."""

    postponed: str = ""
    deleted_objects: int = 0
    deleted_bytes: int = 0
    orphan_objects: int = 0
    orphan_bytes: int = 0


class Outcome(StatusModel):
    """The termination message: ``result`` of a success, or the reason of a failure."""

    ok: bool
    result: dict[str, Any] | None = None
    reason: str = ""
    message: str = ""
    retryable: bool = False
