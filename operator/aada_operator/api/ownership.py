"""The marker in the folder of an LMS in a bucket: whose it is, so that nobody else writes or deletes there.

Markers are numbered and never rewritten; the highest counts. A takeover writes the next one.
"""

import json
import re
from typing import Annotated

from pydantic import Field

from aada_operator.api.common import GROUP, Model, StatusModel

OWNERS = "_owner"
# On a BackupPolicy: the uid of an AadaLms that is gone for good, whose folder is taken over.
ANNOTATION_TAKE_OVER = f"{GROUP}/take-over"
PREFIX_OWNED_BY_ANOTHER = "PrefixOwnedByAnother"
_KEY = re.compile(rf"{OWNERS}/(\d{{6}})\.json")


class FolderOwner(StatusModel):
    """Who marked a folder; ``number`` is of the marker."""

    namespace: str
    lms: str
    uid: str
    system_identifier: str | None = None
    claimed_at: str
    number: int = 0


class Claim(Model):
    """Who wants to use a folder: the AadaLms of this uid, instead of the one of ``take_over``."""

    namespace: Annotated[str, Field(description="Namespace of the AadaLms.")]
    lms: Annotated[str, Field(description="Its name.")]
    uid: Annotated[str, Field(description="Its uid; empty: there is none.")]
    take_over: Annotated[str, Field(description="UID of an owner that may be replaced; empty: none.")] = ""
    policy: Annotated[str, Field(description="Name of the BackupPolicy, for messages.")] = ""

    def accepts(self, owner: FolderOwner | None) -> bool:
        """Whether a folder that is marked for ``owner`` (None: for nobody) may be claimed."""
        return owner is None or owner.uid in (self.uid, self.take_over)

    def owns(self, owner: FolderOwner | None) -> bool:
        """Whether the folder is not another's now: what a takeover has only announced does not count."""
        return owner is None or owner.uid == self.uid


def marker_key(folder: str, number: int) -> str:
    """Key of a marker in the folder of an LMS."""
    return f"{folder}/{OWNERS}/{number:06d}.json"


def marker_number(relative: str) -> int:
    """The number of the marker under a key relative to the folder, 0 for what is none."""
    found = _KEY.fullmatch(relative)
    return int(found[1]) if found else 0


def parse_marker(data: bytes, number: int) -> FolderOwner:
    """The owner in a marker.

    Raises:
        ValueError: it is no marker.
    """
    document = json.loads(data)
    if not isinstance(document, dict):
        raise ValueError("not a marker")  # noqa: TRY004 - of a document, not of an argument
    return FolderOwner.model_validate(document | {"number": number})


def owned_message(owner: FolderOwner, folder: str, policy: str) -> str:
    """Whose the folder is, and both ways out."""
    server = f", database server {owner.system_identifier}" if owner.system_identifier else ""
    return (
        f"folder {folder} is of another AadaLms {owner.namespace}/{owner.lms} (uid {owner.uid}{server}) since "
        f"{owner.claimed_at}: give this policy another prefix, or, if that one is gone for good, take it over: "
        f"kubectl annotate bp {policy} --overwrite {ANNOTATION_TAKE_OVER}={owner.uid}"
    )
