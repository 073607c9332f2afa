"""What the sessions of a server do and wait for: counted on the server, no text of a query is ever read."""

import asyncio
from dataclasses import fields

from aada_operator.adapters.postgres import OF_OTHERS, Session, one
from aada_operator.core.database import Activity

# A moment says little: so many looks, so many seconds apart.
_LOOKS, _APART = 4, 0.04
# Who may not see the sessions of others gets a row without a state. Who answers a slow client waits for that client.
_SESSIONS = f"""
SELECT count(*) FILTER (WHERE leader_pid IS NULL) AS sessions,
       count(*) FILTER (WHERE busy) AS active,
       count(*) FILTER (WHERE busy AND wait_event_type IN ('Lock', 'LWLock', 'BufferPin')) AS locked,
       count(*) FILTER (WHERE busy AND wait_event_type = 'IO') AS reading,
       count(*) FILTER (WHERE busy AND wait_event_type IS NULL) AS computing,
       count(*) FILTER (WHERE backend_type IS NULL OR state = 'disabled') AS hidden,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true), '0')::int AS slots
  FROM (SELECT *, coalesce(state IN ('active', 'fastpath function call'), false) AS busy FROM pg_stat_activity) AS seen
 WHERE {OF_OTHERS}
   AND backend_type IS DISTINCT FROM 'walsender' AND backend_type IS DISTINCT FROM 'logical replication worker'
"""  # noqa: S608 - nothing but constants


async def look(connection: Session) -> Activity:
    """The averages of a few looks at all sessions of the server."""
    rows = [await one(connection, _SESSIONS)]
    while len(rows) < _LOOKS:
        await asyncio.sleep(_APART)
        rows.append(await one(connection, _SESSIONS))
    means = {field.name: sum(row[field.name] for row in rows) / _LOOKS for field in fields(Activity)}
    return Activity(**means | {"slots": rows[-1]["slots"]})
