"""A school with a completed backup to restore from, shared by the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.cluster import builders
from tests.cluster.backups.school import WAIT, School
from tests.cluster.workspace import Object, summary

LIVE = builders.DATABASE_NAME
# Most of the work is the server's: only a worker with next to nothing of a core leaves time to disturb it.
SLOW: Object = {"resources": {"limits": {"cpu": "50m"}}}
# Rows and duplicates count, wherever they lie; the audit log goes on growing in the live database.
CONTENT = r"""
SELECT format('SELECT %L, count(*), sum(hashtextextended(t::text, 0)::numeric) FROM %I.%I AS t',
              tablename, schemaname, tablename)
FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND tablename <> 'audit_log'
ORDER BY tablename \gexec
"""
# PostgreSQL writes the expression of a check in another way once it has read its own.
STRUCTURE = """
SELECT conrelid::regclass, conname, contype, CASE WHEN contype <> 'c' THEN pg_get_constraintdef(oid) END
FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY conname;
SELECT schemaname, tablename, tableowner FROM pg_tables WHERE schemaname = 'public' ORDER BY 2;
SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1;
SELECT sequencename, last_value FROM pg_sequences WHERE sequencename NOT LIKE 'audit%' ORDER BY 1;
"""
# What is easily lost on the way: precision, time zones, bytes, quotes, nulls, duplicates.
DELICATE = r"""
CREATE TABLE public.delicate (moment timestamptz, span interval, real double precision, amount numeric, raw bytea,
                              words text, doc jsonb, list text[], twice int GENERATED ALWAYS AS (2 * 21) STORED);
INSERT INTO public.delicate (moment, span, real, amount, raw, words, doc, list)
SELECT '2026-03-29 02:30:00.123456+01', '1 mon 2 days 03:04:05.678', 0.1 + 0.2, 1e30 / 7, '\x00ff0a',
       E'quote '' tab \t \\. new\nline é', '{"a": [1, null]}', ARRAY['x', NULL, 'a,b'] FROM generate_series(1, 2);
INSERT INTO public.delicate (real) VALUES ('NaN'), (NULL);
CREATE SEQUENCE public.tickets START 100;
SELECT nextval('public.tickets');
"""
IDENTITY_OF = "SELECT oid FROM pg_database WHERE datname = '{}'"


@dataclass(frozen=True)
class Rehearsal(School):
    """A school with the completed backup ``monday``, after which the live database went on."""

    def content(self, database: str = LIVE) -> str:
        """What a database holds, as text that is equal for equal content."""
        return self.database.sql(CONTENT, database)

    def structure(self, database: str = LIVE) -> str:
        """Constraints, owners, indexes and sequences."""
        return self.database.sql(STRUCTURE, database)

    def databases(self) -> set[str]:
        return set(self.database.sql("SELECT datname FROM pg_database").splitlines())

    def identity_of(self, database: str) -> str:
        """The server's own number of a database: another one after it was dropped and made again."""
        return self.database.sql(IDENTITY_OF.format(database))

    def restore(self, name: str, **spec: Any) -> str:
        """Make a Restore, of the latest backup unless ``backup`` names one; returns its reference."""
        self.workspace.apply(builders.restore(name, **spec))
        return f"lmsr/{name}"

    def restored(self, ref: str, timeout: float = WAIT) -> Object:
        """Wait until a Restore is completed; a failure is told at once."""
        found = self.ended(ref, timeout)
        assert found["status"]["phase"] == "Completed", summary(found)
        return found

    def ended(self, ref: str, timeout: float = WAIT) -> Object:
        return self.workspace.wait_for(
            ref, lambda body: body.get("status", {}).get("phase") in ("Completed", "Failed"), timeout
        )

    def loading(self, ref: str) -> Object:
        """Wait until bytes of a Restore flow into the database."""
        return self.workspace.wait_for(
            ref, lambda body: (body.get("status", {}).get("progress") or {}).get("bytes", 0) > 0, WAIT
        )

    def warnings(self, name: str) -> set[str]:
        return {e["reason"] for e in self.workspace.events(f"Restore/{name}") if e["type"] == "Warning"}

    def slow(self) -> None:
        """From now on Jobs of the policy get so little of a core that there is time to disturb them."""
        self.policy("nightly", job=SLOW)

    def quick(self) -> None:
        self.policy("nightly")
