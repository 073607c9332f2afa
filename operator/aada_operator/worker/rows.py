"""Rows as COPY text, read from one long session of psql: its blocks are taken as they come, never row by row."""

from collections.abc import Iterator
from io import FileIO
from types import TracebackType
from typing import Self, cast

from psycopg import sql

from aada_operator.api.task import DUMP_FAILED
from aada_operator.core.errors import Waiting
from aada_operator.worker.pieces import Piece
from aada_operator.worker.snapshot import Source, lock_statement

# What COPY's own protocol ends its text with; in the text a backslash is always doubled, so no row is this line.
_END = b"\\.\n"
# Without --file psql marks no line of what it says as an error.
_ARGUMENTS = ("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse", "--file=-")
_SAY_END = "\\echo '\\\\.'"


class RowSession:
    """A session that sees the snapshot and writes piece after piece; at most ``chunk_bytes`` are held.

    ``rows`` counts those that were read.
    """

    def __init__(self, source: Source, chunk_bytes: int) -> None:
        self._psql = source.program("psql", *_ARGUMENTS)
        self._snapshot = source.snapshot
        self._chunk_bytes = chunk_bytes
        self._bytes = bytearray(chunk_bytes + len(_END))
        self._buffer = memoryview(self._bytes)
        self.rows = 0

    def __enter__(self) -> Self:
        self._psql.__enter__()
        self._say("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;")
        identifier = sql.Literal(self._snapshot.identifier).as_string()
        self._say(f"SET TRANSACTION SNAPSHOT {identifier};")
        # Without NOWAIT this session could queue behind DDL that itself waits for the snapshot's holder.
        self._say(f"{lock_statement(self._snapshot.tables, nowait=True)};")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._psql.__exit__(kind, error, trace)

    def kill(self) -> None:
        """End the session now, from any thread: whoever reads from it gets an error."""
        self._psql.kill()

    def read(self, piece: Piece) -> Iterator[memoryview]:
        """The rows of a piece in chunks of exactly ``chunk_bytes``, the last one shorter; no chunk for no rows.

        A chunk is valid until the next one is asked for.

        Raises:
            OperatorError: the server or the session failed; what was read before is no whole piece.
        """
        self._say(f"{piece.statement()};\n{_SAY_END}")
        filled, before = 0, b"\n"
        while True:
            filled += self._more(filled)
            if self._ends(filled, before):
                if filled > len(_END):
                    yield self._chunk(filled - len(_END))
                return
            if filled == len(self._buffer):
                before = bytes(self._buffer[self._chunk_bytes - 1 : self._chunk_bytes])
                yield self._chunk(self._chunk_bytes)
                self._buffer[: len(_END)] = self._buffer[self._chunk_bytes :]
                filled = len(_END)

    def _chunk(self, size: int) -> memoryview:
        # In COPY text a line feed ends a row; those in values are escaped.
        self.rows += self._bytes.count(b"\n", 0, size)
        return self._buffer[:size]

    def _more(self, filled: int) -> int:
        count = cast("FileIO", self._psql.stdout).readinto(self._buffer[filled:])
        if not count:
            self._psql.finish()
            raise Waiting(DUMP_FAILED, "psql ended in the middle of a table")
        return count

    def _ends(self, filled: int, before: bytes) -> bool:
        """Whether the buffer ends with the end of a piece; psql writes nothing more before it is asked."""
        if self._buffer[max(0, filled - len(_END)) : filled] != _END:
            return False
        begin = filled - len(_END)
        return (self._buffer[begin - 1 : begin] if begin else before) == b"\n"

    def _say(self, text: str) -> None:
        try:
            self._psql.stdin.write(f"{text}\n".encode())
        except BrokenPipeError:
            self._psql.finish()
            raise Waiting(DUMP_FAILED, "psql ended without a word") from None
