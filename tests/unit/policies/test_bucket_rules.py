"""Rules that the owner of a bucket made, as S3 tells them, and what they would do to backups."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.core.bucket_rules import verdict
from aada_operator.core.resources import BACKUP_POLICIES
from tests.unit.backups.school import School

FOLDER = "lms/school/aada"
DELETES = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}}
HARMFUL: dict[str, dict[str, Any]] = {
    "everything after a time": DELETES,
    "everything on a day": DELETES | {"Expiration": {"Date": "2026-01-01"}},
    "a folder above": DELETES | {"Filter": {"Prefix": "lms/"}},
    "this very folder": DELETES | {"Filter": {"Prefix": "lms/school/aada/"}},
    "a folder below": DELETES | {"Filter": {"Prefix": "lms/school/aada/chunks/"}},
    "the old way to write a prefix": {**DELETES, "Filter": None, "Prefix": "lms"},
    "large objects": DELETES | {"Filter": {"And": {"Prefix": "lms/", "ObjectSizeGreaterThan": 1000}}},
    "no filter at all": {"ID": "old", "Status": "Enabled", "Expiration": {"Days": 30}},
    "an archive": {**DELETES, "Expiration": None, "Transitions": [{"Days": 1, "StorageClass": "DEEP_ARCHIVE"}]},
}
HARMLESS: dict[str, dict[str, Any]] = {
    "turned off": DELETES | {"Status": "Disabled"},
    "another folder": DELETES | {"Filter": {"Prefix": "logs/"}},
    "a folder that begins like it": DELETES | {"Filter": {"Prefix": "lms/school/aada2/"}},
    "objects with a tag": DELETES | {"Filter": {"Tag": {"Key": "old", "Value": "yes"}}},
    "old versions": {**DELETES, "Expiration": None, "NoncurrentVersionExpiration": {"NoncurrentDays": 30}},
    "delete markers": DELETES | {"Expiration": {"ExpiredObjectDeleteMarker": True}},
    "unfinished uploads": {**DELETES, "Expiration": None, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
    "a cheaper class that answers at once": {
        **DELETES,
        "Expiration": None,
        "Transitions": [{"StorageClass": "GLACIER_IR"}],
    },
}


@pytest.mark.parametrize("rule", HARMFUL.values(), ids=HARMFUL)
def test_a_rule_that_would_take_backups_away_is_named(rule: dict[str, Any]) -> None:
    status, reason, message = verdict([rule], versioned=True, folder=FOLDER)
    assert (status, reason) == ("False", "LifecycleDeletes")
    assert "old" in message
    assert FOLDER in message


@pytest.mark.parametrize("rule", HARMLESS.values(), ids=HARMLESS)
def test_a_rule_that_leaves_them_alone_is_no_trouble(rule: dict[str, Any]) -> None:
    assert verdict([rule], versioned=True, folder=FOLDER)[:2] == ("True", "LeftAlone")


@pytest.mark.parametrize(("versioned", "advised"), [(False, True), (True, False), (None, False)])
def test_versioning_is_advised_where_it_is_off(versioned: bool | None, advised: bool) -> None:
    assert ("versioning" in verdict([], versioned, FOLDER)[2]) == advised


def test_a_server_that_does_not_tell_is_neither_good_nor_bad(school: School) -> None:
    school.policy()
    school.bucket.lifecycle = None
    school.visit(BACKUP_POLICIES, "nightly")
    assert school.condition(BACKUP_POLICIES, "nightly", "StorageRulesSafe") == ("Unknown", "NotTold")


def test_a_policy_whose_backups_would_be_deleted_is_not_ready_until_the_rule_is_gone(school: School) -> None:
    school.policy()
    school.bucket.lifecycle = [DELETES]
    school.visit(BACKUP_POLICIES, "nightly")
    assert school.condition(BACKUP_POLICIES, "nightly", "Ready") == ("False", "LifecycleDeletes")
    school.bucket.lifecycle = []
    school.restart_operator()
    school.visit(BACKUP_POLICIES, "nightly")
    assert school.condition(BACKUP_POLICIES, "nightly", "StorageRulesSafe") == ("True", "LeftAlone")
