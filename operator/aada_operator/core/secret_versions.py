"""Which version of a Secret the pods that use it are to be started with; pure.

A change that restarts nobody leaves on the Secret which version they were started with before, and a hash of what it
holds since: whatever else is changed later restarts them again. Only who may read the Secret sees the hash.
"""

import hashlib
import json
from collections.abc import Mapping

from aada_operator.api.common import GROUP
from aada_operator.core.resources import Object

ANNOTATION_UNNOTICED = f"{GROUP}/restarts-nobody"


def version_for_pods(secret: Object) -> str | None:
    """The API server's version of the last content that pods were to be restarted with; None for no Secret."""
    version: str | None = secret["metadata"].get("resourceVersion")
    noted = (secret["metadata"].get("annotations") or {}).get(ANNOTATION_UNNOTICED, "")
    before, _, content = noted.partition("/")
    return before if content == _hashed(secret.get("data") or {}) else version


def unnoticed(secret: Object, data: Mapping[str, str]) -> dict[str, str]:
    """The annotation to be written with these values (base64), so that no pod is restarted for them."""
    return {ANNOTATION_UNNOTICED: f"{version_for_pods(secret)}/{_hashed({**(secret.get('data') or {}), **data})}"}


def _hashed(data: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
