"""How far a streaming replica is behind, as any role may ask; the clocks of the two servers need not agree.

The replica is asked whether it has replayed what the primary had written a moment before. If not, the age of its newest
commit says how old its content is at the most: a commit carries the time of the primary, and it is compared with that.
No table for a heartbeat is needed, and pg_stat_replication, which hides its rows from ordinary roles and keeps the last
lag of a replica that stopped to replay, is not asked.
"""

import asyncio

from psycopg.rows import DictRow

from aada_operator.adapters.postgres import Session, one
from aada_operator.api.read_replica import SHORTEST_LAG
from aada_operator.core.replication import Position, Replayed

_ASKED = 5
# What is flushed, since no replica can have more. A standby in the primary's place has replayed so far.
_POSITION = """
SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END)::text AS lsn,
       clock_timestamp()::text AS time,
       (SELECT system_identifier::text FROM pg_control_system()) AS system
"""
_REPLAYED = """
SELECT pg_is_in_recovery() AS standby,
       (SELECT system_identifier::text FROM pg_control_system()) AS system,
       coalesce(pg_last_wal_replay_lsn() >= %(lsn)s::pg_lsn, false) AS level,
       extract(epoch FROM %(time)s::timestamptz - pg_last_xact_replay_timestamp())::float AS age
"""
# A role may end its own sessions. What is under way is not disturbed: it is ended at a later look.
_END_IDLE = """
SELECT count(pg_terminate_backend(pid)) AS ended FROM pg_stat_activity
 WHERE usename = session_user AND state = 'idle' AND application_name <> 'aada-operator'
   AND (%(all)s OR datname <> current_database())
"""


async def position(primary: Session) -> Position:
    """How far the primary has written."""
    return Position(**await one(primary, _POSITION))


async def replayed(replica: Session, after: Position) -> Replayed:
    """How far a replica has come; it is given a second to reach the position."""
    for _ in range(_ASKED):
        row = await _ask(replica, after)
        if row["level"] or not row["standby"]:
            break
        await asyncio.sleep(SHORTEST_LAG / _ASKED)
    age = row["age"]
    return Replayed(row["standby"], row["system"], row["level"], None if age is None else max(0.0, age))


async def _ask(replica: Session, after: Position) -> DictRow:
    return await one(replica, _REPLAYED, {"lsn": after.lsn, "time": after.time})


async def end_idle_sessions(replica: Session, *, everywhere: bool) -> int:
    """End idle sessions of this session's role: all of them, or those in databases other than this one."""
    # Sessions of the application act as the owner of the database, who may not end those of the login.
    await replica.execute("SET ROLE NONE")
    return int((await one(replica, _END_IDLE, {"all": everywhere}))["ended"])
