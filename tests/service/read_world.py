"""An AadaLms with a read replica: a real standby, an API server in memory, and time that goes by."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from aada_operator.core.resources import AADA_LMS, ENDPOINT_SLICES, Object
from tests.service.lms_world import LMS, LmsWorld
from tests.service.servers import PostgresServer, Standby, wait_for

SERVICE = "aada-db-read"
READ_URL = "READ_DATABASE_URL"


class School(LmsWorld):
    """An AadaLms with a read replica."""

    def __init__(self, primary: PostgresServer, standby: Standby) -> None:
        super().__init__(primary, f"lms_{os.urandom(4).hex()}")
        self.standby = standby
        self.replica: Object = {"host": standby.host, "port": standby.port, "publishWhenLagBelow": "1s"}

    async def ready(self) -> None:
        """It is made, and the standby knows of it."""
        await self.settle()
        self.standby.catch_up()

    async def look(self, seconds: float = 10) -> str:
        """Time goes by, and the operator looks; returns what it says."""
        self.clock.advance(seconds=seconds)
        self.run_jobs()
        self.roll_out()
        await self.visit()
        return self.condition("ReadReplicaReady")

    async def until(self, said: str) -> None:
        """Look until the condition says so."""
        for _ in range(40):
            if await self.look(1) == said:
                return
        raise AssertionError(f"still {self.condition('ReadReplicaReady')}: {self.message('ReadReplicaReady')}")

    def declare(self, **patch: Any) -> None:
        """Change what is declared of the database."""
        self.server.read(AADA_LMS, LMS)["spec"]["database"] |= patch

    @property
    def port(self) -> int:
        """Where the Service leads."""
        found = self.server.read(ENDPOINT_SLICES, SERVICE)
        assert found["endpoints"] == [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}]
        return int(found["ports"][0]["port"])

    def log_in(self, server: PostgresServer, **options: Any) -> psycopg.Connection[Any]:
        """A session of the application, with what it reads with."""
        url = urlsplit(self.secret()[READ_URL])
        return psycopg.connect(host=server.host, port=server.port, dbname=url.path[1:], user=url.username,
                               password=url.password, autocommit=True, **options)  # fmt: skip

    def is_ended(self, session: psycopg.Connection[Any]) -> None:
        """Wait until a session on the replica is gone."""
        query = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {session.info.backend_pid}"
        wait_for(lambda: self.standby.value(query) == 0, "the end of a session")
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")

    def write(self) -> None:
        """The school works: a commit on the primary."""
        self.postgres.execute("CREATE TABLE IF NOT EXISTS work (id int); INSERT INTO work VALUES (1)", self.database)

    def pause_replay(self) -> None:
        self.standby.execute("SELECT pg_wal_replay_pause()")
        wait_for(lambda: self.standby.value("SELECT pg_get_wal_replay_pause_state()") == "paused", "the pause")

    def resume_replay(self) -> None:
        self.standby.execute("SELECT pg_wal_replay_resume()")
        self.standby.catch_up()


def dropped(school: School) -> None:
    """Nothing of it is left on the servers."""
    school.standby.execute("SELECT pg_wal_replay_resume()")
    school.drop()
