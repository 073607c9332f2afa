"""The bundle of a backup: packed beside the dump, and read again to prove it."""

import base64
import hashlib
from pathlib import Path

from aada_operator.adapters.postgres_globals import (
    DEFINITIONS,
    GRANTS,
    NAMES,
    OWNER_AND_LIMIT,
    SETTINGS,
    database_sql,
    roles_sql,
)
from aada_operator.adapters.sealed import Identity, open_bundle
from aada_operator.api.bundle import (
    BUNDLE,
    Bundle,
    BundleOrder,
    BundleSummary,
    DatabaseDefinition,
    DatabaseGrant,
    DatabaseSetting,
    RoleDefinition,
    SecretOrder,
)
from aada_operator.api.manifest import Part
from aada_operator.core.failpoints import failpoint
from aada_operator.worker.codec import Sealer
from aada_operator.worker.destination import Destination
from aada_operator.worker.server import Connection
from aada_operator.worker.stored import StoredBackup

# All of it is held in memory, several times over.
_MOST_SECRET_BYTES = 4 * 2**20


def compose(connection: Connection, order: BundleOrder, mounted: Path) -> tuple[bytes, BundleSummary]:
    """The document: the objects of the order, the Secrets below ``mounted``, roles and properties of the database.

    Raises:
        psycopg.Error: the catalog cannot be read.
    """
    secrets, missing = _secrets(order, mounted)
    roles, database = _roles(connection), _database(connection)
    bundle = Bundle(
        kubernetes={"apiVersion": "v1", "kind": "List", "items": [*secrets, *order.objects]},
        roles_sql=roles_sql(roles),
        database_sql=database_sql(database),
        roles=roles,
        database=database,
    )
    missed = [*order.missing, *missing]
    summary = BundleSummary(objects=len(order.objects), secrets=len(secrets), roles=len(roles), missing=missed)
    return bundle.model_dump_json(by_alias=True, exclude_none=True, indent=1).encode(), summary


def store(destination: Destination, data: bytes) -> Part:
    """The document in the bucket, packed as everything else.

    Raises:
        OperatorError: the storage cannot be written.
    """
    name = destination.archive(f"{BUNDLE}-00000.json")
    sealed = Sealer(destination.task.compression_level, destination.recipients).seal(data)
    version = destination.store.write(destination.key(name), sealed)
    failpoint("worker.backup.after-bundle")
    return Part(
        key=name,
        kind=BUNDLE,
        encryption=destination.encryption,
        size=len(sealed),
        sha256=hashlib.sha256(sealed).hexdigest(),
        plain_size=len(data),
        version=version,
    )


def _secrets(order: BundleOrder, mounted: Path) -> tuple[list[dict[str, object]], list[str]]:
    """The Secrets as objects, and which of them are not: gone since they were seen, or too large."""
    found, missing, room = [], [], _MOST_SECRET_BYTES
    for secret in order.secrets:
        data = _files(mounted / secret.folder)
        size = sum(map(len, data.values()))
        if not data or size > room:
            missing.append(f"Secret/{secret.name}")
            continue
        room -= size
        found.append(_secret(secret, data))
    return found, missing


def _files(folder: Path) -> dict[str, bytes]:
    """The keys of a mounted Secret; the names that begin with two dots are the kubelet's own."""
    if not folder.is_dir():
        return {}
    files = (path for path in sorted(folder.iterdir()) if not path.name.startswith("..") and path.is_file())
    return {path.name: path.read_bytes() for path in files}


def _secret(secret: SecretOrder, data: dict[str, bytes]) -> dict[str, object]:
    labels = {"labels": secret.labels} if secret.labels else {}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret.name} | labels,
        "type": secret.type,
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


def _roles(connection: Connection) -> list[RoleDefinition]:
    names = [name for (name,) in connection.execute(NAMES.encode())]
    rows = connection.execute(DEFINITIONS.encode(), [names])
    return [RoleDefinition.model_validate(definition) for definition, _ in rows]


def _database(connection: Connection) -> DatabaseDefinition:
    name = connection.info.dbname
    owner, limit = connection.execute(OWNER_AND_LIMIT.encode(), [name]).fetchall()[0]
    grants = connection.execute(GRANTS.encode(), [name]).fetchall()
    settings = connection.execute(SETTINGS.encode(), [name]).fetchall()
    return DatabaseDefinition(
        owner=owner,
        connection_limit=limit,
        grants=[DatabaseGrant(grantee=who, privilege=what, grantable=further) for who, what, further in grants],
        settings=[DatabaseSetting(role=role, name=setting, value=value) for role, setting, value in settings],
    )


def read(backup: StoredBackup, identities: "list[Identity]") -> Bundle | None:
    """The bundle of a backup; None for one that was taken before there were any.

    Raises:
        Stalled: Corrupt, it is not what was written; WrongKey.
        Waiting: the storage cannot be read.
    """
    part = backup.manifest.bundle_part
    if part is None:
        return None
    return open_bundle(backup.store.read(backup.key(part)), part, identities)
