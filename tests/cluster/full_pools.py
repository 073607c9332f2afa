"""Pods whose pools are full: requests that hold a connection for a second, and the most sessions that there were."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from tests.cluster import builders, load
from tests.cluster.load import Outcomes
from tests.cluster.servers import Database
from tests.cluster.workspace import Workspace

COURSES = "http://aada-backend:8000/courses"
# Twelve for each of four pods that have four connections: what waits for one takes it as soon as it is free.
CLIENTS = 48
# A row that takes a second to read, whoever of the application reads it.
SLOW = """
SET session_replication_role = replica;
INSERT INTO courses (code, title, description, starts_on, ends_on, credits, instructor_id)
VALUES ('SLOW', 'Patience', '', '2026-01-01', '2026-02-01', 1, 0);
CREATE POLICY slow ON courses USING (pg_sleep(1)::text IS NOT NULL);
ALTER TABLE courses ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
"""
QUICK = """
ALTER TABLE courses DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
DROP POLICY slow ON courses;
DELETE FROM courses WHERE code = 'SLOW';
"""
# Looks twenty times a second from within the server, until a row says that it is over.
WATCH = """
CREATE FUNCTION pg_temp.most() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  pods int; pods_ever int := 0; everybody int; everybody_ever int := 0;
BEGIN
  WHILE NOT EXISTS (SELECT FROM public.watched) LOOP
    PERFORM pg_stat_clear_snapshot();
    SELECT count(*) FILTER (WHERE application_name = 'sample-lms'), count(*) INTO pods, everybody
      FROM pg_stat_activity WHERE backend_type = 'client backend';
    pods_ever := greatest(pods, pods_ever);
    everybody_ever := greatest(everybody, everybody_ever);
    PERFORM pg_sleep(0.05);
  END LOOP;
  RETURN pods_ever || ' ' || everybody_ever;
END $$;
SELECT pg_temp.most();
"""


@dataclass
class Most:
    """The most sessions at one moment, there after the block: those of pods, and of everybody (with who watches)."""

    pods: int = 0
    everybody: int = 0


@contextmanager
def full_pools(workspace: Workspace, database: Database) -> Iterator[tuple[Outcomes, Most]]:
    """All pools are full for as long as the block runs."""
    most = Most()
    database.sql("DROP TABLE IF EXISTS public.watched; CREATE TABLE public.watched (over bool)")
    database.sql(SLOW, builders.DATABASE_NAME)
    with ThreadPoolExecutor(1) as pool:
        watched = pool.submit(database.sql, WATCH)
        try:
            with load.crowd(workspace, COURSES, CLIENTS) as outcomes:
                yield outcomes, most
        finally:
            database.sql("INSERT INTO public.watched VALUES (true)")
            database.sql(QUICK, builders.DATABASE_NAME)
            most.pods, most.everybody = map(int, watched.result().split())
