"""What one visit to an AadaLms knows so far: each sub-reconciler adds its part, later ones read it."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from aada_operator.adapters.kube import Kube
from aada_operator.api.common import REVISION_PREFIX
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.core.controller import Visit
from aada_operator.core.database import ServerFacts
from aada_operator.core.interlock import Claim
from aada_operator.core.resources import SECRETS, Object, key_of
from aada_operator.core.secret_versions import version_for_pods
from aada_operator.lms.pod import SecretNeed
from aada_operator.lms.rollout import Rollout

SECRET_MISSING = "SecretMissing"  # noqa: S105 - a reason
LmsVisit = Visit[AadaLmsSpec]


@dataclass
class Secrets:
    """The Secrets of one namespace, each read once per visit, by name."""

    kube: Kube
    namespace: str
    _read: dict[str, Object | None] = field(default_factory=dict)

    async def get(self, name: str) -> Object | None:
        """The Secret as it is on the server, None when there is none."""
        if name not in self._read:
            self._read[name] = await self.kube.get(SECRETS, self.namespace, name)
        return self._read[name]

    async def missing(self, needs: Iterable[SecretNeed]) -> list[str]:
        """Of what is needed, that which is not there, as ``Secret x (key y)``."""
        lacking = []
        for need in needs:
            secret = await self.get(need.secret)
            if secret is None:
                lacking.append(f"Secret {need.secret}")
            elif need.key and need.key not in (secret.get("data") or {}):
                lacking.append(f"key {need.key} in Secret {need.secret}")
        return list(dict.fromkeys(lacking))

    async def version(self, needs: Iterable[SecretNeed]) -> str:
        """A fingerprint that changes whenever one of the Secrets does for its pods; empty for no needs.

        It is made of the API server's versions: a hash of the content could be guessed at, and everybody who may look
        at a pod would see it.
        """
        names = sorted({need.secret for need in needs})
        found = [(name, (await self.get(name)) or {"metadata": {}}) for name in names]
        text = json.dumps([(name, body["metadata"].get("uid"), version_for_pods(body)) for name, body in found])
        return hashlib.sha256(text.encode()).hexdigest()[:16] if names else ""

    async def revisions(self, needs: Iterable[SecretNeed]) -> dict[str, str]:
        """Which rotations the Secrets' contents are of, as annotations; none for what was never rotated."""
        found: dict[str, str] = {}
        for name in sorted({need.secret for need in needs}):
            annotations = ((await self.get(name)) or {}).get("metadata", {}).get("annotations") or {}
            found |= {key: value for key, value in annotations.items() if key.startswith(REVISION_PREFIX)}
        return found

    def forget(self, name: str) -> None:
        """Read a Secret anew next time."""
        self._read.pop(name, None)


@dataclass
class World:
    """``revision`` is None for an empty database, and means something only when ``connected``.

    ``schema_current`` opens the gate for rollouts; ``stood_in`` are components whose users are sent to pods that stand
    in for their own; ``progress`` says what is on its way, empty when nothing is.
    ``scaled`` are the components whose size is a policy's, with the most pods that they may have.
    """

    secrets: Secrets
    claims: tuple[Claim, ...] = ()
    facts: ServerFacts | None = None
    connected: bool = False
    revision: str | None = None
    schema_current: bool = False
    stood_in: frozenset[str] = frozenset()
    rollouts: tuple[Rollout, ...] = ()
    progress: str = ""
    blocked: tuple[str, ...] = ()
    scaled: dict[str, int] = field(default_factory=dict)


def described(visit: LmsVisit) -> str:
    """The object's name in log lines."""
    return str(key_of(visit.body))
