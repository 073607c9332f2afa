"""What is made of roles and database, and what is left alone because it is somebody else's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.core.database import Inventory, Names, role_mark
from aada_operator.core.errors import Waiting
from aada_operator.lms.decide import pending_mark, provisioning

UID, OTHER = "uid-1", "uid-2"
NAMES = Names("aada_lms")


def plan(owner: str | None, login: str | None, database: str | None) -> tuple[str, ...]:
    return provisioning(Inventory("admin", owner, login, database), NAMES, UID, "aada-db")


@pytest.mark.parametrize(
    ("owner", "login", "database", "actions"),
    [
        (None, None, None, ("create-roles", "create-database")),
        (None, None, "admin", ("create-roles", "take-database")),
        # killed after the roles, and after the database
        (role_mark(UID), pending_mark(UID), None, ("create-database",)),
        (role_mark(UID), pending_mark(UID), "aada_lms_owner", ()),
        (role_mark(UID), role_mark(UID), "aada_lms_owner", ()),
    ],
)
def test_what_is_missing_is_made(
    owner: str | None, login: str | None, database: str | None, actions: tuple[str, ...]
) -> None:
    assert plan(owner, login, database) == actions


@pytest.mark.parametrize(
    ("owner", "login", "database", "reason"),
    [
        (role_mark(OTHER), role_mark(OTHER), "aada_lms_owner", "RolesTaken"),
        ("", "", None, "RolesTaken"),
        (None, "", None, "RolesTaken"),
        (role_mark(UID), None, None, "RolesTaken"),
        (None, None, "somebody", "DatabaseTaken"),
        (role_mark(UID), role_mark(UID), "somebody", "DatabaseTaken"),
        # it was completed once: an empty database in its place would hide the loss
        (role_mark(UID), role_mark(UID), None, "DatabaseMissing"),
    ],
)
def test_what_is_not_ours_is_not_touched(
    owner: str | None, login: str | None, database: str | None, reason: str
) -> None:
    with pytest.raises(Waiting) as caught:
        plan(owner, login, database)
    assert caught.value.reason == reason
    assert "aada_lms" in caught.value.message


_comments = st.sampled_from([None, "", role_mark(UID), pending_mark(UID), role_mark(OTHER), "a comment"])


@given(_comments, _comments, st.sampled_from([None, "admin", "aada_lms_owner", "somebody"]))
def test_no_role_of_others_gets_a_password_and_no_database_of_others_an_owner(
    owner: str | None, login: str | None, database: str | None
) -> None:
    try:
        actions = plan(owner, login, database)
    except Waiting:
        return
    assert owner in (None, role_mark(UID))
    assert login in (None, role_mark(UID), pending_mark(UID))
    assert database != "somebody"
    assert ("create-database" in actions) == (database is None)
