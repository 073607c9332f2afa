"""What a worker takes from its surroundings, and what it shows of itself."""

from __future__ import annotations

import configparser
import stat
from pathlib import Path

import pytest

from aada_operator.api.manifest import backup_folder
from aada_operator.api.task import BackupTask, DatabaseAddress, Outcome, S3Location
from aada_operator.core.errors import Stalled
from aada_operator.worker import keys, main
from aada_operator.worker.progress import Reporter
from aada_operator.worker.server import Login, Server
from aada_operator.worker.settings import WorkerSettings, major_version


class TestKeygen:
    def test_the_private_key_goes_to_a_file_for_its_owner_only(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "key.txt"
        assert keys.main(file) == 0
        shown = capsys.readouterr().out
        assert shown.startswith("age1")
        assert "AGE-SECRET-KEY-1" not in shown
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "AGE-SECRET-KEY-1" in file.read_text()
        assert shown.strip() in file.read_text()

    def test_a_key_is_never_written_over(self, tmp_path: Path) -> None:
        file = tmp_path / "key.txt"
        file.write_text("precious")
        with pytest.raises(FileExistsError):
            keys.main(file)
        assert file.read_text() == "precious"


class TestToolEnvironment:
    def test_the_password_is_in_a_file_and_nowhere_else(self) -> None:
        server = Server("db", 5432, "disable", lambda: Login("u", r"can:ary\pw"))
        with server.tool_environment(150018, "lms") as environment:
            assert not any("canary" in value or "can:ary" in value for value in environment.values())
            file = Path(environment["PGPASSFILE"])
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert file.read_text() == "*:*:*:*:can\\:ary\\\\pw\n"
        assert not file.exists()

    def test_programs_give_up_a_server_that_went_without_a_goodbye(self) -> None:
        server = Server("db", 5432, "disable", lambda: Login("u", "p"))
        with server.tool_environment(150018, "lms") as environment:
            known = configparser.ConfigParser()
            known.read(environment["PGSERVICEFILE"])
            settings = known[environment["PGSERVICE"]]
        assert int(settings["tcp_user_timeout"]) == 60_000
        assert int(settings["keepalives_idle"]) + int(settings["keepalives_interval"]) * int(
            settings["keepalives_count"]
        ) <= 60  # fmt: skip

    def test_a_login_is_never_shown(self) -> None:
        assert "canary" not in repr(Login("u", "canary"))

    @pytest.mark.parametrize(("version", "known"), [(130000, 0), (150018, 1), (170002, 2)])
    def test_settings_that_a_server_does_not_know_are_left_out(self, version: int, known: int) -> None:
        with Server("db", 5432, "disable", lambda: Login("u", "")).tool_environment(version) as environment:
            options = environment["PGOPTIONS"]
        assert ("idle_session_timeout" in options) + ("transaction_timeout" in options) == known
        assert "-c row_security=off" in options


class TestSettings:
    def test_programs_are_found_or_missed_with_a_reason(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("aada_operator.worker.settings._DEBIAN_PROGRAMS", tmp_path)
        with pytest.raises(Stalled) as error:
            _ = WorkerSettings(task="{}").programs
        assert error.value.reason == "VersionUnsupported"
        for version in ("9.6", "15", "16", "common"):
            (tmp_path / version / "bin").mkdir(parents=True)
        assert WorkerSettings(task="{}").programs == tmp_path / "16" / "bin"

    @pytest.mark.parametrize(
        ("text", "major"),
        [("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", 15), ("pg_restore (PostgreSQL) 16beta1", 16), ("", 0)],
    )
    def test_the_major_version_of_a_program(self, text: str, major: int) -> None:
        assert major_version(text) == major


class TestOutcome:
    def run(self, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Outcome]:
        monkeypatch.setenv("AADA_TASK", task)
        monkeypatch.setenv("AADA_TERMINATION_LOG", str(tmp_path / "log"))
        monkeypatch.setenv("AADA_SECRETS_DIR", str(tmp_path))
        monkeypatch.setattr("signal.signal", lambda *_: None)
        code = main(["backup"])
        return code, Outcome.model_validate_json((tmp_path / "log").read_bytes())

    def test_a_task_that_is_not_understood_is_not_retried(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        code, outcome = self.run('{"canary": 1}', tmp_path, monkeypatch)
        assert (code, outcome.reason, outcome.retryable) == (2, "Internal", False)
        assert "canary" not in outcome.message

    def test_a_bug_is_retried_and_its_text_is_not_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("canary")

        monkeypatch.setattr("aada_operator.worker.backup.find_backup", broken)
        code, outcome = self.run(_task().model_dump_json(), tmp_path, monkeypatch)
        assert (code, outcome.reason, outcome.retryable) == (1, "Internal", True)
        assert "canary" not in outcome.message + caplog.text
        assert "RuntimeError" in outcome.message

    def test_a_long_message_fits_into_a_termination_message(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise Stalled("Corrupt", "ü" * 10_000)

        monkeypatch.setattr("aada_operator.worker.backup.find_backup", broken)
        code, outcome = self.run(_task().model_dump_json(by_alias=True), tmp_path, monkeypatch)
        assert (code, outcome.reason) == (2, "Corrupt")
        assert (tmp_path / "log").stat().st_size <= 4096

    def test_an_unknown_task_is_refused(self) -> None:
        assert main(["destroy"]) == 2
        assert main([]) == 2


class TestProgress:
    def test_stages_are_told_at_once_and_bytes_only_now_and_then(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        now = [100.0]
        monkeypatch.setattr("time.monotonic", lambda: now[0])
        reporter = Reporter()
        with caplog.at_level("INFO"):
            reporter.stage("dump", total_bytes=1000)
            for _ in range(10):
                reporter.add(10)
            now[0] += 2.0
            reporter.add(10, tables=1)
        told = [record.progress for record in caplog.records]  # type: ignore[attr-defined]
        assert told == [
            {"stage": "dump", "bytes": 0, "totalBytes": 1000, "tables": 0},
            {"stage": "dump", "bytes": 110, "totalBytes": 1000, "tables": 1},
        ]


def test_the_folder_of_a_backup() -> None:
    assert backup_folder("schools/north", "aada", "lms", "nightly-1") == "schools/north/aada/lms/nightly-1"
    assert backup_folder("", "aada", "lms", "nightly-1") == "aada/lms/nightly-1"


def _task() -> BackupTask:
    return BackupTask(
        name="b",
        uid="u",
        namespace="n",
        lms="l",
        database=DatabaseAddress(host="db", name="d"),
        storage=S3Location(bucket="b-1"),
        folder="f",
    )
