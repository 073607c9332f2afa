"""What RDS answers, in our own words; where it says that something is done already, nothing is wrong."""

from __future__ import annotations

import pytest
from botocore.stub import Stubber

from aada_operator.adapters.aws import AwsApi
from aada_operator.adapters.rds import Rds
from aada_operator.adapters.s3_client import AccessKeys
from aada_operator.api.common import LocalRef
from aada_operator.api.read_replica import RdsReplica
from aada_operator.core.errors import Waiting

REPLICA = RdsReplica(
    identifier="aada-read",
    source_identifier="aada",
    instance_class="db.t4g.medium",
    credentials_secret_ref=LocalRef(name="aws"),
)
CREATE, FIND, DELETE = "create_db_instance_read_replica", "describe_db_instances", "delete_db_instance"


@pytest.fixture
def opened() -> Rds:
    return Rds(REPLICA, AwsApi("rds", REPLICA.region, None, AccessKeys("key", "secret")))


def ours(status: str = "available", uid: str = "uid") -> dict[str, object]:
    """What RDS says of the replica."""
    tags = [{"Key": "lms.aada.edu/made-for", "Value": uid}]
    return {"DBInstances": [{"DBInstanceStatus": status, "TagList": tags}]}


async def test_one_that_was_asked_for_a_moment_ago_is_no_trouble(opened: Rds) -> None:
    """Two operators may ask, one of which does not know yet that it leads no more."""
    with Stubber(opened._api.client) as answers:
        answers.add_client_error(CREATE, "DBInstanceAlreadyExists")
        await opened.create("uid")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("AccessDenied", "RdsAccessDenied"),
        ("InvalidClientTokenId", "RdsAccessDenied"),
        ("DBInstanceNotFound", "RdsSourceMissing"),
        ("DBInstanceNotFoundFault", "RdsSourceMissing"),
        ("InstanceQuotaExceeded", "RdsRefused"),
    ],
)
async def test_why_it_is_not_made(opened: Rds, code: str, reason: str) -> None:
    """AWS's own text is not passed on: it may repeat what was sent."""
    with Stubber(opened._api.client) as answers:
        answers.add_client_error(CREATE, code, "canary")
        with pytest.raises(Waiting) as caught:
            await opened.create("uid")
    assert caught.value.reason == reason
    assert "canary" not in caught.value.message


async def test_one_that_is_gone_or_going_is_not_deleted_again(opened: Rds) -> None:
    with Stubber(opened._api.client) as answers:
        answers.add_client_error(FIND, "DBInstanceNotFound")
        await opened.delete("uid")
        answers.add_response(FIND, ours("deleting"))
        await opened.delete("uid")
        answers.add_response(FIND, ours())
        answers.add_client_error(DELETE, "DBInstanceNotFound")
        await opened.delete("uid")
        answers.assert_no_pending_responses()
    with Stubber(opened._api.client) as answers:
        answers.add_response(FIND, ours(uid="another"))
        await opened.delete("uid")


async def test_one_that_cannot_be_deleted_now_is_waited_for(opened: Rds) -> None:
    with Stubber(opened._api.client) as answers:
        answers.add_response(FIND, ours("creating"))
        answers.add_client_error(DELETE, "InvalidDBInstanceState")
        with pytest.raises(Waiting) as caught:
            await opened.delete("uid")
    assert caught.value.reason == "RdsRefused"
