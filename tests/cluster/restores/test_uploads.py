"""Users' files in the cluster: copied all the time, checked, and brought back as of a backup's checkpoint."""

from __future__ import annotations

import pytest

from tests.cluster.backups.school import WAIT
from tests.cluster.files import FIRST, Claim, copied_to
from tests.cluster.restores.rehearsal import Rehearsal
from tests.cluster.workspace import Object, condition

POLICY = "with-files"
LATER = {"documents/contract.pdf": "signed by nobody", "empty": None, "homework.txt": "42"}


@pytest.fixture(scope="module")
def backed_up(opened: tuple[Rehearsal, str, str]) -> tuple[Rehearsal, Claim, Object]:
    """The school's files, and a backup with a checkpoint after which they were changed, deleted and added to."""
    school, _, _ = opened
    claim = Claim.make(school.workspace, "users-files")
    claim.write(dict(FIRST))
    uploads = {"claimName": claim.name, "mountPath": "/app/uploads"}
    school.workspace.patch("lms/aada", storage={"uploads": uploads})
    check = {"sql": "VALUES ('documents/contract.pdf'), ('empty')", "sample": 10}
    school.policy(POLICY, uploads=copied_to(school.s3, "users-files") | {"check": check})
    school.workspace.wait_condition(f"bp/{POLICY}", "UploadsVersioned", timeout=WAIT)
    ref = school.backup("with-files", POLICY)
    school.completed(ref)
    school.workspace.wait_condition(ref, "UploadsCheckpointed", timeout=WAIT)
    claim.write(dict(LATER))
    return school, claim, school.workspace.get(ref) or {}


def test_the_backup_says_which_files_belong_to_it(backed_up: tuple[Rehearsal, Claim, Object]) -> None:
    _, _, backup = backed_up
    known = backup["status"]["uploads"]
    assert (known["files"], known["bytes"]) == (len(FIRST), sum(len(text.encode()) for text in FIRST.values()))
    assert known["versioned"] is True


def test_they_come_back_as_they_were_and_the_live_ones_stay(backed_up: tuple[Rehearsal, Claim, Object]) -> None:
    school, live, _ = backed_up
    review = Claim.make(school.workspace, "review")
    body = school.restored(school.restore("files-back", backup="with-files", uploads={"claimName": review.name}))
    assert review.read() == FIRST
    assert (body["status"]["uploads"]["files"], body["status"]["uploads"]["copied"]) == (len(FIRST), len(FIRST))
    assert live.read()["homework.txt"] == "42"
    assert live.read()["documents/contract.pdf"] == "signed by nobody"


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(backed_up: tuple[Rehearsal, Claim, Object]) -> None:
    school, live, _ = backed_up
    body = school.restored(school.restore("missing-only", backup="with-files", uploads={"claimName": live.name}))
    assert (body["status"]["uploads"]["copied"], body["status"]["uploads"]["kept"]) == (1, 1)
    assert live.read()["documents/contract.pdf"] == "signed by nobody"
    everything = {"claimName": live.name, "overwrite": True}
    school.restored(school.restore("all-of-them", backup="with-files", uploads=everything))
    assert live.read() == FIRST | {"homework.txt": "42"}


def test_a_verification_finds_the_files_that_rows_name_in_the_bucket(
    backed_up: tuple[Rehearsal, Claim, Object],
) -> None:
    school, _, _ = backed_up
    school.workspace.kubectl("annotate", "lmsb/with-files", "lms.aada.edu/verify-at=files")
    body = school.workspace.wait_for("lmsb/with-files", _was_verified, WAIT)
    assert condition(body, "Verified")["status"] == "True", condition(body, "Verified")


def _was_verified(body: Object) -> bool:
    known = body.get("status", {}).get("verification") or {}
    return (known.get("verifyAt"), known.get("result")) in (("files", "Passed"), ("files", "Failed"))
