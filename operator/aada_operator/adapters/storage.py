"""The buckets of policies and backups, as the operator reaches them: credentials from Secrets, calls in threads."""

import asyncio
import hashlib
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from aada_operator.adapters.kube import Kube
from aada_operator.adapters.kube_secrets import read_keys
from aada_operator.adapters.object_store import ObjectStore
from aada_operator.adapters.s3_client import AccessKeys
from aada_operator.api.backup import FilesCheckpoint
from aada_operator.api.location import Location
from aada_operator.api.manifest import Manifest, manifest_key, parse_manifest
from aada_operator.api.task import CORRUPT, STORAGE_UNREACHABLE
from aada_operator.api.uploads import checkpoint_key, parse_checkpoint
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.names import qualified_url

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

# A server that hangs must neither hold up the visits to other objects nor use up the threads of other adapters.
PATIENCE = 10.0
THREADS = 16


@dataclass(frozen=True)
class StoredManifest:
    """A manifest as it lies in the bucket; ``sha256`` is of its bytes, in hexadecimal."""

    manifest: Manifest
    sha256: str


async def open_store(kube: Kube, namespace: str, location: Location, allow_local: bool) -> ObjectStore:
    """The bucket of a location, with the credentials (and the CA) that its Secrets hold now.

    Raises:
        Waiting: SecretMissing.
    """
    keys = await read_access_keys(kube, namespace, location.credentials_secret)
    ca_file = await _ca_file(kube, namespace, location) if location.ca_secret else None
    endpoint = qualified_url(location.endpoint, namespace)
    seen = location.model_copy(update={"endpoint": endpoint})
    return ObjectStore(seen.s3(allow_local), lambda: keys, ca_file)


async def read_access_keys(kube: Kube, namespace: str, secret: str) -> AccessKeys:
    """The keys that a Secret holds now; raises Waiting, SecretMissing."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    found = await read_keys(kube, namespace, secret, names)
    return AccessKeys(*(found[name].decode(errors="replace").strip() for name in names))


async def _ca_file(kube: Kube, namespace: str, location: Location) -> Path:
    """The CA as a file, which is all that the TLS library takes; one file per content."""
    found = await read_keys(kube, namespace, location.ca_secret, [location.ca_key])
    certificate = found[location.ca_key]
    path = _private_folder() / f"{hashlib.sha256(certificate).hexdigest()}.pem"
    if not path.exists():
        path.write_bytes(certificate)
    return path


async def ask(function: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
    """Call a method of an `ObjectStore` in a thread, and wait ``PATIENCE`` seconds for its answer.

    Raises:
        Waiting: StorageUnreachable, no answer in time; the thread ends by itself when its request does.
        Exception: whatever the function raises.
    """
    try:
        return await asyncio.wait_for(in_thread(function, *args, **kwargs), PATIENCE)
    except TimeoutError:
        raise Waiting(STORAGE_UNREACHABLE, f"the storage did not answer within {PATIENCE:.0f} s") from None


def in_thread(
    function: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> "asyncio.Future[Answer]":
    """Call a method of an `ObjectStore` in one of the threads for storage."""
    return asyncio.get_running_loop().run_in_executor(_threads(), partial(function, *args, **kwargs))


async def fetch_manifest(store: ObjectStore, location: Location) -> StoredManifest | None:
    """The manifest of the backup at a location, None when no backup was completed there.

    Raises:
        Waiting: the storage cannot be reached or read.
        Stalled: Corrupt, what lies there is no manifest that this version can read.
    """
    data = await ask(store.get, manifest_key(location.prefix))
    if data is None:
        return None
    try:
        return StoredManifest(parse_manifest(data), hashlib.sha256(data).hexdigest())
    except ValueError:
        raise Stalled(
            CORRUPT,
            f"{manifest_key(location.prefix)} is no manifest that this version can read: look at it, move it away",
        ) from None


async def fetch_checkpoint(store: ObjectStore, location: Location) -> FilesCheckpoint | None:
    """The checkpoint of users' files beside the manifest at a location, None when there is none.

    Raises:
        Waiting: the storage cannot be reached or read.
        Stalled: Corrupt, what lies there is none that this version can read.
    """
    key = checkpoint_key(location.prefix)
    data = await ask(store.get, key)
    try:
        return parse_checkpoint(data) if data is not None else None
    except ValueError:
        raise Stalled(CORRUPT, f"{key} is no checkpoint that this version can read: look at it, move it away") from None


async def remove_manifest(store: ObjectStore, location: Location, sha256: str) -> bool:
    """Delete the manifest of a backup: from then on there is none. True when there was none already.

    Its checkpoint of users' files goes first: a later backup of that name must not find it.

    False: the bucket refuses, or another backup's manifest lies there by now.

    Raises:
        Waiting: the storage cannot be reached.
        Stalled: Corrupt, what lies there is no manifest that this version can read.
    """
    found = await fetch_manifest(store, location)
    if found is None:
        return True
    if found.sha256 != sha256 or not await ask(store.delete, checkpoint_key(location.prefix)):
        return False
    return await ask(store.delete, manifest_key(location.prefix))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="storage")


@cache
def _private_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="aada-ca-"))
