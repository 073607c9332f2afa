"""Proof of one backup: restored on a scratch server inside the Job, and compared with its manifest."""

import logging
import random
import time
from contextlib import closing
from dataclasses import dataclass

from aada_operator.adapters.sealed import parse_identities
from aada_operator.api.manifest import Manifest
from aada_operator.api.task import RESTORE_FAILED, VERSION_UNSUPPORTED, Check, FilesCheck, VerifyResult, VerifyTask
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.failpoints import failpoint
from aada_operator.worker import bundle, databases
from aada_operator.worker.checks import Inspection
from aada_operator.worker.compare import demand_equal
from aada_operator.worker.content import Contents, read_contents
from aada_operator.worker.failures import statement_failures
from aada_operator.worker.load import Load
from aada_operator.worker.progress import Reporter
from aada_operator.worker.scratch import ScratchServer
from aada_operator.worker.server import Connection
from aada_operator.worker.settings import WorkerSettings, major_version
from aada_operator.worker.stored import StoredBackup, demand_backup
from aada_operator.worker.tools import version_of
from aada_operator.worker.uploads_check import look_for_files

logger = logging.getLogger(__name__)
_DATABASE = "aada_verification"


def run(task: VerifyTask, settings: WorkerSettings) -> VerifyResult:
    """Restore, compare, forget. Nothing of production but the bucket is touched.

    Raises:
        Stalled: the backup is not what its manifest says, or cannot be opened here.
        Waiting: the bucket, room or time was missing.
    """
    started = time.monotonic()
    reporter = Reporter()
    reporter.stage("check")
    backup = demand_backup(settings.store(task.storage), task.folder)
    backup.refuse_incomplete()
    refuse_old_programs(backup.manifest, settings)
    with ScratchServer(settings.scratch_dir, settings.programs) as scratch:
        try:
            verification = _Verification(backup, settings, scratch, reporter)
            locale, restore_seconds, contents = verification.run()
            equal = demand_equal(backup.manifest, contents)
            inspected = verification.inspect(task)
            bundled = verification.bundle()
        except Waiting as failure:
            raise scratch.explain(failure) from None
    checks = [Check(name="hashes", ok=True), *equal, locale, *bundled, *inspected]
    return VerifyResult(
        tables=len(contents.tables),
        rows=sum(table.rows for table in contents.tables),
        digest=backup.manifest.digest.value,
        duration_seconds=round(time.monotonic() - started, 3),
        restore_seconds=round(restore_seconds, 3),
        bytes=backup.manifest.stored_bytes,
        checks=checks,
    )


@dataclass(frozen=True)
class _Verification:
    backup: StoredBackup
    settings: WorkerSettings
    scratch: ScratchServer
    reporter: Reporter

    def run(self) -> tuple[Check, float, Contents]:
        """The check of the locale, the seconds of the load, and what is there after it."""
        with closing(self.scratch.server.connect("postgres")) as connection:
            locale = _prepare(connection, self.backup.manifest)
            server_version = connection.info.server_version
        failpoint("worker.verify.before-load")
        self.reporter.stage("restore", self.backup.manifest.stored_bytes)
        loading = time.monotonic()
        self._load(server_version)
        restore_seconds = time.monotonic() - loading
        self.reporter.stage("compare")
        failpoint("worker.verify.before-compare")
        return locale, restore_seconds, self._contents()

    def inspect(self, task: VerifyTask) -> list[Check]:
        """The checks of the policy and of PostgreSQL itself, and users' files that the copy names."""
        self.reporter.stage("inspect")
        place = self.scratch.server.place(_DATABASE)
        with statement_failures(place, RESTORE_FAILED):
            inspection = Inspection(self.scratch, _DATABASE, self.settings.programs)
            found = inspection.run(task.checks)
            return [*found, self._files(inspection, task.files)] if task.files else found

    def _files(self, inspection: Inspection, check: FilesCheck) -> Check:
        self.reporter.stage("uploads")
        with closing(inspection.reader()) as connection:
            store = self.settings.uploads_store(check.storage)
            return look_for_files(connection, store, check, random.Random())  # noqa: S311 - chance, no secret

    def bundle(self) -> list[Check]:
        """That the bundle opens and reads; none for a backup that has none."""
        encrypted = self.backup.manifest.encryption.mode == "Age"
        found = bundle.read(self.backup, parse_identities(self.settings.identity()) if encrypted else [])
        if found is None:
            return []
        secrets, roles = len(found.objects("Secret")), len(found.roles)
        return [Check(name="bundle", ok=True, message=f"{secrets} Secrets, {roles} roles")]

    def _load(self, server_version: int) -> None:
        identity, programs = self.settings.identity(), self.settings.programs
        server = self.scratch.server
        Load(self.backup, identity, server, server_version, _DATABASE, programs, self.reporter, passing=True).run()

    def _contents(self) -> Contents:
        place = self.scratch.server.place(_DATABASE)
        with closing(self.scratch.server.connect(_DATABASE)) as connection, statement_failures(place, RESTORE_FAILED):
            return read_contents(connection, self.backup.manifest, lambda: self.reporter.add(tables=1))


def refuse_old_programs(manifest: Manifest, settings: WorkerSettings) -> None:
    """Make sure that the programs here can read the dump.

    Raises:
        Stalled: VersionUnsupported.
    """
    here = version_of(settings.programs / "pg_restore")
    if major_version(here) < major_version(manifest.tools.pg_dump):
        message = f"{here} cannot read a dump of {manifest.tools.pg_dump}: use a newer image"
        raise Stalled(VERSION_UNSUPPORTED, message)


def _prepare(connection: Connection, manifest: Manifest) -> Check:
    """Roles and an empty database like the one that was backed up; a locale that this image lacks becomes C."""
    absent = databases.missing_extensions(connection, manifest.extensions)
    if absent:
        message = f"this image lacks extension {', '.join(absent[:5])}: use a worker image that has it"
        raise Stalled(VERSION_UNSUPPORTED, message)
    missing = databases.missing_roles(connection, manifest.roles)
    databases.create_roles(connection, missing, all_powerful=True)
    try:
        databases.create(connection, _DATABASE, manifest.database)
    except Stalled as error:
        if error.reason != RESTORE_FAILED:
            raise
        plain = {"collate": "C", "ctype": "C", "locale_provider": "libc", "locale": None}
        databases.create(connection, _DATABASE, manifest.database.model_copy(update=plain))
        message = f"this image lacks the locale {manifest.database.collate}: verified under C, sort orders were not"
        return Check(name="locale", ok=True, message=message)
    return Check(name="locale", ok=True)
