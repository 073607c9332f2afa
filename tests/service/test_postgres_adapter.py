"""The operator's door to PostgreSQL, against a real server: what it says of every way not to get in, and the roles."""

import asyncio
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from aada_operator.adapters import postgres, postgres_roles
from aada_operator.adapters.postgres import Endpoint, Login
from aada_operator.adapters.postgres_locks import alone
from aada_operator.core.database import Names
from aada_operator.core.errors import Waiting
from tests.service.servers import PostgresServer, free_port, in_memory

SECRET = "Secret db-admin"


@pytest.fixture(name="server")
def the_server(request: pytest.FixtureRequest) -> PostgresServer:
    """The session's PostgreSQL, under a name that is not the adapter's."""
    found: PostgresServer = request.getfixturevalue("postgres")
    return found


def endpoint(server: PostgresServer, **changes: object) -> Endpoint:
    given: dict[str, object] = {"host": server.host, "port": server.port, "ssl_mode": "disable", "allow_local": True}
    return Endpoint(**(given | changes))  # type: ignore[arg-type]


def admin(server: PostgresServer) -> Login:
    return Login(server.user, server.password, SECRET)


async def refusal(where: Endpoint, login: Login, database: str = "postgres") -> Waiting:
    """What the adapter says of a session that cannot be had."""
    with pytest.raises(Waiting) as caught:
        async with postgres.session(where, login, database):
            pass
    assert caught.value.__cause__ is None
    hidden = caught.value.__suppress_context__ or caught.value.__context__ is None
    assert hidden, "the client library's text must not reach a traceback in the log"
    assert "canary" not in str(caught.value)
    return caught.value


async def test_the_servers_facts_are_read(server: PostgresServer, database: str) -> None:
    async with postgres.session(endpoint(server), admin(server), "postgres") as session:
        facts = await postgres.facts(session, database)
        missing = await postgres.facts(session, "no_such_database")
    assert facts.version.startswith("15.")
    assert (facts.max_connections, facts.reserved) == (100, 3)
    assert facts.size_bytes > 5 * 2**20
    assert missing.size_bytes == 0


async def at_rest(session: postgres.Session, database: str) -> None:
    """Wait until the sessions of earlier tests have ended: the server tells of them a moment longer."""
    deadline = time.monotonic() + 20
    while (found := await postgres.facts(session, database)).connections:
        assert time.monotonic() < deadline, found


async def test_other_sessions_are_counted_without_privileges(server: PostgresServer, database: str) -> None:
    server.execute("CREATE ROLE watcher LOGIN PASSWORD 'watcher'")
    login = Login("watcher", "watcher", SECRET)
    async with postgres.session(endpoint(server), login, "postgres") as session:
        await at_rest(session, database)
        with server.admin(database), server.admin(database):
            during = await postgres.facts(session, database)
    assert during.connections == 2


async def test_what_the_operator_itself_opens_is_not_counted(server: PostgresServer, database: str) -> None:
    """Else a session of its last visit, which has not quite ended, changes the status of a school at rest."""
    async with (
        postgres.session(endpoint(server), admin(server), "postgres") as session,
        postgres.session(endpoint(server), admin(server), database),
    ):
        await at_rest(session, database)


async def test_an_unknown_host_is_named(server: PostgresServer) -> None:
    said = await refusal(endpoint(server, host="nowhere.invalid"), admin(server))
    assert said.reason == "HostUnknown"
    assert "nowhere.invalid" in said.message
    assert "database.host" in said.message


async def test_a_closed_port_is_named(server: PostgresServer) -> None:
    port = free_port()
    said = await refusal(endpoint(server, port=port), admin(server))
    assert said.reason == "ConnectionRefused"
    assert str(port) in said.message


async def test_a_server_that_accepts_and_says_nothing_times_out(server: PostgresServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = endpoint(server, port=silent.getsockname()[1])
        async with asyncio.timeout(postgres.CONNECT_SECONDS + 3):
            said = await refusal(where, admin(server))
    assert said.reason == "ConnectionTimedOut"


async def test_a_server_that_hangs_up_is_no_stack_trace(server: PostgresServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as rude:
        threading.Thread(target=_accept_and_close, args=(rude,), daemon=True).start()
        said = await refusal(endpoint(server, port=rude.getsockname()[1]), admin(server))
    assert said.reason == "ConnectionLost"


def _accept_and_close(listener: socket.socket) -> None:
    listener.accept()[0].close()


@pytest.mark.parametrize("user", ["postgres", "no_such_role"])
async def test_a_wrong_password_points_to_the_secret(server: PostgresServer, user: str) -> None:
    said = await refusal(endpoint(server), Login(user, "wrong-canary", SECRET))
    assert said.reason == "AuthenticationFailed"
    assert SECRET in said.message


async def test_a_role_that_may_not_log_in_points_to_the_secret(server: PostgresServer) -> None:
    server.execute("CREATE ROLE locked NOLOGIN PASSWORD 'x'")
    assert (await refusal(endpoint(server), Login("locked", "x", SECRET))).reason == "AuthenticationFailed"


async def test_a_missing_database_is_named(server: PostgresServer) -> None:
    said = await refusal(endpoint(server), admin(server), "nothing_here")
    assert said.reason == "DatabaseMissing"
    assert "nothing_here" in said.message


async def test_a_full_server_is_told_from_a_dead_one(server: PostgresServer, database: str) -> None:
    server.execute("CREATE ROLE narrow LOGIN PASSWORD 'n' CONNECTION LIMIT 0")
    said = await refusal(endpoint(server), Login("narrow", "n", SECRET), database)
    assert said.reason == "TooManyConnections"


async def test_a_missing_pg_hba_entry_is_told_from_a_wrong_password(server: PostgresServer) -> None:
    rules = server.data / "pg_hba.conf"
    before = rules.read_text()
    server.execute("CREATE ROLE outsider LOGIN PASSWORD 'o'")
    try:
        rules.write_text("host all outsider 127.0.0.1/32 reject\n" + before)
        server.execute("SELECT pg_reload_conf()")
        said = await refusal(endpoint(server), Login("outsider", "o", SECRET))
    finally:
        rules.write_text(before)
        server.execute("SELECT pg_reload_conf()")
    assert said.reason == "AccessRefused"


async def test_loopback_is_followed_only_where_it_is_allowed(server: PostgresServer) -> None:
    said = await refusal(endpoint(server, allow_local=False), admin(server))
    assert said.reason == "AddressRefused"


async def test_a_frozen_server_is_left_after_a_while(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "SESSION_SECONDS", 0.5)
    started = time.monotonic()
    said = await interruption(server, lambda backend: os.kill(backend, signal.SIGSTOP))
    assert said.reason == "ConnectionLost"
    assert time.monotonic() - started < 5


async def test_a_session_that_is_terminated_is_told_so(server: PostgresServer) -> None:
    said = await interruption(server, lambda backend: server.execute(f"SELECT pg_terminate_backend({backend})"))
    assert said.reason == "ConnectionLost"


async def interruption(server: PostgresServer, fault: Callable[[int], None]) -> Waiting:
    """What the adapter says when a fault meets an open session."""
    try:
        async with postgres.session(endpoint(server), admin(server), "postgres") as session:
            backend = session.info.backend_pid
            fault(backend)
            await session.execute("SELECT 1")
    except Waiting as waiting:
        return waiting
    finally:
        with suppress(ProcessLookupError):
            os.kill(backend, signal.SIGCONT)
    raise AssertionError("the statement went through")


# --- TLS ------------------------------------------------------------------------------------------------------------


class Authority:
    """A CA that signs one server certificate for a name."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"CA of {folder.name}")])
        self.pem = self._signed(self._name, self._key.public_key(), None).public_bytes(_PEM).decode()
        server = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.cert = self._write("server.crt", self._signed(subject, server.public_key(), name).public_bytes(_PEM))
        plain = serialization.NoEncryption()
        self.key = self._write("server.key", server.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, plain))

    def _signed(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, name: str | None) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=name is None, path_length=None), critical=True)
        if name:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(path, "postgres", "postgres")
        return path


_PEM = serialization.Encoding.PEM


@contextmanager
def tls_server(folder: Path, name: str) -> Iterator[tuple[PostgresServer, str]]:
    """A server with a certificate for ``name``, and the PEM text of its CA."""
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(0o755)
    authority = Authority(folder, name)
    options = {"ssl": "on", "ssl_cert_file": str(authority.cert), "ssl_key_file": str(authority.key)}
    with PostgresServer(in_memory(), **options) as server:
        yield server, authority.pem


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PostgresServer, str]]:
    with tls_server(tmp_path_factory.mktemp("tls"), "localhost") as made:
        yield made


async def test_tls_is_verified_with_the_given_ca(tls: tuple[PostgresServer, str]) -> None:
    server, ca = tls
    where = endpoint(server, host="localhost", ssl_mode="verify-full", ca=ca)
    async with postgres.session(where, admin(server), "postgres") as session:
        assert session.pgconn.ssl_in_use


async def test_another_ca_is_refused(tls: tuple[PostgresServer, str], tmp_path: Path) -> None:
    server, _ = tls
    where = endpoint(server, host="localhost", ssl_mode="verify-full", ca=Authority(tmp_path, "x").pem)
    said = await refusal(where, admin(server))
    assert said.reason == "TlsFailed"
    assert "caSecretRef" in said.message


async def test_the_systems_cas_are_used_when_none_is_given(
    tls: tuple[PostgresServer, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, ca = tls
    where = endpoint(server, host="localhost", ssl_mode="verify-full")
    assert (await refusal(where, admin(server))).reason == "TlsFailed"
    system = tmp_path / "ca-certificates.crt"
    system.write_text(ca)
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    async with postgres.session(where, admin(server), "postgres") as session:
        assert session.pgconn.ssl_in_use


async def test_a_certificate_for_another_name_is_refused(tls: tuple[PostgresServer, str]) -> None:
    server, ca = tls
    said = await refusal(endpoint(server, ssl_mode="verify-full", ca=ca), admin(server))
    assert said.reason == "TlsFailed"
    assert "for this name" in said.message
    async with postgres.session(endpoint(server, ssl_mode="verify-ca", ca=ca), admin(server), "postgres"):
        pass


@pytest.mark.parametrize("ca", ["", "not PEM at all", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
async def test_a_ca_that_is_none_is_named(tls: tuple[PostgresServer, str], ca: str) -> None:
    said = await refusal(endpoint(tls[0], host="localhost", ssl_mode="verify-full", ca=ca), admin(tls[0]))
    assert said.reason == "TlsFailed"
    assert "caSecretRef" in said.message


async def test_a_server_without_tls_is_told_from_a_bad_certificate(server: PostgresServer) -> None:
    said = await refusal(endpoint(server, ssl_mode="require"), admin(server))
    assert said.reason == "TlsFailed"
    assert "sslMode" in said.message


# --- the schema's revision ------------------------------------------------------------------------------------------


async def test_the_revision_is_read_from_the_named_table(server: PostgresServer, database: str) -> None:
    async with postgres.session(endpoint(server), admin(server), database) as session:
        assert await postgres.revision(session, "alembic_version") is None
        await session.execute("CREATE TABLE alembic_version (version_num text)")
        assert await postgres.revision(session, "alembic_version") is None
        await session.execute("INSERT INTO alembic_version VALUES ('0002')")
        assert await postgres.revision(session, "alembic_version") == "0002"
        await session.execute("INSERT INTO alembic_version VALUES ('0001')")
        assert await postgres.revision(session, "alembic_version") == "0001,0002"
        await session.execute('CREATE TABLE "Odd-Name" (version_num text); INSERT INTO "Odd-Name" VALUES (\'x\')')
        assert await postgres.revision(session, "Odd-Name") == "x"


async def test_a_revision_table_that_may_not_be_read_is_told_so(server: PostgresServer, database: str) -> None:
    server.execute("CREATE ROLE blind LOGIN PASSWORD 'b'")
    server.execute("CREATE TABLE alembic_version (version_num text)", database)
    with pytest.raises(Waiting) as caught:
        async with postgres.session(endpoint(server), Login("blind", "b", SECRET), database) as session:
            await postgres.revision(session, "alembic_version")
    assert caught.value.reason == "InsufficientPrivilege"


# --- roles ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def names(server: PostgresServer) -> Iterator[Names]:
    """Names that nothing on the server has yet."""
    given = Names(f"lms_{os.urandom(4).hex()}")
    yield given
    server.dropdb(given.database)
    for role in (given.login, given.owner):
        server.execute(f'DROP OWNED BY "{role}"' if server.value(_role(role)) else "SELECT")
        server.execute(f'DROP ROLE IF EXISTS "{role}"')


def _role(name: str) -> str:
    return f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'"


@pytest.fixture(params=["superuser", "CREATEROLE CREATEDB"])
def maker(request: pytest.FixtureRequest, server: PostgresServer) -> Iterator[Login]:
    """Who makes roles: on managed servers nobody is a superuser."""
    if request.param == "superuser":
        yield admin(server)
        return
    name = f"maker_{os.urandom(4).hex()}"
    server.execute(f"CREATE ROLE {name} LOGIN CREATEROLE CREATEDB PASSWORD 'm'")
    yield Login(name, "m", SECRET)


async def make(server: PostgresServer, maker: Login, names: Names, password: str) -> None:
    async with postgres.session(endpoint(server), maker, "postgres") as session:
        await postgres_roles.create_roles(session, names, "owner comment", "login comment")
        await postgres_roles.create_database(session, names)
        await postgres_roles.set_password(session, names, password, "done")


async def test_what_the_application_makes_belongs_to_the_owner(
    server: PostgresServer, names: Names, maker: Login
) -> None:
    await make(server, maker, names, "p w%/:@")
    login = Login(names.login, "p w%/:@", "Secret x")
    async with postgres.session(endpoint(server), login, names.database) as session:
        await session.execute("CREATE TABLE made (id int)")
    owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'made'"
    assert server.value(owner, names.database) == names.owner
    assert not server.value(f"SELECT rolcanlogin FROM pg_roles WHERE rolname = '{names.owner}'")


async def test_the_password_reaches_the_server_as_a_verifier_only(
    server: PostgresServer, names: Names, maker: Login
) -> None:
    password = f"canary_{os.urandom(8).hex()}"
    await make(server, maker, names, password)
    stored = server.value(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{names.login}'")
    assert stored.startswith("SCRAM-SHA-256$")
    log = server.log.read_text()
    statements, said = f'ALTER ROLE "{names.login}" PASSWORD' in log, password in log
    assert (statements, said) == (True, False), "the server logs all statements in this test"


async def test_the_inventory_tells_what_is_there(server: PostgresServer, names: Names, maker: Login) -> None:
    async with postgres.session(endpoint(server), maker, "postgres") as session:
        before = await postgres_roles.inventory(session, names)
    assert (before.owner_comment, before.login_comment, before.database_owner) == (None, None, None)
    await make(server, maker, names, "x")
    async with postgres.session(endpoint(server), maker, "postgres") as session:
        after = await postgres_roles.inventory(session, names)
    assert (after.owner_comment, after.login_comment, after.database_owner) == ("owner comment", "done", names.owner)
    assert after.admin == maker.username


async def test_roles_are_made_all_or_none(server: PostgresServer, names: Names, maker: Login) -> None:
    server.execute(f'CREATE ROLE "{names.login}"')
    with pytest.raises(Waiting):
        async with postgres.session(endpoint(server), maker, "postgres") as session:
            await postgres_roles.create_roles(session, names, "o", "l")
    assert server.value(_role(names.owner)) is None


async def test_an_existing_database_can_be_given_to_the_owner(
    server: PostgresServer, names: Names, maker: Login
) -> None:
    server.createdb(names.database, owner=maker.username)
    async with postgres.session(endpoint(server), maker, names.database) as inside:
        assert await postgres_roles.is_empty(inside)
    async with postgres.session(endpoint(server), maker, "postgres") as session:
        await postgres_roles.create_roles(session, names, "o", "l")
        await postgres_roles.take_database(session, names)
        assert (await postgres_roles.inventory(session, names)).database_owner == names.owner


@pytest.mark.parametrize(
    "content", ["CREATE TABLE t ()", "CREATE TYPE mood AS ENUM ()", "SELECT lo_create(0)", "CREATE EXTENSION pgcrypto"]
)
async def test_a_database_with_anything_in_it_is_not_empty(server: PostgresServer, database: str, content: str) -> None:
    server.execute(content, database)
    async with postgres.session(endpoint(server), admin(server), database) as session:
        assert not await postgres_roles.is_empty(session)


async def test_only_one_makes_roles_at_a_time(server: PostgresServer, names: Names) -> None:
    where, login = endpoint(server), admin(server)
    async with (
        postgres.session(where, login, "postgres") as first,
        postgres.session(where, login, "postgres") as second,
    ):
        async with alone(first, names.database):
            with pytest.raises(Waiting) as caught:
                async with alone(second, names.database):
                    pass
        assert caught.value.reason == "OperationInProgress"
        assert f"(process {first.info.backend_pid} of the server, from " in caught.value.message
        async with alone(second, names.database):
            pass


async def test_an_admin_without_rights_is_told_which_it_needs(server: PostgresServer, names: Names) -> None:
    server.execute("CREATE ROLE powerless LOGIN PASSWORD 'p'")
    with pytest.raises(Waiting) as caught:
        await make(server, Login("powerless", "p", SECRET), names, "x")
    assert caught.value.reason == "InsufficientPrivilege"
    assert "CREATEROLE" in caught.value.message
    assert SECRET in caught.value.message
