"""The bundle of a backup, opened in the operator itself: it is small, and nothing of it is kept or told."""

from aada_operator.adapters.kube import Kube
from aada_operator.adapters.kube_secrets import read_keys
from aada_operator.adapters.object_store import ObjectStore
from aada_operator.adapters.sealed import open_bundle, parse_identities
from aada_operator.adapters.storage import ask
from aada_operator.api.bundle import Bundle
from aada_operator.api.common import SecretKeyRef
from aada_operator.api.location import Location
from aada_operator.api.manifest import Manifest, Part, lms_folder
from aada_operator.api.task import CORRUPT
from aada_operator.core.errors import Stalled

# A worker packs 4 MiB of Secrets at the most.
MOST_BYTES = 16 * 2**20


async def fetch_bundle(
    kube: Kube,
    namespace: str,
    store: ObjectStore,
    location: Location,
    manifest: Manifest,
    identity: SecretKeyRef | None,
) -> Bundle | None:
    """The bundle of the backup at a location; None for a backup that has none.

    Raises:
        Waiting: SecretMissing; the storage cannot be read.
        Stalled: WrongKey; Corrupt, it is not what was written.
    """
    part = manifest.bundle_part
    if part is None:
        return None
    data = await _download(store, location, part)
    identities = parse_identities(await _identity(kube, namespace, identity)) if part.encryption == "age" else []
    return open_bundle(data, part, identities)


async def _download(store: ObjectStore, location: Location, part: Part) -> bytes:
    if max(part.size, part.plain_size) > MOST_BYTES:
        raise Stalled(CORRUPT, f"part {part.key} is larger than any bundle; use another backup")
    data = await ask(store.get, f"{lms_folder(location.prefix)}/{part.key}", part.size)
    if data is None:
        raise Stalled(CORRUPT, f"part {part.key} is missing from the bucket; use another backup")
    return data


async def _identity(kube: Kube, namespace: str, reference: SecretKeyRef | None) -> str:
    if reference is None:
        return ""
    found = await read_keys(kube, namespace, reference.name, [reference.key])
    return found[reference.key].decode(errors="replace")
