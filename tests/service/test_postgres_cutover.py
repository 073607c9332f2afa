"""A change of names on a real server: what goes with a name, who is in the way, and that there is no state between."""

from __future__ import annotations

import asyncio
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from aada_operator.adapters import postgres_cutover
from aada_operator.adapters.postgres import Endpoint, Login, Session, session
from aada_operator.adapters.postgres_cutover import Swap, drop_marked, give_properties, look, properties
from aada_operator.core.database import CutoverNames, CutoverServer, complete_mark, replaced_mark
from aada_operator.core.errors import Waiting
from tests.service.servers import PostgresServer, wait_for

PAGE = Path(__file__).parents[2] / "docs" / "restores.md"
UID = "12345678-9abc-4def-8000-000000000000"


@dataclass(frozen=True)
class Pair:
    """A live and a restored database, each with a row that says which it is, and a name for the old one."""

    server: PostgresServer
    names: CutoverNames

    def admin(self, username: str = "", password: str = "") -> Login:
        return Login(username or self.server.user, password or self.server.password, "Secret db-admin")

    def open(self, login: Login | None = None) -> AbstractAsyncContextManager[Session]:
        endpoint = Endpoint(self.server.host, self.server.port, "disable", allow_local=True)
        return session(endpoint, login or self.admin(), "postgres")

    async def seen(self, login: Login | None = None) -> CutoverServer:
        async with self.open(login) as opened:
            return await look(opened, self.names)

    async def swap(self, login: Login | None = None, *, has_live: bool = True) -> None:
        async with self.open(login) as renaming, self.open(login) as ending:
            await Swap(renaming, ending, self.names, UID).run(has_live=has_live)

    def content(self, database: str) -> str:
        return str(self.server.value("SELECT word FROM content", database))

    def comment(self, database: str) -> str | None:
        query = f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{database}'"
        found = self.server.value(query)
        return str(found) if found else None

    def is_at_second_name(self) -> bool:
        """Whether a swap has renamed the live database, and waits for the restored one."""
        query = f"SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'ALTER DATABASE \"{self.names.restored}%'"
        return bool(self.server.value(query))

    def unchanged(self) -> bool:
        return (self.content(self.names.live), self.content(self.names.restored)) == ("live", "restored")


@pytest.fixture
def pair(postgres: PostgresServer) -> Iterator[Pair]:
    part = uuid.uuid4().hex[:8]
    names = CutoverNames(f'live "{part}"', f"live_restore_{part}", f"live_before_{part}")
    for name, word in ((names.live, "live"), (names.restored, "restored")):
        postgres.createdb(name)
        postgres.execute(f"CREATE TABLE content AS SELECT '{word}' AS word", name)
    with postgres.admin() as connection:
        connection.execute(f"COMMENT ON DATABASE {names.restored} IS '{complete_mark(UID)}'")
    yield Pair(postgres, names)
    for name in vars(names).values():
        postgres.dropdb(name)


@pytest.fixture
def helper(postgres: PostgresServer) -> str:
    """An admin who is no superuser and has no right yet but to make databases."""
    role = f"helper_{uuid.uuid4().hex[:8]}"
    postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'canary' CREATEDB; CREATE ROLE {role}_owner")
    return role


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def hand_over(pair: Pair, helper: str) -> None:
    """Both databases belong to a role that the helper is a member of."""
    for name in (pair.names.live, pair.names.restored):
        pair.server.execute(f"ALTER DATABASE {quoted(name)} OWNER TO {helper}_owner")
    pair.server.execute(f"GRANT {helper}_owner TO {helper}")


class TestLook:
    async def test_sees_the_databases_that_are_there_with_their_comments(self, pair: Pair) -> None:
        server = await pair.seen()
        assert server.comments == {pair.names.live: "", pair.names.restored: complete_mark(UID)}
        assert server.may_rename
        assert server.may_terminate
        assert server.holds == ()
        assert not server.is_swapped(pair.names, UID)

    async def test_sees_which_rights_an_admin_lacks(self, pair: Pair, helper: str) -> None:
        login = pair.admin(helper, "canary")
        weak = await pair.seen(login)
        assert (weak.may_rename, weak.may_terminate) == (False, False)
        hand_over(pair, helper)
        pair.server.execute(f"GRANT pg_signal_backend TO {helper}")
        strong = await pair.seen(login)
        assert (strong.may_rename, strong.may_terminate) == (True, True)

    async def test_sees_what_would_stay_with_the_old_database(self, pair: Pair) -> None:
        subscription = (
            "CREATE SUBSCRIPTION {} CONNECTION 'host=nowhere' PUBLICATION p WITH (connect=false, slot_name=NONE)"
        )
        with pair.server.admin(pair.names.live) as inside:
            inside.execute(subscription.format("sub_live").encode())
        with pair.server.admin(pair.names.restored) as inside:
            inside.execute(subscription.format("sub_restored").encode())
        try:
            assert (await pair.seen()).holds == ("subscription sub_live",)
        finally:
            pair.server.execute("DROP SUBSCRIPTION sub_live", pair.names.live)
            pair.server.execute("DROP SUBSCRIPTION sub_restored", pair.names.restored)


class TestProperties:
    async def test_are_the_same_afterwards_whatever_they_were(self, pair: Pair, helper: str) -> None:
        live, restored = quoted(pair.names.live), quoted(pair.names.restored)
        odd = quoted(f'Odd "{helper}"')
        pair.server.execute(f"""
            CREATE ROLE {odd} LOGIN PASSWORD 'canary';
            ALTER DATABASE {live} OWNER TO {helper}_owner;
            ALTER DATABASE {live} CONNECTION LIMIT 42;
            REVOKE CONNECT, TEMPORARY ON DATABASE {live} FROM PUBLIC;
            GRANT CONNECT ON DATABASE {live} TO {odd} WITH GRANT OPTION;
            ALTER DATABASE {live} SET search_path TO "$user", public, "Odd, Schema";
            ALTER DATABASE {live} SET work_mem TO '7MB';
            ALTER DATABASE {live} SET app.title TO 'it''s = "so" \\ é';
            ALTER ROLE {odd} IN DATABASE {live} SET timezone TO 'Europe/Berlin';
            ALTER ROLE {odd} IN DATABASE {live} SET role TO {helper}_owner;
            ALTER DATABASE {restored} SET statement_timeout TO '1s';
            GRANT CREATE ON DATABASE {restored} TO {odd};
        """)
        for _ in range(2):
            async with pair.open() as opened:
                wanted = await properties(opened, pair.names.live)
                await give_properties(opened, pair.names.restored, wanted)
                assert await properties(opened, pair.names.restored) == wanted
        assert wanted.connection_limit == 42
        for setting in ("search_path", "work_mem", "app.title", "statement_timeout"):
            shown = [pair.server.value(f"SHOW {setting}", name) for name in (pair.names.live, pair.names.restored)]
            assert shown[0] == shown[1]
        assert pair.server.value("SHOW search_path", pair.names.restored) == '"$user", public, "Odd, Schema"'

    async def test_are_given_wholly_or_not_at_all(self, pair: Pair, helper: str) -> None:
        """A role that may not do the last of it has done nothing of it."""
        hand_over(pair, helper)
        live = quoted(pair.names.live)
        pair.server.execute(f"ALTER DATABASE {live} CONNECTION LIMIT 7; ALTER DATABASE {live} SET log_duration TO on")
        with pytest.raises(Waiting, match="InsufficientPrivilege"):
            async with pair.open(pair.admin(helper, "canary")) as opened:
                await give_properties(opened, pair.names.restored, await properties(opened, pair.names.live))
        async with pair.open() as opened:
            assert (await properties(opened, pair.names.restored)).connection_limit == -1


@dataclass
class Clients:
    """Users that connect again and again; ``read`` is what they saw, ``gap`` the longest time without an answer."""

    pair: Pair
    read: list[tuple[float, str]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.is_set():
            with suppress(psycopg.Error), closing(self.pair.server.admin(self.pair.names.live)) as connection:
                row = connection.execute("SELECT word FROM content").fetchone()
                self.read.append((time.monotonic(), str(row[0]) if row else "nothing"))

    async def have_read(self, count: int) -> None:
        """Wait until so many have been in."""
        await asyncio.to_thread(wait_for, lambda: len(self.read) >= count, f"{count} answers")

    @property
    def gap(self) -> float:
        moments = sorted(moment for moment, _ in self.read)
        return max(later - sooner for sooner, later in pairwise(moments))


@contextmanager
def connecting(pair: Pair, count: int = 3) -> Iterator[Clients]:
    clients = Clients(pair)
    threads = [threading.Thread(target=clients.run) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        clients.stop.set()
        for thread in threads:
            thread.join()


class TestSwap:
    async def test_gives_each_its_new_name_and_says_whose_doing_it_was(self, pair: Pair) -> None:
        await pair.swap()
        names = pair.names
        assert (pair.content(names.live), pair.content(names.old)) == ("restored", "live")
        assert (pair.comment(names.live), pair.comment(names.old)) == (complete_mark(UID), replaced_mark(UID))
        assert (await pair.seen()).is_swapped(names, UID)

    async def test_ends_those_who_are_in(self, pair: Pair) -> None:
        live = pair.names.live
        with closing(pair.server.admin(live)) as idle, closing(pair.server.admin(live)) as busy:
            busy.autocommit = False
            busy.execute("SELECT * FROM content FOR UPDATE")
            await pair.swap()
            for connection in (idle, busy):
                with pytest.raises(psycopg.OperationalError):
                    connection.execute("SELECT 1")
        assert pair.content(pair.names.live) == "restored"

    async def test_is_never_seen_half_by_those_who_connect_meanwhile(self, pair: Pair) -> None:
        with connecting(pair) as clients:
            await clients.have_read(20)
            begin = time.monotonic()
            await asyncio.wait_for(pair.swap(), 30)
            took, before = time.monotonic() - begin, len(clients.read)
            await clients.have_read(before + 20)
        words = [word for _, word in sorted(clients.read)]
        assert set(words) == {"live", "restored"}
        assert words == sorted(words), "after the first who saw the new one nobody sees the old one"
        print(f"swap under load took {took:.2f} s, the longest time without an answer was {clients.gap:.2f} s")

    async def test_waits_for_whom_the_admin_may_not_end_and_changes_nothing(self, pair: Pair, helper: str) -> None:
        hand_over(pair, helper)
        pair.server.execute(f"GRANT pg_signal_backend TO {helper}")
        with pair.server.admin(pair.names.live), pytest.raises(Waiting, match="DatabaseInUse"):
            await pair.swap(pair.admin(helper, "canary"))
        assert pair.unchanged()
        await pair.swap(pair.admin(helper, "canary"))
        assert pair.content(pair.names.live) == "restored"

    async def test_that_is_given_up_half_way_changes_nothing(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        """The operator ends, or its session is ended, between the two names."""

        async def nobody(_: Swap) -> None:
            await asyncio.sleep(0)

        monkeypatch.setattr(postgres_cutover.Swap, "_end_sessions", nobody)
        with pair.server.admin(pair.names.restored):
            swapping = asyncio.create_task(pair.swap())
            await asyncio.to_thread(wait_for, pair.is_at_second_name, "the second name")
            swapping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await swapping
        assert pair.unchanged()

    async def test_takes_a_free_name_when_the_live_database_is_gone(self, pair: Pair) -> None:
        pair.server.dropdb(pair.names.live)
        await pair.swap(has_live=False)
        assert pair.content(pair.names.live) == "restored"
        assert pair.names.old not in (await pair.seen()).comments


class TestWayBack:
    async def test_of_the_docs_brings_the_old_database_back(self, pair: Pair) -> None:
        await pair.swap()
        (statements,) = re.findall(r"```sql\n(BEGIN;.*?)```", PAGE.read_text(), re.DOTALL)
        undone = f"{pair.names.restored}_undone"
        for shown, ours in (("aada_lms_before_1f9e2c04", pair.names.old), ("aada_lms_undone", undone)):
            statements = statements.replace(shown, ours)
        pair.server.execute(re.sub(r"\baada_lms\b", quoted(pair.names.live), statements))
        assert (pair.content(pair.names.live), pair.content(undone)) == ("live", "restored")
        assert not (await pair.seen()).is_swapped(pair.names, UID)
        pair.server.dropdb(undone)


class TestDrop:
    async def test_takes_what_was_replaced(self, pair: Pair) -> None:
        await pair.swap()
        async with pair.open() as opened:
            assert await drop_marked(opened, pair.names.old, [replaced_mark(UID)])
        assert set((await pair.seen()).comments) == {pair.names.live}

    @pytest.mark.parametrize("database", ["live", "restored", "old"])
    async def test_takes_nothing_else(self, pair: Pair, database: str) -> None:
        async with pair.open() as opened:
            assert not await drop_marked(opened, getattr(pair.names, database), [replaced_mark(UID)])
        assert pair.unchanged()

    async def test_takes_nothing_of_another_restore(self, pair: Pair) -> None:
        await pair.swap()
        async with pair.open() as opened:
            assert not await drop_marked(opened, pair.names.old, [replaced_mark("another-uid")])
        assert pair.content(pair.names.old) == "live"

    async def test_waits_for_whoever_reads_in_it(self, pair: Pair) -> None:
        await pair.swap()
        with pair.server.admin(pair.names.old), pytest.raises(Waiting, match="DatabaseInUse"):
            async with pair.open() as opened:
                await drop_marked(opened, pair.names.old, [replaced_mark(UID)])
        assert pair.content(pair.names.old) == "live"
