"""Rows of tables as objects: each new chunk is packed, hashed and uploaded by the stream that read it."""

import hashlib
from collections import deque
from dataclasses import dataclass

from aada_operator.api.manifest import Part
from aada_operator.worker.codec import Sealer
from aada_operator.worker.destination import Destination
from aada_operator.worker.parallel import GiveUp, taken
from aada_operator.worker.pieces import Piece
from aada_operator.worker.rows import RowSession
from aada_operator.worker.snapshot import Source

# A stream holds one of these, and for a moment its compressed and its encrypted form.
CHUNK_BYTES = 3 * 2**20


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
        return [_copy(session, sealer, destination, piece) for piece in taken(pieces)]


def _copy(session: RowSession, sealer: Sealer, destination: Destination, piece: Piece) -> Copied:
    before = session.rows
    parts = [_store(sealer, destination, piece, chunk) for chunk in session.read(piece)]
    return Copied(piece, session.rows - before, parts)


def _store(sealer: Sealer, destination: Destination, piece: Piece, chunk: memoryview) -> Part:
    destination.count(len(chunk))
    content = destination.names.name(chunk)
    if known := destination.known(content):
        return known.model_copy(update=piece.place)
    name = destination.chunk(content)
    sealed = sealer.seal(chunk)
    version = destination.store.write(destination.key(name), sealed)
    return destination.written(
        Part(
            key=name,
            kind="copy",
            **piece.place,
            encryption=destination.encryption,
            size=len(sealed),
            sha256=hashlib.sha256(sealed).hexdigest(),
            plain_size=len(chunk),
            content=content,
            version=version,
        )
    )
