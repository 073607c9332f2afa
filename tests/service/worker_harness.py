"""Runs the worker as a Job would: a process without root's rights, Secrets as files, the outcome in a file."""

from __future__ import annotations

import compileall
import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel

from aada_operator.api.manifest import Manifest, backup_folder, lms_folder, manifest_key, parse_manifest
from aada_operator.api.task import (
    BackupResult,
    BackupTask,
    CopyTask,
    Outcome,
    RestoreResult,
    RestoreTask,
    S3Location,
    VerifyResult,
    VerifyTask,
)
from aada_operator.worker.keys import keygen
from tests.service.processes import children_of, peak_of, program_of, stands_still, visible_of
from tests.service.servers import PostgresServer, S3Server, wait_for

CHECKOUT = Path(__file__).resolve().parents[2]
# As in the image: a worker, who may not write here, does not compile half of the project at each start.
compileall.compile_dir(CHECKOUT / "operator", quiet=1)
Result = TypeVar("Result", bound=BaseModel)


@dataclass
class Finished:
    """A worker that has ended, with the peak memory of its own process and of its programs in bytes."""

    exit_code: int
    output: str
    outcome: Outcome | None
    peak_bytes: int
    children: dict[str, int]

    def result(self, model: type[Result]) -> Result:
        """The result of a success; fails with all that is known otherwise."""
        assert self.outcome is not None, f"no outcome, exit code {self.exit_code}: {self.output}"
        assert self.outcome.ok, f"{self.outcome}: {self.output}"
        assert self.exit_code == 0
        return model.model_validate(self.outcome.result)

    @property
    def failure(self) -> Outcome:
        """The outcome of a failure."""
        assert self.outcome is not None, f"no outcome, exit code {self.exit_code}: {self.output}"
        assert not self.outcome.ok, f"succeeded: {self.outcome}"
        assert self.exit_code == (1 if self.outcome.retryable else 2)
        return self.outcome

    @property
    def progress(self) -> list[dict[str, Any]]:
        """What it told of its progress."""
        lines = [json.loads(line) for line in self.output.splitlines()]
        return [line["progress"] for line in lines if "progress" in line]


class RunningWorker:
    """A worker process; arguments and environments of it and its children are searched for secrets at the end."""

    def __init__(self, kind: str, environment: dict[str, str], outcome_file: Path, secrets: list[str]) -> None:
        self._outcome_file = outcome_file
        self._secrets = secrets
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by finish
        self.peak_bytes = 0
        self.children: dict[str, int] = {}
        self.seen: set[str] = set()
        argv = [*_without_root(), sys.executable, "-m", "aada_operator", "worker", kind]
        self.process = subprocess.Popen(
            argv, env=environment, stdout=self._output, stderr=subprocess.STDOUT, cwd="/", start_new_session=True
        )
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        ended = threading.Event()
        while self.process.poll() is None:
            self.seen |= visible_of(self.process.pid)
            for pid in children_of(self.process.pid):
                self.seen |= visible_of(pid)
                name = program_of(pid)
                self.children[name] = max(self.children.get(name, 0), peak_of(pid))
            self.peak_bytes = max(self.peak_bytes, peak_of(self.process.pid))
            ended.wait(0.05)

    def output(self) -> str:
        """What it has written so far."""
        position = self._output.tell()
        self._output.seek(0)
        text = self._output.read()
        self._output.seek(position)
        return text

    def wait_for_stage(self, stage: str) -> None:
        """Wait until the worker says that it has reached a stage."""
        wait_for(lambda: f'"stage": "{stage}"' in self.output() or self.process.poll() is not None, stage, 30)

    def freeze(self, program: str) -> None:
        """Make one of its programs stand still, as if it waited for something that never comes."""
        for pid in children_of(self.process.pid):
            if program_of(pid) == program:
                os.kill(pid, signal.SIGSTOP)
                return
        raise LookupError(f"{program} does not run")

    def wait_until_stopped(self) -> None:
        """Wait until it has reached a fail-point that is set to ``stop``."""
        wait_for(lambda: stands_still(self.process.pid), "the fail-point", 30)

    def go_on(self) -> None:
        """Let it go on from there."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Tell it to stop, as Kubernetes does."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> bool:
        """Kill it with all of its programs, as a container is; False: it had ended by itself."""
        self.process.kill()
        killed = self.finish().exit_code == -signal.SIGKILL
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return killed

    def finish(self, timeout: float = 120) -> Finished:
        """Wait for its end; a worker that hangs is killed and fails the test."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._output.close()
            raise
        finally:
            self.process.kill()
            self.process.wait()
            self._watcher.join()
        outcome = None
        # One that was killed may have begun to write it.
        if code >= 0 and self._outcome_file.exists():
            outcome = Outcome.model_validate_json(self._outcome_file.read_text())
            assert len(self._outcome_file.read_bytes()) <= 4096
        output = self.output()
        self._output.close()
        for text in (output, str(outcome), *self.seen):
            assert not any(secret in text for secret in self._secrets), "a secret was seen where anybody can read it"
        return Finished(code, output, outcome, self.peak_bytes, self.children)


class Job:
    """One Job's surroundings: mounted Secrets, scratch space, a place for the outcome."""

    def __init__(self, postgres: PostgresServer, s3: S3Server, bucket: str, parent: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="aada-job-", dir=parent or None))
        self.postgres, self.s3, self.bucket = postgres, s3, bucket
        self.identity, self.recipient = keygen()
        self.environment: dict[str, str] = {}
        self.secret("database/username", postgres.user)
        self.secret("database/password", postgres.password)
        self.mount("storage", s3)
        self.mount("uploads-storage", s3)
        self.secret("identity/identity", self.identity)
        self.secret("chunk-key/key", secrets.token_hex(32))
        (self.folder / "scratch").mkdir()
        (self.folder / "tmp").mkdir()
        self.claim = self.folder / "claim"
        self.claim.mkdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def secret(self, name: str, content: str) -> None:
        """Mount a Secret's key: ``database/password`` and so on."""
        file = self.folder / "secrets" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def mount(self, volume: str, s3: S3Server) -> None:
        """Mount the credentials of a place: ``storage``, ``uploads-storage``, or ``copy`` for a second one."""
        self.secret(f"{volume}/AWS_ACCESS_KEY_ID", s3.access_key)
        self.secret(f"{volume}/AWS_SECRET_ACCESS_KEY", s3.secret_key)

    def _secrets(self) -> list[str]:
        public = {"username", "ca.crt"}
        files = [path for path in (self.folder / "secrets").rglob("*") if path.is_file() and path.name not in public]
        return [path.read_text().strip() for path in files]

    def task(self, database: str, name: str = "nightly", **fields: Any) -> BackupTask:
        """A task for a backup of ``database``."""
        return BackupTask(
            **{
                "name": name,
                "uid": f"uid-{name}",
                "namespace": "aada",
                "lms": "lms",
                "policy": "nightly",
                "database": self.postgres.address(database),
                "storage": self.s3.location(self.bucket),
                "folder": folder_of(name),
                "recipients": [self.recipient],
                **fields,
            }
        )

    def start(self, kind: str, task: BaseModel, failpoints: str = "", **environment: str) -> RunningWorker:
        """Start a worker."""
        outcome_file = self.folder / "outcome"
        outcome_file.unlink(missing_ok=True)
        variables = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(CHECKOUT / "operator"),
            "TMPDIR": str(self.folder / "tmp"),
            "AADA_TASK": task.model_dump_json(by_alias=True),
            "AADA_SECRETS_DIR": str(self.folder / "secrets"),
            "AADA_SCRATCH_DIR": str(self.folder / "scratch"),
            "AADA_CLAIM_DIR": str(self.claim),
            "AADA_TERMINATION_LOG": str(outcome_file),
            "AADA_FAILPOINTS": failpoints,
            **self.environment,
            **environment,
        }
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "postgres:postgres", self.folder], check=True)
        return RunningWorker(kind, variables, outcome_file, self._secrets())

    def run(self, kind: str, task: BaseModel, failpoints: str = "", **environment: str) -> Finished:
        """Run a worker to its end."""
        return self.start(kind, task, failpoints, **environment).finish()

    def backup(self, database: str, name: str = "nightly", **fields: Any) -> BackupResult:
        """A backup that must succeed."""
        return self.run("backup", self.task(database, name, **fields)).result(BackupResult)

    def verify_task(self, name: str = "nightly") -> VerifyTask:
        return VerifyTask(storage=self.s3.location(self.bucket), folder=folder_of(name))

    def verify(self, name: str = "nightly") -> VerifyResult:
        """A verification that must succeed."""
        return self.run("verify", self.verify_task(name)).result(VerifyResult)

    def copy_task(self, name: str, storage: S3Location, folder: str, **fields: Any) -> CopyTask:
        """A task that brings a backup to a second place."""
        manifest = self.s3.file(self.bucket, manifest_key(folder_of(name))).read_bytes()
        return CopyTask(
            **{
                "name": name,
                "source": self.s3.location(self.bucket),
                "source_folder": folder_of(name),
                "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
                "storage": storage,
                "folder": folder,
                **fields,
            }
        )

    def restore_task(self, target: str, name: str = "nightly", uid: str = "6f1c", **fields: Any) -> RestoreTask:
        verification = self.verify_task(name)
        address = self.postgres.address(target)
        return RestoreTask(
            **{
                "uid": uid,
                "storage": verification.storage,
                "folder": verification.folder,
                "database": address,
                **fields,
            }
        )

    def restore(self, target: str, name: str = "nightly", **fields: Any) -> RestoreResult:
        """A restore that must succeed."""
        return self.run("restore", self.restore_task(target, name, **fields)).result(RestoreResult)

    def manifest(self, name: str = "nightly") -> Manifest | None:
        """The manifest of a backup, None when there is none."""
        file = self.s3.file(self.bucket, manifest_key(folder_of(name)))
        return parse_manifest(file.read_bytes()) if file.exists() else None

    def part(self, name: str = "nightly", number: int = 0, kind: str = "copy") -> Path:
        """The file behind a part of a kind, for damaging it."""
        manifest = self.manifest(name)
        assert manifest is not None
        parts = [part for part in manifest.parts if part.kind == kind]
        return self.s3.file(self.bucket, f"{lms_folder(folder_of(name))}/{parts[number].key}")

    def unfinished_uploads(self) -> list[str]:
        """Keys of multipart uploads that nobody completed or aborted."""
        listed = self.s3.client().list_multipart_uploads(Bucket=self.bucket)
        return [upload["Key"] for upload in listed.get("Uploads", [])]

    def left_behind(self) -> list[str]:
        """Files that a worker has left in its scratch and temporary folders."""
        roots = [self.folder / "scratch", self.folder / "tmp"]
        return [str(path) for root in roots for path in root.rglob("*")]


def folder_of(name: str) -> str:
    """Where a backup is in its bucket."""
    return backup_folder("schools", "aada", "lms", name)


def _without_root() -> list[str]:
    """Give up root as the image does, but let Python be read where only root may (a checkout below /root)."""
    if os.geteuid() != 0:
        return []
    capability = "+dac_read_search"
    drop = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
    return [*drop, "--inh-caps", capability, "--ambient-caps", capability]
