"""Archives of pg_dump as a stream of objects: pg_dump | zstd | age -> bucket."""

from collections.abc import Callable
from functools import partial
from typing import IO, Literal

from aada_operator.api.manifest import Part
from aada_operator.worker.codec import pack
from aada_operator.worker.destination import Destination
from aada_operator.worker.parallel import GiveUp
from aada_operator.worker.snapshot import Source
from aada_operator.worker.streams import Limited, Observed, Pump
from aada_operator.worker.tools import Tool

Kind = Literal["schema", "rest"]


def archive(source: Source, destination: Destination, give_up: GiveUp, kind: Kind, *arguments: str) -> list[Part]:
    """The objects of one archive, which pg_dump makes with further ``arguments``.

    Raises:
        OperatorError: it is not complete; an upload that was begun is aborted.
    """
    snapshot = f"--snapshot={source.snapshot.identifier}"
    patience = f"--lock-wait-timeout={destination.task.lock_timeout_seconds * 1000}"
    always = ("--format=custom", "--compress=0", "--no-password", snapshot, patience)
    count = _Count(destination.count)
    with (
        source.program("pg_dump", *always, *arguments) as pg_dump,
        Pump(partial(_produce, pg_dump, destination, count), pg_dump.kill) as stream,
    ):
        give_up.by(pg_dump.kill)
        return _upload(destination, kind, stream, count)


def _produce(pg_dump: Tool, destination: Destination, count: "_Count", sink: IO[bytes]) -> None:
    source = Observed(pg_dump.stdout, count.add)
    pack(source, sink, destination.task.compression_level, destination.recipients)
    pg_dump.finish()


def _upload(destination: Destination, kind: Kind, stream: Pump, count: "_Count") -> list[Part]:
    """Cut the stream into objects of a bounded size: S3 limits the parts of one upload."""
    parts: list[Part] = []
    while not parts or not stream.exhausted:
        name = destination.archive(f"{kind}-{len(parts):05d}.pgc")
        before = count.total
        stored = destination.store.upload(destination.key(name), Limited(stream, destination.task.object_bytes))
        parts.append(
            Part(
                key=name,
                kind=kind,
                encryption=destination.encryption,
                size=stored.size,
                sha256=stored.sha256,
                plain_size=count.total - before,
                version=stored.version,
            )
        )
    return parts


class _Count:
    """Bytes that pg_dump has written so far."""

    def __init__(self, seen: Callable[[int], None]) -> None:
        self._seen = seen
        self.total = 0

    def add(self, count: int) -> None:
        self.total += count
        self._seen(count)
