"""Rows of tables as objects: each chunk is compressed, encrypted, hashed and uploaded by the stream that read it."""

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from aada_operator.api.manifest import Part
from aada_operator.worker.codec import Sealer
from aada_operator.worker.destination import Destination
from aada_operator.worker.parallel import GiveUp
from aada_operator.worker.pieces import Piece
from aada_operator.worker.rows import RowSession
from aada_operator.worker.snapshot import Source

# A stream holds one of these, and for a moment its compressed and its encrypted form.
CHUNK_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Copied:
    """One piece of a table in the bucket."""

    piece: Piece
    rows: int
    parts: list[Part]


def copy_pieces(source: Source, destination: Destination, give_up: GiveUp, pieces: "deque[Piece]") -> list[Copied]:
    """Take pieces and copy them until none is left; any number of threads may do this with the same ``pieces``.

    Raises:
        OperatorError: what was copied is of no use.
    """
    sealer = Sealer(destination.task.compression_level, destination.recipients)
    with RowSession(source, CHUNK_BYTES) as session:
        give_up.by(session.kill)
        return [_copy(session, sealer, destination, piece) for piece in _taken(pieces)]


def _taken(pieces: "deque[Piece]") -> Iterator[Piece]:
    while True:
        try:
            yield pieces.popleft()
        except IndexError:
            return


def _copy(session: RowSession, sealer: Sealer, destination: Destination, piece: Piece) -> Copied:
    before = session.rows
    parts = [_store(sealer, destination, piece, number, chunk) for number, chunk in enumerate(session.read(piece))]
    return Copied(piece, session.rows - before, parts)


def _store(sealer: Sealer, destination: Destination, piece: Piece, number: int, chunk: memoryview) -> Part:
    destination.count(len(chunk))
    name = destination.name(f"copy/{piece.table.oid}-{piece.number:05d}-{number:05d}.copy")
    sealed = sealer.seal(chunk)
    destination.store.write(destination.key(name), sealed)
    return Part(
        key=name,
        kind="copy",
        schema_=piece.table.schema,
        table=piece.table.name,
        piece=piece.number,
        encryption=destination.encryption,
        size=len(sealed),
        sha256=hashlib.sha256(sealed).hexdigest(),
        plain_size=len(chunk),
    )
