"""How the Secret that is rotated gets other values, and since when it has them; pure."""

from collections.abc import Mapping
from datetime import datetime

from aada_operator.api.common import GROUP
from aada_operator.core.clock import from_rfc3339, to_rfc3339
from aada_operator.core.resources import Object
from aada_operator.core.secret_versions import ANNOTATION_UNNOTICED, unnoticed
from aada_operator.rotations.manifests import SINCE_PREFIX, annotations, encoded, in_use_since, mark_of

# On the application's Secret, with the name of the SecretRotation: when it got its credentials, also those that it had
# before.
_PUBLISHED_PREFIX = f"published-at.{GROUP}/"
# The revision of a content that no pod was restarted with: it is not on them.
_QUIET_PREFIX = f"quiet-rotation.{GROUP}/"


def published_at(live: Object, rotation: str) -> datetime:
    """When the Secret got the values that it has, for the first time or again."""
    text = annotations(live).get(f"{_PUBLISHED_PREFIX}{rotation}")
    return from_rfc3339(text) if text else in_use_since(live, rotation)


def revision_of(live: Object, rotation: str) -> str:
    """The revision of the Secret's content by name; empty for what was never rotated."""
    found = annotations(live)
    return found.get(f"{_QUIET_PREFIX}{rotation}") or found.get(mark_of(rotation), "")


def publication(data: Mapping[str, str], rotation: str, name: str, since: datetime, now: datetime) -> Object:
    """The patch that gives the Secret other values, under the name of a revision; in use ``since`` then."""
    marks = {mark_of(rotation): name, f"{_QUIET_PREFIX}{rotation}": None, ANNOTATION_UNNOTICED: None}
    return {"data": encoded(data), "metadata": {"annotations": marks | _times(rotation, since, now)}}


def quiet(patch: Object, live: Object, rotation: str) -> Object:
    """The same without a restart: the annotations that the AadaLms gives its pods stay as they are."""
    marks = dict(patch["metadata"]["annotations"])
    marks |= {f"{_QUIET_PREFIX}{rotation}": marks.pop(mark_of(rotation))} | unnoticed(live, patch["data"])
    return {"data": patch["data"], "metadata": {"annotations": marks}}


def _times(rotation: str, since: datetime, now: datetime) -> dict[str, str]:
    return {f"{SINCE_PREFIX}{rotation}": to_rfc3339(since), f"{_PUBLISHED_PREFIX}{rotation}": to_rfc3339(now)}
