"""What killed tries leave in a bucket: said to be at work, or never completed."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aada_operator.adapters.object_store import ObjectStore
from aada_operator.api.manifest import INTENTS, lms_folder
from aada_operator.core.clock import SystemClock, to_rfc3339
from aada_operator.core.errors import OperatorError

logger = logging.getLogger(__name__)


@contextmanager
def intent(store: ObjectStore, folder: str, name: str, document: Mapping[str, str | None]) -> Iterator[None]:
    """While the body runs an object says that it may come to need chunks that are there: nothing is collected then.

    Raises:
        OperatorError: the bucket cannot be written.
    """
    key = f"{lms_folder(folder)}/{INTENTS}/{name}.json"
    store.put_if_absent(key, json.dumps({**document, "createdAt": to_rfc3339(SystemClock().now())}).encode())
    try:
        yield
    finally:
        _forget(store, key)


def _forget(store: ObjectStore, key: str) -> None:
    """An intent that stays only keeps chunks a little longer."""
    try:
        store.delete(key)
    except OperatorError as error:
        logger.warning("an intent stays: %s", error)


def abort_stale_uploads(store: ObjectStore, below: str) -> None:
    """Free what killed tries left below a folder; a server that forbids it is no reason to do nothing else."""
    try:
        aborted = store.abort_stale_uploads(f"{below}/")
    except OperatorError as error:
        logger.warning("stale uploads cannot be aborted: %s", error)
        return
    if aborted:
        logger.info("aborted %d stale uploads", aborted)
