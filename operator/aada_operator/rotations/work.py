"""One visit to one SecretRotation: the LMS, the Secret that is rotated, and the revisions of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from aada_operator.adapters.kube import Kube
from aada_operator.adapters.referenced import lms_spec
from aada_operator.api.common import seconds
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.api.rotation import ANNOTATION_ROTATE_AT, SecretRotationSpec
from aada_operator.core.clock import from_rfc3339
from aada_operator.core.controller import Visit
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import AADA_LMS, SECRETS, Object
from aada_operator.rotations import decide
from aada_operator.rotations.manifests import (
    ANNOTATION_OF,
    LABEL_ROTATION,
    Revision,
    annotations,
    in_use_since,
    mark_of,
    values,
)
from aada_operator.rotations.publication import published_at, revision_of
from aada_operator.rotations.target import LOGIN_KEYS, Target, target
from aada_operator.rotations.timing import Timing


@dataclass
class Work:
    """``kept`` is the Secret's content before the rotation, ``fresh`` what it brings; None when it made none yet.

    ``strategy`` is that of the rotation under way, whatever the spec says meanwhile.
    """

    kube: Kube
    allow_local: bool
    visit: Visit[SecretRotationSpec]
    lms: Object
    spec: AadaLmsSpec
    strategy: str
    target: Target
    live: Object
    kept: Revision | None = None
    fresh: Revision | None = None

    @property
    def status(self) -> dict[str, Any]:
        return self.visit.status

    @property
    def secret(self) -> str:
        """Name of the Secret."""
        return self.target.secret

    @property
    def lms_name(self) -> str:
        return str(self.lms["metadata"]["name"])

    @cached_property
    def data(self) -> dict[str, str]:
        """What the Secret holds."""
        return values(self.live)

    @property
    def revision(self) -> int:
        """The revision that the application has."""
        return decide.revision_number(self.live_revision)

    @property
    def live_revision(self) -> str:
        """The same by name; empty for what was never rotated."""
        return revision_of(self.live, self.visit.name)

    @property
    def mark(self) -> str:
        """The annotation with the revision, on the Secret and on pods."""
        return mark_of(self.visit.name)

    @property
    def since(self) -> datetime:
        """Since when it has it."""
        return in_use_since(self.live, self.visit.name)

    @property
    def published_at(self) -> datetime:
        """When it got it: later than that, when it went back to it."""
        return published_at(self.live, self.visit.name)

    @property
    def timing(self) -> Timing:
        """When the next one begins."""
        made = from_rfc3339(self.visit.body["metadata"]["creationTimestamp"])
        asked = self.visit.annotations.get(ANNOTATION_ROTATE_AT, "")
        return Timing(self.visit.spec, self.spec.maintenance_windows, self.since, made, asked, self.visit.now)

    @property
    def is_out_of_time(self) -> bool:
        """Whether ``drainTimeout`` is over, counted from what is new, and anew from its publication."""
        assert self.fresh, "nothing takes time before"  # noqa: S101
        since = self.since if self.revision >= self.fresh.number else self.fresh.made_at
        return self.visit.now - since > timedelta(seconds=seconds(self.visit.spec.drain_timeout))

    def has(self, data: dict[str, str]) -> bool:
        """Whether the Secret has these values, as far as they are ours."""
        return all(self.data.get(key) == data.get(key) for key in self.target.keys)


async def observe(kube: Kube, allow_local: bool, visit: Visit[SecretRotationSpec]) -> Work:
    """Read what a visit starts from.

    Raises:
        Waiting: AadaLmsNotFound, AadaLmsInvalid, SecretMissing, SecretUnreadable.
        Stalled: as `target`.
    """
    name = visit.spec.lms_ref.name
    body = await kube.get(AADA_LMS, visit.namespace, name)
    spec = lms_spec(body, name)
    found = await revisions(kube, visit)
    kept = max((r for r in found if not r.is_new), key=lambda r: r.number, default=None)
    fresh = max((r for r in found if r.is_new), key=lambda r: r.number, default=None)
    strategy = (fresh and fresh.strategy) or visit.spec.chosen_strategy
    wanted = target(visit.spec, strategy, spec, name)
    live = await kube.get(SECRETS, visit.namespace, wanted.secret)
    if body is None or live is None:
        message = f"Secret {wanted.secret} does not exist: create it, unless the AadaLms is about to make it"
        raise Waiting("SecretMissing", message, 15.0)
    _demand_text(live, wanted)
    return Work(kube, allow_local, visit, body, spec, strategy, wanted, live, kept, fresh)


async def revisions(kube: Kube, visit: Visit[SecretRotationSpec]) -> list[Revision]:
    """The Secrets of revisions that this very SecretRotation made."""
    found = await kube.list(SECRETS, visit.namespace, {LABEL_ROTATION: visit.name})
    return [Revision(one) for one in found if annotations(one).get(ANNOTATION_OF) == visit.uid]


def _demand_text(live: Object, wanted: Target) -> None:
    """Further keys of a signing key may be empty; the first one never is."""
    try:
        held = values(live)
    except ValueError:
        raise Waiting("SecretUnreadable", f"Secret {wanted.secret} holds something that is no text", 60.0) from None
    needed = wanted.keys if wanted.keys == LOGIN_KEYS else wanted.keys[:1]
    missing = [key for key in needed if not held.get(key)] + [key for key in wanted.keys if key not in held]
    if missing:
        names = ", ".join(dict.fromkeys(missing))
        raise Waiting("SecretMissing", f"Secret {wanted.secret} has no key {names}: add it", 60.0)
