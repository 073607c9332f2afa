"""Which tables a name means, and what a manifest says of these alone."""

from __future__ import annotations

import pytest

from aada_operator.api.manifest import Ancestor, Manifest, Part, Table, overall_digest
from aada_operator.core.errors import Stalled
from aada_operator.core.tables import choose_tables, only_tables
from tests.unit.backups.school import manifest as school_manifest

LINE = [Ancestor(schema_="public", name="events_2025"), Ancestor(schema_="public", name="events")]


def table(name: str, schema: str = "public", rows: int = 5, **fields: object) -> Table:
    known = {"rows": rows, "digest": str(rows), "columns": ["id"]} | fields
    return Table.model_validate({"schema": schema, "name": name} | known)


TABLES = [
    table("courses"),
    table("grades"),
    table("grades", "archive", rows=9),
    table("events_2025_01", ancestors=LINE),
    table("events_2025_02", ancestors=LINE),
    table("events_rest", ancestors=LINE[1:]),
    table("no_columns", columns=[]),
    table("pg_largeobject", "pg_catalog", columns=[]),
    table("alembic_version"),
]


def manifest() -> Manifest:
    parts = [
        Part(key="s", kind="schema", encryption="none", size=1, sha256="", plain_size=1),
        *(
            Part(
                key=f"{one.schema_}.{one.name}",
                kind="copy",
                schema_=one.schema_,
                table=one.name,
                encryption="none",
                size=10,
                sha256="",
                plain_size=10,
            )
            for one in TABLES
        ),
        Part(key="r", kind="rest", encryption="none", size=100, sha256="", plain_size=100),
    ]
    known = {"tables": TABLES, "parts": parts, "revision_table": "public.alembic_version", "schema_revision": "2"}
    return school_manifest("monday", uid="u").model_copy(update=known)


def chosen(*wanted: str) -> set[str]:
    return {f"{one.schema_}.{one.name}" for one in choose_tables(manifest(), wanted).tables}


class TestMeans:
    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            (("courses",), {"public.courses"}),
            (("public.courses", "courses"), {"public.courses"}),
            (("archive.grades",), {"archive.grades"}),
            (("events",), {"public.events_2025_01", "public.events_2025_02", "public.events_rest"}),
            (("events_2025",), {"public.events_2025_01", "public.events_2025_02"}),
            (("events_2025_02",), {"public.events_2025_02"}),
        ],
    )
    def test_the_table_or_the_partitions_of_a_name(self, wanted: tuple[str, ...], found: set[str]) -> None:
        assert chosen(*wanted) == found

    @pytest.mark.parametrize(
        ("wanted", "parents"),
        [("events", {"events", "events_2025"}), ("events_2025", {"events_2025"}), ("events_2025_01", set())],
    )
    def test_the_partitioned_tables_above_as_far_as_they_were_named(self, wanted: str, parents: set[str]) -> None:
        assert {name for _, name in choose_tables(manifest(), [wanted]).parents} == parents


class TestRefuses:
    @pytest.mark.parametrize(
        ("wanted", "words"),
        [
            ("course", ("course is not in Backup monday", "did you mean courses")),
            ("public.coarses", ("did you mean", "public.courses")),
            ("xyzzy", ("without quotes",)),
            ("grades", ("several tables", "archive.grades, public.grades")),
            ("pg_largeobject", ("is not in Backup",)),
            ("no_columns", ("no columns",)),
            ("Courses", ("courses",)),
        ],
    )
    def test_a_name_that_is_of_no_table_or_of_several(self, wanted: str, words: tuple[str, ...]) -> None:
        with pytest.raises(Stalled) as refused:
            choose_tables(manifest(), ["courses", wanted])
        assert refused.value.reason == "TableNotFound"
        assert all(word in refused.value.message for word in words), refused.value.message


class TestAlone:
    def test_only_their_rows_and_the_archive_that_describes_them_are_read(self) -> None:
        alone = only_tables(manifest(), choose_tables(manifest(), ["courses", "archive.grades"]))
        assert [part.key for part in alone.parts] == ["s", "public.courses", "archive.grades"]
        assert (alone.rows, alone.digest.value) == (14, overall_digest([TABLES[0], TABLES[2]]))
        assert (alone.revision_table, alone.schema_revision, alone.sequences) == (None, None, [])

    def test_the_schema_revision_is_compared_where_its_table_is_among_them(self) -> None:
        alone = only_tables(manifest(), choose_tables(manifest(), ["alembic_version"]))
        assert alone.schema_revision == "2"
