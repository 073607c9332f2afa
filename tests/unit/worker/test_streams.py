"""Streams: an error is never mistaken for an end, and what is packed is unpacked again."""

from __future__ import annotations

import io
import random
import threading
from typing import IO, Any

import pytest

from aada_operator.adapters.sealed import parse_identities
from aada_operator.api.manifest import Table
from aada_operator.core.errors import Stalled
from aada_operator.worker.codec import opens, pack, parse_recipients, unpack
from aada_operator.worker.keys import keygen
from aada_operator.worker.parallel import GiveUp, in_background
from aada_operator.worker.streams import Limited, Observed, Pump

IDENTITY, RECIPIENT = keygen()
DATA = random.Random(1).randbytes(3_000_000) + b"lesson " * 100_000


class TestPump:
    def test_what_is_written_is_read(self) -> None:
        with Pump(lambda sink: sink.write(DATA)) as stream:
            assert stream.read(10) == DATA[:10]
            assert not stream.exhausted
            assert stream.read(len(DATA)) == DATA[10:]
            assert stream.exhausted

    def test_an_error_of_the_writer_is_raised_at_the_end_and_never_an_end(self) -> None:
        def produce(sink: IO[bytes]) -> None:
            sink.write(b"half")
            raise Stalled("DumpFailed", "pg_dump died")

        with Pump(produce) as stream, pytest.raises(Stalled, match="pg_dump died"):
            stream.read(100)
        with Pump(produce) as stream, pytest.raises(Stalled, match="pg_dump died"):
            stream.drain()

    def test_a_reader_that_leaves_ends_the_writer(self) -> None:
        ended = threading.Event()

        def produce(sink: IO[bytes]) -> None:
            try:
                while True:
                    sink.write(bytes(100_000))
            finally:
                ended.set()

        with Pump(produce) as stream:
            stream.read(10)
        assert ended.is_set()

    def test_a_writer_that_waits_for_something_else_is_told_to_stop(self) -> None:
        stopped = threading.Event()
        with Pump(lambda _: stopped.wait(10), stopped.set):
            pass
        assert stopped.is_set()


class TestPieces:
    @pytest.mark.parametrize("size", [-1, 1, 7, 100])
    def test_a_piece_ends_where_it_should_and_the_rest_is_still_there(self, size: int) -> None:
        source = io.BytesIO(b"0123456789")
        piece = Limited(source, 4)
        assert b"".join(iter(lambda: piece.read(size), b"")) == b"0123"
        assert source.read() == b"456789"

    def test_reads_are_observed(self) -> None:
        seen: list[int] = []
        stream = Observed(io.BytesIO(b"12345"), seen.append)
        assert stream.read(3) + stream.read(3) == b"12345"
        assert seen == [3, 2]


class TestCodec:
    @pytest.mark.parametrize("recipients", [[RECIPIENT], []], ids=["encrypted", "open"])
    def test_what_is_packed_is_unpacked(self, recipients: list[str]) -> None:
        packed, plain = io.BytesIO(), io.BytesIO()
        pack(io.BytesIO(DATA), packed, 3, parse_recipients(recipients))
        assert len(packed.getvalue()) < len(DATA) * 0.9
        packed.seek(0)
        unpack(packed, plain, parse_identities(IDENTITY) if recipients else [])
        assert plain.getvalue() == DATA

    def test_the_header_tells_whether_a_key_fits(self) -> None:
        packed = io.BytesIO()
        pack(io.BytesIO(DATA), packed, 3, parse_recipients([RECIPIENT]))
        header = packed.getvalue()[:65536]
        assert opens(header, parse_identities(IDENTITY))
        assert not opens(header, parse_identities(keygen()[0]))
        assert not opens(b"no such thing", parse_identities(IDENTITY))

    def test_a_recipient_with_a_typing_error_is_refused(self) -> None:
        with pytest.raises(Stalled) as error:
            parse_recipients([RECIPIENT[:-1] + ("q" if RECIPIENT[-1] != "q" else "p")])
        assert error.value.reason == "WrongKey"


class TestInBackground:
    """Work beside the body: whoever fails first takes the other along, and its error is the one that counts."""

    class Connection:
        def __init__(self) -> None:
            self.cancelled = threading.Event()

        def cancel_safe(self, **_: float) -> None:
            self.cancelled.set()

    def test_a_failure_of_the_work_is_raised_in_place_of_the_bodys(self) -> None:
        gave_up = threading.Event()

        def work() -> list[Table]:
            raise Stalled("InsufficientPrivilege", "not allowed")

        def body() -> None:
            assert gave_up.wait(5)
            raise Stalled("DumpFailed", "pg_dump was killed")

        connection: Any = self.Connection()
        give_up = GiveUp()
        give_up.by(gave_up.set)
        with pytest.raises(Stalled, match="not allowed"), in_background(work, connection, give_up):
            body()

    def test_a_failure_of_the_body_cancels_the_work(self) -> None:
        connection: Any = self.Connection()

        def work() -> list[Table]:
            assert connection.cancelled.wait(5)
            raise Stalled("DumpFailed", "cancelled")

        with (
            pytest.raises(Stalled, match="the storage is full"),
            in_background(work, connection, GiveUp()),
        ):
            raise Stalled("NoSpace", "the storage is full")

    def test_what_the_work_says_once_all_is_given_up_is_no_cause(self) -> None:
        connection: Any = self.Connection()
        give_up = GiveUp()
        failed = threading.Event()

        def work() -> list[Table]:
            assert connection.cancelled.wait(5)
            failed.set()
            raise Stalled("DumpFailed", "cancelled")

        def body() -> None:
            threading.Thread(target=give_up).start()
            assert failed.wait(5)
            raise Stalled("DatabaseUnreachable", "the server has gone")

        with pytest.raises(Stalled, match="the server has gone"), in_background(work, connection, give_up):
            body()


class TestGiveUp:
    def test_actions_are_done_when_it_is_called_and_late_ones_at_once(self) -> None:
        done: list[str] = []
        give_up = GiveUp()
        give_up.by(lambda: done.append("early"))
        assert done == []
        give_up()
        give_up.by(lambda: done.append("late"))
        assert done == ["early", "late"]
