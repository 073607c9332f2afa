"""Rows as COPY writes them, read from one long session of psql: its blocks are taken as they come, never row by row."""

import fcntl
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from types import TracebackType
from typing import Self, cast

from psycopg import sql

from aada_operator.api.task import DUMP_FAILED
from aada_operator.core.errors import Waiting
from aada_operator.worker.pieces import Piece
from aada_operator.worker.snapshot import Source, lock_statement

# Without --file psql marks no line of what it says as an error.
_ARGUMENTS = ("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse", "--file=-")
# psql says how many rows it copied only when they go elsewhere than its own words: to the same pipe by another name.
_SAY_ROWS = "\\g /dev/stdout"
# More bytes than what follows the rows of a piece: the end of COPY's binary format, the number of rows, a mark.
_TAIL_BYTES = 128
_PIPE_BYTES = 2**20


class RowSession:
    """A session that sees the snapshot and writes piece after piece; at most ``chunk_bytes`` are held.

    ``rows`` counts those of the pieces that were read.
    """

    def __init__(self, source: Source, chunk_bytes: int) -> None:
        self._psql = source.program("psql", *_ARGUMENTS)
        self._snapshot = source.snapshot
        self._chunk_bytes = chunk_bytes
        self._buffer = memoryview(bytearray(chunk_bytes + _TAIL_BYTES))
        # Chance made it, so no row has it.
        self._mark = secrets.token_hex(16)
        self._tail = re.compile(rb"COPY (\d+)\n%b\n\Z" % self._mark.encode())
        self.rows = 0

    def __enter__(self) -> Self:
        self._psql.__enter__()
        # With the usual 64 KiB the two processes wait for each other all the time. Not everybody may widen a pipe.
        with suppress(OSError):
            fcntl.fcntl(self._psql.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._say("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;")
        identifier = sql.Literal(self._snapshot.identifier).as_string()
        self._say(f"SET TRANSACTION SNAPSHOT {identifier};")
        # Without NOWAIT this session could queue behind DDL that itself waits for the snapshot's holder.
        self._say(f"{lock_statement(self._snapshot.tables, nowait=True)};")
        # Rows in the order of a key come from its index, piece by piece, and never by sorting the whole table.
        self._say("SET LOCAL enable_sort = off;")
        self._say("\\set QUIET off")
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
        self._say(f"{piece.statement()} {_SAY_ROWS}\n\\echo {self._mark}")
        frame = piece.table.frame
        filled = self._begin(frame.header)
        while not (tail := self._end(filled)):
            if filled == len(self._buffer):
                yield self._buffer[: self._chunk_bytes]
                self._buffer[:_TAIL_BYTES] = self._buffer[self._chunk_bytes :]
                filled = _TAIL_BYTES
            filled += self._more(filled)
        self.rows += int(tail[1])
        filled += tail.start() - tail.endpos - len(frame.trailer)
        _demand_frame(self._buffer[filled : filled + len(frame.trailer)], frame.trailer)
        if filled > self._chunk_bytes:
            yield self._buffer[: self._chunk_bytes]
            self._buffer[: filled - self._chunk_bytes] = self._buffer[self._chunk_bytes : filled]
            filled -= self._chunk_bytes
        if filled:
            yield self._buffer[:filled]

    def _begin(self, header: bytes) -> int:
        """Read the header away; returns how many bytes behind it are in the buffer."""
        filled = 0
        while filled < len(header):
            filled += self._more(filled)
        _demand_frame(self._buffer[: len(header)], header)
        self._buffer[: filled - len(header)] = self._buffer[len(header) : filled]
        return filled - len(header)

    def _more(self, filled: int) -> int:
        count = cast("FileIO", self._psql.stdout).readinto(self._buffer[filled:])
        if not count:
            self._psql.finish()
            raise Waiting(DUMP_FAILED, "psql ended in the middle of a table")
        return count

    def _end(self, filled: int) -> re.Match[bytes] | None:
        """What psql says behind the rows, when the buffer ends with it."""
        return self._tail.search(bytes(self._buffer[max(0, filled - _TAIL_BYTES) : filled]))

    def _say(self, text: str) -> None:
        try:
            self._psql.stdin.write(f"{text}\n".encode())
        except BrokenPipeError:
            self._psql.finish()
            raise Waiting(DUMP_FAILED, "psql ended without a word") from None


def _demand_frame(found: memoryview, expected: bytes) -> None:
    if found != expected:
        raise Waiting(DUMP_FAILED, "COPY wrote something else than its format: tried again")
