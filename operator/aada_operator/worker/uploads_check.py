"""Files that a restored copy names are looked for in the bucket: a sample, as of the backup's checkpoint.

Names of files are users' words (often a person's name): what is missing is told by the hash of its path, with which the
database finds it again.
"""

import hashlib
import random
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg

from aada_operator.adapters.versioned_store import VersionedStore
from aada_operator.api.task import CHECK_INVALID, UPLOADS_MISSING, Check, FilesCheck
from aada_operator.core.errors import Stalled
from aada_operator.worker.checks import read_only
from aada_operator.worker.server import Connection
from aada_operator.worker.uploads_list import read_list

_NAME = "uploads"
_SHOWN = 3
_HASH_LENGTH = 12
_PAGE = 1000


def look_for_files(connection: Connection, store: VersionedStore, check: FilesCheck, chance: random.Random) -> Check:
    """Look for a sample of the files that ``check.sql`` names.

    Raises:
        Stalled: CheckInvalid, the query fails or gives no text; UploadsMissing.
        Waiting: the bucket cannot be read.
    """
    sample = _sample(connection, check, chance)
    missing = sorted(set(sample) - _present(store, check, set(sample))) if sample else []
    if missing:
        hashes = ", ".join(_hash(path) for path in missing[:_SHOWN])
        message = f"{len(missing)} of {len(sample)} sampled files are not in the bucket as of the backup's checkpoint"
        find = f"left(encode(sha256(convert_to(path, 'UTF8')), 'hex'), {_HASH_LENGTH})"
        raise Stalled(UPLOADS_MISSING, f"{message}; their {find}: {hashes}")
    return Check(name=_NAME, ok=True, message=f"{len(sample)} sampled files are in the bucket")


def _sample(connection: Connection, check: FilesCheck, chance: random.Random) -> list[str]:
    """Each path has the same chance, and memory is bounded by the sample (reservoir sampling)."""
    chosen: list[str] = []
    try:
        with read_only(connection), connection.cursor(name="aada_paths") as cursor:
            cursor.itersize = _PAGE
            cursor.execute(check.sql.encode())
            for number, path in enumerate(_paths(cursor)):
                place = number if number < check.sample else chance.randrange(number + 1)
                if place < check.sample:
                    chosen[place : place + 1] = [path]
    except psycopg.Error as error:
        if error.sqlstate is None and isinstance(error, psycopg.OperationalError):
            raise  # the server has gone
        message = f"check uploads fails with SQLSTATE {error.sqlstate or '(it is no query)'}: correct its sql"
        raise Stalled(CHECK_INVALID, message) from None
    return chosen


def _paths(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    """The paths that a list of lines can hold."""
    for path, *_ in rows:
        if not isinstance(path, str | None):
            raise Stalled(CHECK_INVALID, "check uploads: the first column is no text: correct its sql")
        if path and "\n" not in path:
            yield path


def _present(store: VersionedStore, check: FilesCheck, paths: set[str]) -> set[str]:
    """Which of the paths the checkpoint names, and the bucket still has in that very version."""
    named = {path: found for path, found in read_list(store, check) if path in paths}
    return {path for path, found in named.items() if store.has(found)}


def _hash(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:_HASH_LENGTH]
