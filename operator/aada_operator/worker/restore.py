"""A backup into a new database on a server, under its name only when nobody can mistake it for another's."""

import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from aada_operator.adapters.sealed import parse_identities
from aada_operator.api.task import (
    CORRUPT,
    INSUFFICIENT_PRIVILEGE,
    NO_SPACE,
    RESTORE_FAILED,
    TARGET_EXISTS,
    VERSION_UNSUPPORTED,
    WRONG_KEY,
    Check,
    RestoreResult,
    RestoreTask,
)
from aada_operator.core.database import begun_mark, complete_mark
from aada_operator.core.errors import OperatorError, Stalled, Waiting
from aada_operator.core.failpoints import failpoint
from aada_operator.worker import databases
from aada_operator.worker.checks import passed
from aada_operator.worker.codec import opens
from aada_operator.worker.compare import demand_equal
from aada_operator.worker.content import read_contents
from aada_operator.worker.contents_list import Chosen, told
from aada_operator.worker.data_key import demand_decrypts
from aada_operator.worker.failures import statement_failures
from aada_operator.worker.load import Load
from aada_operator.worker.progress import Reporter
from aada_operator.worker.selection import Selection, select, without
from aada_operator.worker.server import Connection, Server
from aada_operator.worker.settings import WorkerSettings
from aada_operator.worker.stored import StoredBackup, demand_backup
from aada_operator.worker.verify import refuse_old_programs

logger = logging.getLogger(__name__)
_HEADER_BYTES = 64 * 2**10


def run(task: RestoreTask, settings: WorkerSettings) -> RestoreResult:
    """Restore into ``task.database.name``, or adopt what an earlier try of the same Restore completed.

    Raises:
        Stalled: nothing was touched, or what was made is dropped again.
        Waiting: what was made stays, marked as ours, and the next try replaces it.
    """
    backup = demand_backup(settings.store(task.storage), task.folder)
    if task.manifest_sha256 not in (None, backup.sha256):
        raise Stalled(
            CORRUPT, f"the manifest in {task.folder} is not the one that was planned with; use another backup"
        )
    server = settings.server(task.database)
    place = server.place(task.maintenance_database)
    with (
        closing(server.connect(task.maintenance_database)) as connection,
        statement_failures(place, RESTORE_FAILED),
        _alone(connection, task.uid),
    ):
        selection = select(backup.manifest, task.tables)
        narrowed = selection.narrowed(backup) if selection else backup
        return _Restore(task, settings, narrowed, selection, server, connection).run()


@contextmanager
def _alone(connection: Connection, uid: str) -> Iterator[None]:
    """Only one worker at a time works on a Restore: a pod on a lost node may still run."""
    row = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [uid]).fetchone()
    if not (row and row[0]):
        raise Waiting(TARGET_EXISTS, "another worker of this Restore is still at it: tried again when it has ended")
    yield


@dataclass
class _Restore:
    task: RestoreTask
    settings: WorkerSettings
    backup: StoredBackup
    selection: Selection | None
    server: Server
    connection: Connection

    def run(self) -> RestoreResult:
        started = time.monotonic()
        reporter = Reporter()
        comment = databases.read_comment(self.connection, self.name)
        if comment == complete_mark(self.task.uid):
            return self._result(adopted=True)
        reporter.stage("preflight")
        proved = self._preflight(comment, reporter)
        failpoint("worker.restore.before-create")
        self._create()
        try:
            return self._fill(started, reporter, proved)
        except OperatorError as failure:
            # Nothing will try again, or others need the room more than the next try needs what is there.
            if isinstance(failure, Stalled) or failure.reason == NO_SPACE:
                databases.drop(self.connection, self.name)
            raise

    @property
    def name(self) -> str:
        return self.task.database.name

    @property
    def _staging(self) -> str:
        """The name while the database has no comment yet; nobody else would choose it."""
        return f"restore-{self.task.uid}"[:63]

    def _preflight(self, comment: str | None, reporter: Reporter) -> list[Check]:
        """Refuse what cannot end well before anything is touched; returns what is worth telling of it."""
        if comment not in (None, begun_mark(self.task.uid)):
            raise Stalled(TARGET_EXISTS, f"database {self.name} exists and is not of this Restore: choose another name")
        self.backup.refuse_incomplete()
        refuse_old_programs(self.backup.manifest, self.settings)
        self._refuse_closed_backup()
        self._refuse_unfit_server()
        self._refuse_weak_role()
        wanted = self.task.data_key
        return [demand_decrypts(wanted, self.backup, self.settings, reporter)] if wanted else []

    def _refuse_closed_backup(self) -> None:
        if self.backup.manifest.encryption.mode == "None":
            return
        header = self.backup.store.get(self.backup.key(self.backup.manifest.parts[0]), first=_HEADER_BYTES)
        if not opens(header or b"", parse_identities(self.settings.identity())):
            raise Stalled(WRONG_KEY, "the identity does not open this backup: name the Secret of one of its recipients")

    def _refuse_unfit_server(self) -> None:
        major = self.connection.info.server_version // 10000
        manifest = self.backup.manifest
        if major < manifest.database.server_major:
            message = f"the backup is of PostgreSQL {manifest.database.server_major}, the server is {major}: upgrade it"
            raise Stalled(VERSION_UNSUPPORTED, message)
        absent = databases.missing_extensions(self.connection, manifest.extensions)
        if absent:
            message = f"the server lacks extension {', '.join(absent[:5])}: install its package there"
            raise Stalled(VERSION_UNSUPPORTED, message)

    def _refuse_weak_role(self) -> None:
        row = self.connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        is_super, may_create, may_create_roles = row or (False, False, False)
        user = self.connection.info.user
        if not (is_super or may_create):
            raise Stalled(INSUFFICIENT_PRIVILEGE, f"role {user} may not make databases: give it CREATEDB")
        missing = databases.missing_roles(self.connection, self.backup.manifest.roles)
        if missing and not (is_super or may_create_roles):
            names = ", ".join(role.name for role in missing[:5])
            raise Stalled(
                INSUFFICIENT_PRIVILEGE, f"the server lacks roles {names}: make them, or give {user} CREATEROLE"
            )

    def _create(self) -> None:
        """An empty database, which has our comment from the moment that it has its name."""
        manifest, mark = self.backup.manifest, begun_mark(self.task.uid)
        missing = databases.missing_roles(self.connection, manifest.roles)
        databases.create_roles(self.connection, missing, comment=mark)
        if databases.read_comment(self.connection, self.name) == mark:
            databases.drop(self.connection, self.name)
        databases.drop(self.connection, self._staging)
        databases.create(self.connection, self._staging, manifest.database, owner=manifest.database.owner)
        failpoint("worker.restore.after-create")
        databases.write_comment(self.connection, self._staging, mark)
        databases.rename(self.connection, self._staging, self.name)
        failpoint("worker.restore.after-rename")

    def _fill(self, started: float, reporter: Reporter, proved: list[Check]) -> RestoreResult:
        reporter.stage("restore", self.backup.manifest.stored_bytes)
        loading = time.monotonic()
        server_version = self.connection.info.server_version
        chosen = Load(
            self.backup,
            self.settings.identity(),
            self.server,
            server_version,
            self.name,
            self.settings.programs,
            reporter,
            selection=self.selection,
        ).run()
        restore_seconds = time.monotonic() - loading
        failpoint("worker.restore.before-compare")
        reporter.stage("compare")
        checks = [*proved, *self._equal(chosen, reporter), *self._asked()]
        failpoint("worker.restore.before-complete")
        databases.write_comment(self.connection, self.name, complete_mark(self.task.uid))
        result = self._result(checks, time.monotonic() - started, restore_seconds)
        return result.model_copy(update={"left_out": told(chosen.left_out) if chosen else ""})

    def _equal(self, chosen: Chosen | None, reporter: Reporter) -> list[Check]:
        """The comparison with the manifest, or with what it says of the chosen tables."""
        with closing(self.server.connect(self.name)) as connection:
            contents = read_contents(connection, self.backup.manifest, lambda: reporter.add(tables=1))
        if self.selection and chosen:
            return demand_equal(self.selection.expected(chosen), without(contents, chosen.helpers))
        return demand_equal(self.backup.manifest, contents)

    def _asked(self) -> list[Check]:
        """The checks of the Restore, asked by the application: who writes one must not become the admin by it."""
        if not self.task.checks:
            return []
        server = self.settings.application_server(self.task.database)
        with (
            closing(server.connect(self.name)) as connection,
            statement_failures(server.place(self.name), RESTORE_FAILED),
        ):
            return [passed(connection, check) for check in self.task.checks]

    def _result(
        self,
        checks: list[Check] | None = None,
        duration_seconds: float = 0,
        restore_seconds: float = 0,
        *,
        adopted: bool = False,
    ) -> RestoreResult:
        manifest = self.backup.manifest
        return RestoreResult(
            database=self.name,
            adopted=adopted,
            tables=len(manifest.tables),
            rows=manifest.rows,
            digest=manifest.digest.value,
            duration_seconds=round(duration_seconds, 3),
            restore_seconds=round(restore_seconds, 3),
            bytes=manifest.stored_bytes,
            checks=checks or [],
        )
