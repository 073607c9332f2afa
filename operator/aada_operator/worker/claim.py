"""Before a worker writes or deletes in the folder of an LMS: the marker says that it may, or is written now."""

import logging
from collections.abc import Callable

from aada_operator.adapters.folder_owner import read_owner
from aada_operator.adapters.object_store import ObjectStore
from aada_operator.api.ownership import PREFIX_OWNED_BY_ANOTHER, Claim, FolderOwner, marker_key, owned_message
from aada_operator.api.task import MANIFEST_CONFLICT
from aada_operator.core.clock import SystemClock, to_rfc3339
from aada_operator.core.errors import OperatorError, Stalled
from aada_operator.core.failpoints import failpoint

logger = logging.getLogger(__name__)


def mark(store: ObjectStore, folder: str, claim: Claim | None, system_identifier: Callable[[], str | None]) -> None:
    """Make the folder of an LMS ours unless it is; of two at once one wins, and the other sees it.

    Raises:
        Stalled: PrefixOwnedByAnother.
    """
    if claim is None:
        return
    owner = demand_claimable(store, folder, claim)
    if owner is not None and claim.owns(owner):
        return
    marker = FolderOwner(
        namespace=claim.namespace,
        lms=claim.lms,
        uid=claim.uid,
        system_identifier=system_identifier(),
        claimed_at=to_rfc3339(SystemClock().now()),
        number=owner.number + 1 if owner else 1,
    )
    failpoint("worker.backup.before-marker")
    try:
        store.put_if_absent(marker_key(folder, marker.number), marker.model_dump_json(by_alias=True).encode())
    except OperatorError as error:
        if error.reason != MANIFEST_CONFLICT:
            raise
    demand_owned(store, folder, claim)
    logger.info("the folder is marked as that of this LMS")


def demand_owned(store: ObjectStore, folder: str, claim: Claim | None) -> None:
    """Make sure that the folder of an LMS is nobody else's now.

    Raises:
        Stalled: PrefixOwnedByAnother.
    """
    owner = read_owner(store, folder)
    if claim and owner and not claim.owns(owner):
        raise Stalled(PREFIX_OWNED_BY_ANOTHER, owned_message(owner, folder, claim.policy))


def demand_claimable(store: ObjectStore, folder: str, claim: Claim) -> FolderOwner | None:
    """The present owner, if ``claim`` may take its place or is its own; raises as `demand_owned`."""
    owner = read_owner(store, folder)
    if owner and not claim.accepts(owner):
        raise Stalled(PREFIX_OWNED_BY_ANOTHER, owned_message(owner, folder, claim.policy))
    return owner
