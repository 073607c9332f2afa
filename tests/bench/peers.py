"""What else backs a PostgreSQL up to S3, on the database and S3 server of the show, as each tool's manual says.

Each makes a full backup, one of the unchanged database and one after about 1 % of new rows, and brings the last one
back on a server of its own, from nothing to equal numbers of rows. A tool that is not there, or fails, is said to.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import sql

from aada_operator.worker import scratch
from tests.service.processes import children_of, peak_of
from tests.service.servers import POSTGRES_BIN, PostgresServer, S3Server, unprivileged, wait_for
from tests.testbed.pki import Authority, Identity

# Each step of a peer ends within this, or the peer has failed.
STEP_SECONDS = 600
STEPS = ("full", "unchanged", "appended")
# A person's own folders may hold other programs of these names, or some that PostgreSQL's user may not run.
_PATH = f"{POSTGRES_BIN}:/usr/local/bin:/usr/bin:/bin"
# A branch: of its tags only those to v0.2.19, older than PostgreSQL 15, are versions of a module with this path.
WALG = "github.com/wal-g/wal-g/main/pg@master"
WALG_SECONDS = 240


class Unavailable(Exception):
    """A peer cannot be had here; the message is what its row says."""


class Failed(Exception):
    """A peer is here and does not do it; the message is what its row says."""


@dataclass
class World:
    """What all peers work on: a server with ``database``, an S3 server, and a folder that PostgreSQL's user owns.

    ``grow`` adds about 1 % of rows. ``install``: whether programs that are missing may be installed.
    """

    postgres: PostgresServer
    s3: S3Server
    database: str
    folder: Path
    grow: Callable[[], None]
    install: bool

    def rows(self, server: PostgresServer, database: str) -> dict[str, int]:
        """How many rows each table has."""
        with server.admin(database) as connection:
            names = [name for (name,) in connection.execute("SELECT relname FROM pg_stat_user_tables ORDER BY 1")]
            count = sql.SQL("SELECT count(*) FROM {}")
            cursors = {name: connection.execute(count.format(sql.Identifier(name))) for name in names}
            return {name: (cursor.fetchone() or (0,))[0] for name, cursor in cursors.items()}


@dataclass
class Peer:
    """One tool: its programs, the Debian package that has them, and its commands in shell."""

    name: str
    program: str
    package: str
    s3: S3Server
    world: World
    bucket: str = field(init=False)
    folder: Path = field(init=False)
    peak_bytes: int = 0

    verification = "none of its own"
    user: dict[str, Any] = field(default_factory=dict)

    def measure(self) -> dict[str, Any]:
        """One row of the table: seconds, bytes and memory, or why there are none: it is ``absent``, or ``failed``."""
        try:
            self._obtain()
        except (Unavailable, subprocess.SubprocessError, OSError) as failure:
            return {"status": "absent", "reason": str(failure)}
        try:
            self.bucket, self.folder = self.s3.make_bucket(), self.world.folder / secrets.token_hex(4)
            self.folder.mkdir()
            if self.user:
                shutil.chown(self.folder, "postgres", "postgres")
            steps: dict[str, Any] = {}
            try:
                self.prepare()
                for step in STEPS:
                    if step == "appended":
                        self.world.grow()
                    steps[step] = self._timed(lambda step=step: self.backup(step))  # type: ignore[misc]
                steps["restore"] = self._timed(self.restore_equal)
            finally:
                self.finish()
        except (Failed, subprocess.SubprocessError, OSError) as failure:
            return {"status": "failed", "reason": str(failure)}
        except RuntimeError as failure:
            return {"status": "failed", "reason": f"the restored server ends: {str(failure).splitlines()[-1]}"}
        return {"status": "ok", **steps, "peak_mib": self.peak_bytes // 2**20, "verification": self.verification}

    def _timed(self, act: Callable[[], None]) -> dict[str, float]:
        before, began = self._stored(), time.monotonic()
        act()
        return {"seconds": round(time.monotonic() - began, 2), "bytes": self._stored() - before}

    def _stored(self) -> int:
        return sum(file.stat().st_size for file in (self.s3.root / self.bucket).rglob("*") if file.is_file())

    def is_there(self) -> bool:
        """Whether its program is installed."""
        return shutil.which(self.program, path=_PATH) is not None

    def _obtain(self) -> None:
        """Have the program. Raises Unavailable."""
        if self.is_there():
            return
        if not self.world.install:
            raise Unavailable(f"{self.program} is not installed here")
        self.install()
        if not self.is_there():
            raise Unavailable(f"{self.program} is not there after its installation")

    def install(self) -> None:
        """Get the program from Debian."""
        if os.geteuid() or not shutil.which("apt-get"):
            raise Unavailable(f"{self.program} is not installed, and installing needs root and apt-get")
        argv = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *self.package.split()]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, timeout=STEP_SECONDS, check=False
        )  # fmt: skip
        if done.returncode:
            raise Unavailable(f"Debian's {self.package} cannot be installed")

    def run(self, command: str, **environment: str) -> str:
        """Run a pipeline; its processes' memory counts. Raises Failed with its last words; returns its output."""
        variables = {
            "PATH": _PATH,
            "HOME": os.environ["HOME"] if not self.user else str(self.folder),
            "LC_ALL": "C.UTF-8",
            "PGHOST": str(self.world.postgres.folder),
            "PGPORT": str(self.world.postgres.port),
            "PGUSER": self.world.postgres.user,
            "PGDATABASE": self.world.database,
            **self.storage(),
            **environment,
        }
        argv = ["bash", "-euo", "pipefail", "-c", command]
        with subprocess.Popen(
            argv, env=variables, cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **self.user
        ) as process:
            watcher = threading.Thread(target=self._watch, args=[process])
            watcher.start()
            try:
                output, said = process.communicate(timeout=STEP_SECONDS)
            finally:
                process.kill()
                watcher.join()
        if process.returncode:
            words = (said.strip() or output.strip() or "no words").splitlines()[-1]
            raise Failed(f"{self.program}: {words[:200]}")
        return str(output)

    def _watch(self, process: subprocess.Popen[str]) -> None:
        pause = threading.Event()
        while process.poll() is None:
            self.peak_bytes = max(self.peak_bytes, sum(map(peak_of, children_of(process.pid))))
            pause.wait(0.05)

    def storage(self) -> dict[str, str]:
        """The variables that the AWS libraries read."""
        keys = {"AWS_ACCESS_KEY_ID": self.s3.access_key, "AWS_SECRET_ACCESS_KEY": self.s3.secret_key}
        return {**keys, "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1"}

    def prepare(self) -> None:
        """What comes once, before the first backup."""

    def backup(self, step: str) -> None:
        """One backup."""
        raise NotImplementedError

    def restore_equal(self) -> None:
        """Restore the last backup and compare numbers of rows. Raises Failed where they differ."""
        raise NotImplementedError

    def finish(self) -> None:
        """Leave the server as it was."""

    def compare(self, server: PostgresServer, database: str) -> None:
        """Raises Failed where a restored database has other numbers of rows."""
        expected, found = (
            self.world.rows(*one) for one in ((self.world.postgres, self.world.database), (server, database))
        )
        if expected != found:
            raise Failed("the restored database has other numbers of rows")


class Dumps(Peer):
    """pg_dump into ``aws s3 cp``; every backup is a full one."""

    dump = "pg_dump | gzip"
    load = "gunzip | psql -q -v ON_ERROR_STOP=1 -o /dev/null"

    @property
    def _aws(self) -> str:
        return f"aws --endpoint-url {self.s3.endpoint} s3 cp --quiet"

    def backup(self, step: str) -> None:
        self.run(f"{self.dump} | {self._aws} - s3://{self.bucket}/{step}")

    def restore_equal(self) -> None:
        options = {name: value for name, value in scratch.OPTIONS.items() if name != "listen_addresses"}
        with PostgresServer(**options) as server:
            server.execute("CREATE ROLE lms")
            server.createdb("restored")
            where = {"PGHOST": str(server.folder), "PGPORT": str(server.port), "PGDATABASE": "restored"}
            self.run(f"{self._aws} s3://{self.bucket}/{STEPS[-1]} - | {self.load}", **where)
            self.compare(server, "restored")


class CustomDumps(Dumps):
    """pg_dump's own format."""

    dump = "pg_dump -Fc"
    load = "cat > dump; pg_restore -j2 -d restored dump"


class Physical(Peer):
    """A copy of the server's files with its WAL; the commands ``archive`` and ``fetch`` are scripts."""

    archive = fetch = ""

    def prepare(self) -> None:
        """Archive WAL from now on."""
        for name, command in (("archive", self.archive), ("fetch", self.fetch)):
            variables = {**self.storage(), "HOME": str(self.folder), "PATH": _PATH}
            exports = [f"export {variable}={value}" for variable, value in variables.items()]
            script = self.script(name)
            script.write_text("\n".join(["#!/bin/bash", *exports, self.format(command), ""]))
            script.chmod(0o755)
        self._archive_by(f"{self.script('archive')} %p")

    def script(self, name: str) -> Path:
        """The file of a command; pgBackRest wants to see its own name in it."""
        return self.folder / f"{self.program}-{name}"

    def format(self, command: str) -> str:
        """Where things are, put into a command."""
        places = {
            "folder": self.folder,
            "bucket": self.bucket,
            "endpoint": self.s3.endpoint,
            "data": self.world.postgres.data,
        }
        return command.format(**places, host=self.world.postgres.folder, port=self.world.postgres.port)

    def finish(self) -> None:
        self._archive_by("/bin/true")

    def _archive_by(self, command: str) -> None:
        self.world.postgres.execute(f"ALTER SYSTEM SET archive_command = '{command}'")
        self.world.postgres.execute("SELECT pg_reload_conf()")

    def restore_files(self, target: Path) -> None:
        """Bring the files of the last backup to an empty folder."""
        raise NotImplementedError

    def restore_equal(self) -> None:
        with _Recovered(self) as server:
            wait_for(lambda: not server.value("SELECT pg_is_in_recovery()"), "the end of recovery", 120)
            self.compare(server, self.world.database)


class _Recovered(PostgresServer):
    """A server over files that a peer brings back."""

    def __init__(self, peer: Physical) -> None:
        super().__init__(archive_mode="off", restore_command=f"{peer.script('fetch')} %f %p")
        self._peer = peer

    def _initdb(self) -> None:
        self.data.mkdir(mode=0o700)
        if self._peer.user:
            shutil.chown(self.data, "postgres", "postgres")
        self._peer.restore_files(self.data)
        (self.data / "recovery.signal").touch()


class Barman(Physical):
    """barman-cloud: full copies only."""

    _where = "--endpoint-url {endpoint} s3://{bucket}/barman school"
    archive = f"exec barman-cloud-wal-archive --gzip {_where} $1"
    fetch = f"exec barman-cloud-wal-restore {_where} $1 $2"

    def backup(self, step: str) -> None:
        self.run(
            self.format(
                "barman-cloud-backup --gzip --jobs 2 --immediate-checkpoint -h {host} -p {port} -U postgres "
                f"--name {step} {self._where}"
            )
        )

    def restore_files(self, target: Path) -> None:
        self.run(self.format(f"barman-cloud-restore {self._where} {STEPS[-1]} {target}"))


class PgBackRest(Physical):
    """pgBackRest with zstd and its own encryption, over TLS, which it demands; later backups are incremental."""

    verification = "pgbackrest verify"
    _command = "pgbackrest --config={folder}/pgbackrest.conf --stanza=school"
    archive = f"exec {_command} archive-push $1"
    fetch = f"exec {_command} --pg1-path=$PWD archive-get $1 $2"

    def prepare(self) -> None:
        super().prepare()
        settings = {
            "repo1-type": "s3", "repo1-path": "/pgbackrest", "repo1-s3-bucket": self.bucket,
            "repo1-s3-endpoint": "localhost", "repo1-storage-port": self.s3.port, "repo1-s3-region": "us-east-1",
            "repo1-s3-uri-style": "path", "repo1-storage-ca-file": self.world.folder / "tls" / "ca.crt",
            "repo1-s3-key": self.s3.access_key, "repo1-s3-key-secret": self.s3.secret_key,
            "repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": secrets.token_hex(16), "repo1-retention-full": 9,
            "compress-type": "zst", "process-max": 2, "start-fast": "y", "log-level-file": "off",
            "lock-path": self.folder, "spool-path": self.folder, "log-path": self.folder,
        }  # fmt: skip
        server = self.world.postgres
        stanza = {"pg1-path": server.data, "pg1-port": server.port, "pg1-socket-path": server.folder}
        text = "".join(
            f"[{section}]\n" + "".join(f"{name}={value}\n" for name, value in values.items())
            for section, values in (("global", settings), ("school", stanza))
        )
        (self.folder / "pgbackrest.conf").write_text(text)
        self.run(self.format(f"{self._command} stanza-create"))

    def backup(self, step: str) -> None:
        self.run(self.format(f"{self._command} backup --type={'full' if step == 'full' else 'incr'}"))

    def restore_files(self, target: Path) -> None:
        self.run(self.format(f"{self._command} verify"))
        self.run(self.format(f"{self._command} --pg1-path={target} --archive-mode=off restore"))


class WalG(Physical):
    """WAL-G with its defaults, built from its Go module; later backups are deltas."""

    archive = "exec wal-g wal-push $1"
    fetch = "exec wal-g wal-fetch $1 $2"

    def storage(self) -> dict[str, str]:
        own = {
            "WALG_S3_PREFIX": f"s3://{self.bucket}/walg", "AWS_ENDPOINT": self.s3.endpoint,
            "AWS_S3_FORCE_PATH_STYLE": "true", "WALG_DELTA_MAX_STEPS": "6", "WALG_COMPRESSION_METHOD": "zstd",
        }  # fmt: skip
        return {**super().storage(), **own}

    def install(self) -> None:
        if not shutil.which("go"):
            raise Unavailable("WAL-G is no Debian package, and Go is not here to build it")
        target = self.world.folder / "go"
        environment = {**os.environ, "GOBIN": str(target), "CGO_ENABLED": "0"}
        done = subprocess.run(
            ["go", "install", WALG], env=environment, capture_output=True, text=True, timeout=WALG_SECONDS, check=False
        )  # fmt: skip
        if done.returncode:
            words = " ".join(line.strip() for line in done.stderr.splitlines()[-2:])
            raise Unavailable(f"go install {WALG} fails: {words.rpartition(f'{WALG}: ')[2][:240]}")
        shutil.copy(target / "pg", "/usr/local/bin/wal-g")

    def backup(self, _: str) -> None:
        self.run(f"wal-g backup-push {self.world.postgres.data}")

    def restore_files(self, target: Path) -> None:
        self.run(f"wal-g backup-fetch {target} LATEST")


def run(world: World, say: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """All peers, one after the other; the names are those of the table."""
    tls = world.folder / "tls"
    Authority(tls).issue("server", Identity("localhost", dns_names=("localhost",), addresses=("127.0.0.1",)))
    tls.chmod(0o755)
    postgres, found = unprivileged(), {}
    with S3Server(tls / "server") as secure:
        peers: list[Peer] = [
            Dumps("pg_dump | gzip (the runbook)", "aws", "awscli", world.s3, world),
            CustomDumps("pg_dump -Fc", "aws", "awscli", world.s3, world),
            Barman(
                "barman-cloud", "barman-cloud-backup", "barman-cli-cloud python3-boto3", world.s3, world, user=postgres
            ),
            PgBackRest("pgBackRest", "pgbackrest", "pgbackrest", secure, world, user=postgres),
            WalG("WAL-G", "wal-g", "", world.s3, world, user=postgres),
        ]
        for peer in peers:
            found[peer.name] = peer.measure()
            say(f"{peer.name}: {found[peer.name]}")
    return found
