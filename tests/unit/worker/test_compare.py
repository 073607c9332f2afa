"""What must be equal after a restore, and how a difference is told."""

from __future__ import annotations

import pytest

from aada_operator.api.manifest import (
    ChunkStore,
    Database,
    Digest,
    Encryption,
    Manifest,
    Sequence,
    Table,
    Tools,
    overall_digest,
    parse_manifest,
)
from aada_operator.core.errors import Stalled
from aada_operator.worker.compare import compare, demand_equal
from aada_operator.worker.content import Contents, SequenceState

TABLES = [
    Table(schema_="public", name=name, rows=rows, digest=str(rows)) for name, rows in (("users", 3), ("notes", 5))
]


def manifest(sequences: list[Sequence] | None = None) -> Manifest:
    database = Database(
        name="d", owner="o", encoding="UTF8", collate="C", ctype="C", server_version=150018, size_bytes=1
    )
    return Manifest(
        backup="b",
        uid="u",
        namespace="n",
        lms="l",
        attempt=1,
        tools=Tools(operator="0", pg_dump="pg_dump (PostgreSQL) 15.1"),
        database=database,
        schema_revision="r1",
        extensions=[],
        roles=[],
        sequences=sequences or [],
        tables=TABLES,
        digest=Digest(value=overall_digest(TABLES)),
        chunks=ChunkStore(epoch="monday-1", names="n"),
        new_bytes=0,
        parts=[],
        encryption=Encryption(mode="None"),
        started_at="2026-01-02T02:00:00Z",
        snapshot_at="2026-01-02T02:00:01Z",
        completed_at="2026-01-02T02:00:02Z",
        duration_seconds=2,
    )


def failed(contents: Contents, of: Manifest | None = None) -> dict[str, str]:
    return {check.name: check.message for check in compare(of or manifest(), contents) if not check.ok}


class TestTables:
    def test_the_same_content_in_another_order_is_equal(self) -> None:
        assert failed(Contents(TABLES[::-1], {}, "r1")) == {}

    def test_another_number_of_rows(self) -> None:
        now = [TABLES[0].model_copy(update={"rows": 2}), TABLES[1]]
        assert failed(Contents(now, {}, "r1")) == {
            "rows": "public.users has 2 rows instead of 3",
            "overall digest": "differs",
        }

    def test_the_same_number_of_other_rows(self) -> None:
        now = [TABLES[0].model_copy(update={"digest": "4"}), TABLES[1]]
        assert failed(Contents(now, {}, "r1"))["digests"] == "public.users has other content"

    def test_a_table_too_few_and_one_too_many(self) -> None:
        now = [TABLES[0], TABLES[1].model_copy(update={"name": "other"})]
        assert (
            failed(Contents(now, {}, "r1"))["tables"] == "public.notes is missing, public.other is not in the manifest"
        )

    def test_many_differences_are_counted_and_not_listed(self) -> None:
        assert failed(Contents([], {}, "r1"))["tables"].count("missing") == 2
        many = [Table(schema_="s", name=f"t{i}", rows=0, digest="0") for i in range(50)]
        assert failed(Contents([*TABLES, *many], {}, "r1"))["tables"].endswith(" and 47 more")

    def test_another_revision(self) -> None:
        assert failed(Contents(TABLES, {}, None)) == {"schema revision": "None instead of r1"}

    def test_a_difference_is_an_error_for_good(self) -> None:
        with pytest.raises(Stalled) as error:
            demand_equal(manifest(), Contents(TABLES[:1], {}, "r1"))
        assert error.value.reason == "DigestMismatch"
        assert "public.notes is missing" in error.value.message


class TestSequences:
    @pytest.mark.parametrize(
        ("before", "after", "restored", "equal"),
        [
            ((5, True), (5, True), (5, True), True),
            ((1, False), (1, False), (1, True), False),
            ((5, True), (5, True), (6, True), False),
            ((5, True), (9, True), (5, True), True),
            ((5, True), (9, True), (7, True), True),
            ((5, True), (9, True), (10, True), False),
            ((5, True), (9, True), (4, True), False),
            ((-5, True), (-9, True), (-7, True), True),
        ],
    )
    def test_the_value_lies_between_those_before_and_after_the_dump(
        self, before: tuple[int, bool], after: tuple[int, bool], restored: tuple[int, bool], equal: bool
    ) -> None:
        sequence = Sequence(
            schema_="public",
            name="s",
            last_value=before[0],
            is_called=before[1],
            last_value_after=after[0],
            is_called_after=after[1],
        )
        contents = Contents(TABLES, {("public", "s"): SequenceState(*restored)}, "r1")
        assert (failed(contents, manifest([sequence])) == {}) is equal

    def test_a_missing_sequence(self) -> None:
        sequence = Sequence(
            schema_="public", name="s", last_value=1, is_called=True, last_value_after=1, is_called_after=True
        )
        assert failed(Contents(TABLES, {}, "r1"), manifest([sequence])) == {"sequences": "public.s is missing"}


class TestManifest:
    def test_it_is_read_as_it_was_written(self) -> None:
        assert parse_manifest(manifest().model_dump_json(by_alias=True).encode()) == manifest()

    @pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format": "lms.aada.edu/backup"}', b"\xff"])
    def test_what_is_no_manifest_is_refused(self, data: bytes) -> None:
        with pytest.raises(ValueError, match=r".*"):
            parse_manifest(data)

    def test_the_digest_of_all_tables_depends_on_each_word(self) -> None:
        for change in ({"name": "x"}, {"schema_": "x"}, {"rows": 1}, {"digest": "x"}):
            assert overall_digest([TABLES[0].model_copy(update=change)]) != overall_digest(TABLES[:1])
