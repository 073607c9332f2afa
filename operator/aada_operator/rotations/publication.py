"""How the Secret that is rotated gets other values, and since when it has them; pure."""

from collections.abc import Mapping
from datetime import datetime

from aada_operator.api.common import GROUP
from aada_operator.core.clock import from_rfc3339, to_rfc3339
from aada_operator.core.resources import Object
from aada_operator.rotations.manifests import SINCE_PREFIX, annotations, encoded, in_use_since, mark_of

# On the application's Secret, with the name of the SecretRotation: when it got its credentials, also those that it had
# before.
_PUBLISHED_PREFIX = f"published-at.{GROUP}/"


def published_at(live: Object, rotation: str) -> datetime:
    """When the Secret got the values that it has, for the first time or again."""
    text = annotations(live).get(f"{_PUBLISHED_PREFIX}{rotation}")
    return from_rfc3339(text) if text else in_use_since(live, rotation)


def publication(data: Mapping[str, str], rotation: str, name: str, since: datetime, now: datetime) -> Object:
    """The patch that gives the Secret other values, under the name of a revision; in use ``since`` then."""
    times = {SINCE_PREFIX: since, _PUBLISHED_PREFIX: now}
    marks = {mark_of(rotation): name} | {f"{prefix}{rotation}": to_rfc3339(time) for prefix, time in times.items()}
    return {"data": encoded(data), "metadata": {"annotations": marks}}
