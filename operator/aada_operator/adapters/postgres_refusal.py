"""With which SQLSTATE a server refuses a login: the proof that a password is dead.

libpq gives no SQLSTATE for a connection that was never made, and its text is in the server's language. What the server
sent is seen in libpq's own trace of the protocol, which is kept in memory, looked at for that code, and forgotten.
"""

import asyncio
import os
import re
import select
import time

from psycopg import conninfo, pq

from aada_operator.adapters.postgres import (
    APPLICATION,
    CONNECT_SECONDS,
    Endpoint,
    Login,
    addresses_of,
    root_certificate,
)

PASSWORD_REFUSED = "28P01"  # noqa: S105 - an SQLSTATE
_ERROR = re.compile(rb'ErrorResponse\t.*?\bC "([0-9A-Z]{5})"')


async def refusal(endpoint: Endpoint, login: Login, database: str) -> str | None:
    """The SQLSTATE that a login is refused with; empty when it is let in, None when the server gave no answer.

    Raises:
        Waiting: HostUnknown or AddressRefused, TlsFailed.
    """
    address = (await addresses_of(endpoint))[0]
    with root_certificate(endpoint) as root:
        text = conninfo.make_conninfo(
            host=endpoint.host,
            hostaddr=address,
            port=endpoint.port,
            dbname=database,
            user=login.username,
            password=login.password,
            sslmode=endpoint.ssl_mode,
            sslrootcert=root,
            gssencmode="disable",
            application_name=APPLICATION,
        )
        return await asyncio.to_thread(_attempt, text)


def _attempt(text: str) -> str | None:
    connection = pq.PGconn.connect_start(text.encode())
    trace = os.memfd_create("login", os.MFD_CLOEXEC)
    try:
        if connection.status == pq.ConnStatus.BAD:
            return None
        connection.trace(trace)
        if _connected(connection, time.monotonic() + CONNECT_SECONDS):
            return ""
        connection.untrace()
        found = _ERROR.search(os.pread(trace, 2**20, 0))
        return found[1].decode() if found else None
    finally:
        connection.finish()
        os.close(trace)


def _connected(connection: pq.abc.PGconn, deadline: float) -> bool:
    """Whether the connection comes to be; libpq is asked again whenever its socket is ready."""
    while (state := connection.connect_poll()) in (pq.PollingStatus.READING, pq.PollingStatus.WRITING):
        socket, reads = [connection.socket], state == pq.PollingStatus.READING
        left = deadline - time.monotonic()
        if left <= 0 or not any(select.select(socket if reads else [], [] if reads else socket, [], left)):
            return False
    return bool(state == pq.PollingStatus.OK)
