"""Pieces of tables: together they are every row once, and growth leaves the old ones as they were."""

from __future__ import annotations

import random

import pytest

from aada_operator.worker.catalog import Extent, KeySpan, TableName
from aada_operator.worker.pieces import Piece, cut, key_step

GIB = 2**30
TABLE = TableName(1, "public", "log", True, ("at", "id"), ("id", "at"), ("id",), ())


def pieces(low: int, high: int, size: int) -> list[Piece]:
    return cut([TABLE], {1: Extent(size // 8192, size, KeySpan("id", low, high))}, 150000)


def holds(piece: Piece, key: int) -> bool:
    return (piece.begin is None or piece.begin <= key) and (piece.end is None or key < piece.end)


class TestPiecesByKey:
    @pytest.mark.parametrize(
        ("low", "high", "size"),
        [(1, 1, 0), (1, 10**6, GIB), (-(2**63), 2**63 - 1, 50 * GIB), (-500, 500, GIB), (0, 3, 4 * GIB), (7, 9, 100)],
    )
    def test_every_key_is_in_exactly_one_piece(self, low: int, high: int, size: int) -> None:
        found = pieces(low, high, size)
        chance = random.Random(1)
        edges = [edge + more for piece in found for edge in [piece.begin] if edge is not None for more in (-1, 0)]
        for key in [low, high, low - 1, high + 1, *edges, *(chance.randint(low, high) for _ in range(100))]:
            assert sum(holds(piece, key) for piece in found) == 1
        assert [piece.number for piece in found] == list(range(len(found)))
        assert all(-(2**63) <= piece.begin < 2**63 for piece in found if piece.begin is not None)

    def test_a_table_that_grows_keeps_all_pieces_but_the_last(self) -> None:
        size = 3 * GIB // 4
        before, after = pieces(1, 1_000_000, size), pieces(1, 1_010_000, size + size // 100)
        assert len(before) > 50
        assert before[:-1] == after[: len(before) - 1]

    def test_there_are_never_many_pieces(self) -> None:
        for power in range(63):
            for size in (8192, GIB // 10, 3 * GIB, 100 * GIB):
                assert len(pieces(0, 2**power, size)) <= 130

    def test_a_piece_has_a_few_mebibytes_until_the_table_is_large(self) -> None:
        assert 2 * 2**20 <= GIB // 8 // len(pieces(1, 100_000, GIB // 8)) <= 4 * 2**20
        assert 4 * 2**20 <= GIB // 2 // len(pieces(1, 100_000, GIB // 2)) <= 8 * 2**20

    def test_the_step_follows_size_and_keys_in_proportion(self) -> None:
        assert key_step(2_000_000, 2 * GIB // 8) == key_step(1_000_000, GIB // 8)

    def test_rows_are_read_in_the_order_of_the_key(self) -> None:
        piece = Piece(TABLE, 3, 10, 20, "id")
        assert piece.statement() == (
            'COPY (SELECT "id", "at" FROM ONLY "public"."log" WHERE "id" >= 10 AND "id" < 20 ORDER BY "id") TO STDOUT'
        )


class TestPiecesByPage:
    def test_pages_follow_one_another(self) -> None:
        found = cut([TABLE], {1: Extent(600, 600 * 8192)}, 150000)
        assert [(piece.begin, piece.end) for piece in found] == [(None, 256), (256, 512), (512, None)]
        assert found[1].statement() == (
            'COPY (SELECT "id", "at" FROM ONLY "public"."log" WHERE ctid >= \'(256,0)\' AND ctid < \'(512,0)\')'
            " TO STDOUT"
        )

    def test_servers_that_would_read_the_whole_table_for_each_piece_read_it_once(self) -> None:
        assert cut([TABLE], {1: Extent(600, 600 * 8192)}, 130000) == [Piece(TABLE, 0)]

    def test_empty_tables_are_one_piece(self) -> None:
        assert cut([TABLE], {1: Extent(0, 0)}, 150000) == [Piece(TABLE, 0)]
