"""``manifest.json``: the document that makes objects in a bucket a backup. It holds no secret and is written last."""

import hashlib
import json
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from aada_operator.api.bundle import BUNDLE, BundleSummary
from aada_operator.api.common import StatusModel

FORMAT = "lms.aada.edu/backup"
FORMAT_MAJOR = 1
FORMAT_MINOR = 1
MANIFEST_NAME = "manifest.json"
# Folders beside those of the backups; no Backup can have such a name.
CHUNKS = "_chunks"
INTENTS = "_intents"
DIGEST_ALGORITHM = "sum-hashtextextended-v1"


def backup_folder(prefix: str, namespace: str, lms: str, backup: str) -> str:
    """Key prefix of one backup, without a trailing slash; ``prefix`` may be empty."""
    return "/".join(part for part in (prefix.strip("/"), namespace, lms, backup) if part)


def lms_folder(folder: str) -> str:
    """Key prefix of everything of one LMS, given the ``folder`` of one of its backups."""
    return folder.rpartition("/")[0]


def manifest_key(folder: str) -> str:
    """Key of the manifest of the backup in ``folder``."""
    return f"{folder}/{MANIFEST_NAME}"


class Tools(StatusModel):
    """Versions of the programs that wrote the backup."""

    operator: str
    pg_dump: str


class Database(StatusModel):
    """The database as it was; the locale fields are what ``CREATE DATABASE`` wants."""

    name: str
    owner: str
    encoding: str
    collate: str
    ctype: str
    locale_provider: Literal["libc", "icu", "builtin"] = "libc"
    locale: str | None = None
    server_version: Annotated[int, Field(description="server_version_num, as 150018.")]
    system_identifier: str | None = None
    size_bytes: int
    lsn: str | None = None

    @property
    def server_major(self) -> int:
        return self.server_version // 10000


class Extension(StatusModel):
    """An installed extension."""

    name: str
    version: str


class Role(StatusModel):
    """A role that owns something or was granted something; ``member_of`` names roles of this list."""

    name: str
    member_of: list[str] = []


class Sequence(StatusModel):
    """A sequence, read when the snapshot was taken and again when the dump had ended.

    Sequences ignore snapshots: what the dump holds lies between the two, and is equal to both on a quiet database.
    """

    schema_: Annotated[str, Field(alias="schema")]
    name: str
    last_value: int
    is_called: bool
    last_value_after: int
    is_called_after: bool


class Sample(StatusModel):
    """Which rows a digest covers: one in ``one_in``, chosen by a hash of the primary key ``key``."""

    one_in: int
    key: list[str]


RowFormat = Literal["text", "binary"]


class Ancestor(StatusModel):
    """A partitioned table that a partition is a part of."""

    schema_: Annotated[str, Field(alias="schema")]
    name: str


class Table(StatusModel):
    """Rows and content digest of one table, partition or all large objects, without children.

    ``sample`` is missing where the digest covers all rows. ``columns`` are those of the rows in the parts of kind
    ``copy``; it is empty for a table whose rows are in the part of kind ``rest``. ``format`` is that of COPY.
    ``ancestors`` are those of a partition, the nearest first.
    """

    schema_: Annotated[str, Field(alias="schema")]
    name: str
    rows: int
    digest: str
    sample: Sample | None = None
    columns: list[str] = []
    format: RowFormat = "text"
    ancestors: list[Ancestor] = []


class Digest(StatusModel):
    """Digest over the contents of all tables."""

    algorithm: str = DIGEST_ALGORITHM
    value: str


Encrypted = Literal["age", "none"]


class Part(StatusModel):
    """One object; ``key`` is relative to the folder of the LMS, ``size`` and ``sha256`` are of the object as stored.

    The kinds: ``schema`` and ``rest`` are archives of ``pg_dump --format=custom`` with everything but rows, and with
    the few rows that COPY cannot write (large objects, tables of extensions) and the sequences. ``copy`` is what COPY
    writes of one piece of a table, in the table's format, without a header and a trailer. ``bundle`` is the document of
    `api.bundle`. A kind that a newer minor version added is looked after as all others, and not loaded. Parts that
    agree in kind, schema, table and piece are, in the order of the list, pieces of one stream. ``plain_size`` is the
    size before compression. ``content`` names the content of a chunk by a keyed hash, so that a later backup finds it
    again. ``version`` is the id of the object where its bucket is versioned: what is deleted by mistake is still there
    under it.
    """

    key: str
    kind: str
    schema_: Annotated[str | None, Field(alias="schema")] = None
    table: str | None = None
    piece: int = 0
    compression: Literal["zstd"] = "zstd"
    encryption: Encrypted
    size: int
    sha256: str
    plain_size: int
    content: str | None = None
    version: str | None = None


class ChunkStore(StatusModel):
    """Where the chunks are: ``epoch`` is the full backup that they began with.

    ``names`` tells which key and which packing the names were made with: others cannot be compared.
    """

    epoch: str
    names: str


class Encryption(StatusModel):
    """How the parts are encrypted; a fingerprint is SHA-256 of the recipient, shortened."""

    mode: Literal["Age", "None"]
    recipients: list[str] = []


class Manifest(StatusModel):
    """One completed backup. Fields that a newer minor version added are ignored."""

    format: str = FORMAT
    format_version: str = f"{FORMAT_MAJOR}.{FORMAT_MINOR}"
    backup: str
    uid: str
    namespace: str
    lms: str
    policy: str | None = None
    attempt: int
    method: Literal["logical"] = "logical"
    tools: Tools
    database: Database
    schema_revision: str | None = None
    revision_table: str | None = None
    extensions: list[Extension]
    roles: list[Role]
    sequences: list[Sequence]
    tables: list[Table]
    digest: Digest
    chunks: ChunkStore
    base: str | None = None
    new_bytes: int
    immutable_until: str | None = None
    parts: list[Part]
    bundle: BundleSummary | None = None
    encryption: Encryption
    started_at: str
    snapshot_at: str
    completed_at: str
    duration_seconds: float

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    @property
    def bundle_part(self) -> Part | None:
        """The part that holds the bundle; None for a backup that has none."""
        return next((part for part in self.parts if part.kind == BUNDLE), None)

    @property
    def stored_bytes(self) -> int:
        return sum(part.size for part in self.parts)

    @property
    def plain_bytes(self) -> int:
        return sum(part.plain_size for part in self.parts)


def parse_manifest(data: bytes) -> Manifest:
    """The manifest in an object.

    Raises:
        ValueError: it is no manifest, or one of a format that this version does not know.
    """
    document = json.loads(data)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError("not a backup manifest")
    major = str(document.get("formatVersion")).split(".")[0]
    if major != str(FORMAT_MAJOR):
        raise ValueError(f"format version {major} is not known here; use a newer operator")
    return Manifest.model_validate(document)


def overall_digest(tables: Iterable[Table]) -> str:
    """SHA-256 over all tables, whatever their order."""
    lines = sorted(f"{table.schema_}\0{table.name}\0{table.rows}\0{table.digest}\n" for table in tables)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def fingerprint(recipient: str) -> str:
    """Short name of a recipient that tells keys apart."""
    return hashlib.sha256(recipient.encode()).hexdigest()[:16]
