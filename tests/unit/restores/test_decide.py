"""Pure decisions of a Restore: names, plans and who may have a database."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.api.backup import BackupStatus, Progress, Tables
from aada_operator.api.common import LocalRef
from aada_operator.api.lms import Database
from aada_operator.api.location import Location
from aada_operator.api.restore import Plan
from aada_operator.core.database import RestoreTarget
from aada_operator.restores import decide, planning
from aada_operator.restores.decide import Candidate

UID = "12345678-9abc-4def-8000-000000000000"
SERVER = Database(host="db", admin_secret_ref=LocalRef(name="db-admin"))
STATUS = BackupStatus(
    phase="Completed",
    location=Location(bucket="backups", prefix="school/aada/monday"),
    manifest_sha256="ab" * 32,
    recoverable_from="2026-03-01T00:59:00Z",
    size="300B",
    schema_revision="0002",
    tables=Tables(count=4, rows=99),
    conditions=[],
)
MONDAY = Candidate("monday", "nightly", STATUS, "True")


@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_$-]{0,62}", fullmatch=True), st.uuids())
def test_the_default_name_fits_postgresql_and_says_whose_it_is(live: str, uid: object) -> None:
    name = decide.database_name(live, str(uid), None)
    assert len(name.encode()) <= 63
    assert name.endswith(f"_restore_{str(uid)[:8]}")
    assert live.startswith(name.removesuffix(f"_restore_{str(uid)[:8]}"))


def test_a_plan_fits_its_place_in_the_status() -> None:
    long = Candidate("b" * 52, "p", STATUS.model_copy(update={"schema_revision": "r" * 128}), "False")
    server = SERVER.model_copy(update={"host": "h" * 253})
    planned = planning.plan(long, server, "d" * 63)
    assert Plan.model_validate(planned).model_dump(by_alias=True, exclude_none=True) == planned


CHANGES = {
    "another backup": (Candidate("tuesday", "nightly", STATUS, "True"), SERVER, "review"),
    "other content": (
        Candidate("monday", "nightly", STATUS.model_copy(update={"manifest_sha256": "cd" * 32}), "True"),
        SERVER,
        "review",
    ),
    "another database": (MONDAY, SERVER, "other"),
    "another server": (MONDAY, SERVER.model_copy(update={"host": "db2"}), "review"),
    "another port": (MONDAY, SERVER.model_copy(update={"port": 5433}), "review"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_approved_cannot_change_under_its_hash(change: tuple[Candidate, Database, str]) -> None:
    assert planning.plan(*change)["hash"] != planning.plan(MONDAY, SERVER, "review")["hash"]


def test_a_verification_after_the_plan_needs_no_new_approval() -> None:
    later = Candidate("monday", "nightly", STATUS, "Unknown")
    assert planning.plan(later, SERVER, "review")["hash"] == planning.plan(MONDAY, SERVER, "review")["hash"]


def test_the_plan_says_what_goes_where_and_what_is_left_alone() -> None:
    summary = planning.plan(MONDAY, SERVER, "review")["summary"]
    for words in ("monday", "99 rows", "0002", "verified", "2026-03-01T00:59:00Z", "review on db:5432",
                  "aada_lms is not touched"):  # fmt: skip
        assert words in summary


@pytest.mark.parametrize(
    ("comment", "taken"),
    [
        (None, False),
        ("", True),
        ("precious", True),
        (f"lms.aada.edu/restore={UID}", False),
        (f"lms.aada.edu/restore={UID};complete", False),
        (f"lms.aada.edu/restore={UID[:-1]}1;complete", True),
        (f"lms.aada.edu/restore={UID}0", True),
        (f"formerly lms.aada.edu/restore={UID}", True),
    ],
)
def test_only_a_database_with_its_own_comment_belongs_to_a_restore(comment: str | None, taken: bool) -> None:
    assert RestoreTarget("admin", 15, may_create=True, comment=comment).is_taken(UID) is taken


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(stage="restore", bytes=63, total_bytes=100), "63%"),
        (Progress(stage="restore", bytes=999, total_bytes=100), "100%"),
        (Progress(stage="restore", bytes=0, total_bytes=3), "0%"),
        (Progress(stage="compare", tables=3), "compare"),
    ],
)
def test_progress_reads_well_in_a_column(progress: Progress, text: str) -> None:
    assert decide.progress_text(progress) == text
