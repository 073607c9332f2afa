"""The Secret with the key that chunks are named with, one for each LMS."""

from aada_operator.adapters.kube import Kube
from aada_operator.backups import manifests
from aada_operator.core.bundle import chunk_key_name
from aada_operator.core.resources import SECRETS


async def ensure_chunk_key(kube: Kube, namespace: str, lms: str) -> None:
    """Make the Secret unless it is there."""
    if await kube.get(SECRETS, namespace, chunk_key_name(lms)) is None:
        await kube.create(SECRETS, manifests.chunk_key(namespace, lms))
