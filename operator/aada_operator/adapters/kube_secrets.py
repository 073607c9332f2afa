"""Secrets of the API server, read when they are needed: never watched, never kept, never quoted."""

import base64
import binascii
from collections.abc import Iterable

from aada_operator.adapters.kube import Kube
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import SECRETS
from aada_operator.core.worker_jobs import SecretMount


async def read_keys(kube: Kube, namespace: str, name: str, keys: Iterable[str]) -> dict[str, bytes]:
    """The values of some keys of a Secret.

    Raises:
        Waiting: SecretMissing, there is no such Secret, or it lacks a key.
    """
    secret = await kube.get(SECRETS, namespace, name)
    if secret is None:
        raise Waiting("SecretMissing", f"Secret {name} does not exist: create it")
    data = secret.get("data") or {}
    if missing := [key for key in keys if not data.get(key)]:
        raise Waiting("SecretMissing", f"Secret {name} has no key {', '.join(missing)}: add it")
    try:
        return {key: base64.b64decode(data[key], validate=True) for key in keys}
    except binascii.Error:
        raise Waiting("SecretMissing", f"Secret {name} is not valid base64: write it anew") from None


async def require_mounts(kube: Kube, namespace: str, mounts: Iterable[SecretMount]) -> None:
    """Prove that all files of a worker Job will be there: a pod without them would hang without a word.

    Raises:
        Waiting: SecretMissing, as in `read_keys`.
    """
    for mount in (mount for mount in mounts if not mount.optional):
        await read_keys(kube, namespace, mount.secret, mount.items)
