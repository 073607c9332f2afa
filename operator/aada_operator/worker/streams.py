"""Streams between threads and programs with bounded memory, in which an error is never mistaken for an end."""

import hashlib
import io
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PIPE_BYTES = 256 * 2**10


class Readable(Protocol):
    """Something that gives bytes; none at the end."""

    def read(self, size: int = -1, /) -> bytes: ...


class Pump:
    """The output of a function that writes, as a stream to read: the function runs in a thread behind a pipe.

    The stream ends only when the function has returned; what it raised is raised by the read that meets the end.
    ``stop`` must make a function that waits for something else give up.
    """

    def __init__(self, produce: Callable[[IO[bytes]], object], stop: Callable[[], None] = lambda: None) -> None:
        self._produce = produce
        self._stop = stop
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="pump")

    def __enter__(self) -> Self:
        reading, writing = os.pipe()
        self._outcome = self._executor.submit(self._run, writing)
        self._reader = io.BufferedReader(_PipeEnd(io.FileIO(reading), self._outcome), PIPE_BYTES)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._outcome.done():
            self._stop()
        self._reader.close()
        self._executor.shutdown()

    def read(self, size: int = -1, /) -> bytes:
        """Exactly ``size`` bytes, fewer only at the end."""
        return self._reader.read(size)

    def drain(self) -> None:
        """Read to the end, so that whatever the function raises is raised here."""
        while self._reader.read(PIPE_BYTES):
            pass

    @property
    def exhausted(self) -> bool:
        """Whether the end is reached; waits for the next byte to tell."""
        return not self._reader.peek(1)

    def _run(self, writing: int) -> None:
        with io.FileIO(writing, "wb") as raw, io.BufferedWriter(raw, PIPE_BYTES) as sink:
            self._produce(sink)


class _PipeEnd(io.RawIOBase):
    """The reading end of a pipe whose end is the outcome of its writer."""

    def __init__(self, pipe: io.FileIO, outcome: "Future[None]") -> None:
        self._pipe = pipe
        self._outcome = outcome

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        count = self._pipe.readinto(buffer)
        if not count:
            self._outcome.result()
        return count or 0

    def close(self) -> None:
        self._pipe.close()
        super().close()


class Limited:
    """At most ``limit`` bytes of a stream."""

    def __init__(self, source: Readable, limit: int) -> None:
        self._source = source
        self._left = limit

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(PIPE_BYTES), b""))
        data = self._source.read(min(size, self._left))
        self._left -= len(data)
        return data


class Observed:
    """A stream whose reads are told to ``seen`` with the number of bytes."""

    def __init__(self, source: Readable, seen: Callable[[int], None]) -> None:
        self._source = source
        self._seen = seen

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self._seen(len(data))
        return data


class HashingSink:
    """A sink whose content is hashed as it passes, and told to ``seen`` with its number of bytes."""

    def __init__(self, sink: IO[bytes], seen: Callable[[int], None]) -> None:
        self._sink = sink
        self._seen = seen
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self.digest.update(data)
        self._sink.write(data)
        self._seen(len(data))
