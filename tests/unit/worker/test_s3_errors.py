"""Every answer of an S3 server has a reason and a way out, and nothing that the server quotes."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError, SSLError

from aada_operator.adapters.s3_errors import translate
from aada_operator.api.task import S3Location
from aada_operator.core.errors import Waiting

LOCATION = S3Location(bucket="school-backups", endpoint="https://s3.example.edu")


@pytest.mark.parametrize(
    ("code", "reason", "hint"),
    [
        ("NoSuchBucket", "BucketNotFound", "create it"),
        ("InvalidAccessKeyId", "StorageAccessDenied", "access key"),
        ("XAdminUserNotFound", "StorageAccessDenied", "access key"),
        ("SignatureDoesNotMatch", "StorageAccessDenied", "secret key"),
        ("ExpiredToken", "StorageAccessDenied", "expired"),
        ("AccessDenied", "StorageAccessDenied", "rights"),
        ("RequestTimeTooSkewed", "StorageAccessDenied", "clocks"),
        ("PermanentRedirect", "StorageUnreachable", "region"),
        ("AuthorizationHeaderMalformed", "StorageUnreachable", "region"),
        ("QuotaExceeded", "NoSpace", "space"),
        ("SlowDown", "StorageUnreachable", "SlowDown"),
    ],
)
def test_answers(code: str, reason: str, hint: str) -> None:
    body: Any = {"Error": {"Code": code, "Message": "canary", "AWSAccessKeyId": "canary"}}
    failure = translate(ClientError(body, "PutObject"), LOCATION)
    assert isinstance(failure, Waiting)
    assert failure.reason == reason
    assert hint in failure.message
    assert "school-backups" in failure.message
    assert "canary" not in failure.message


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (SSLError(endpoint_url="https://canary", error=ValueError("canary")), "TLS"),
        (EndpointConnectionError(endpoint_url="https://canary"), "no connection"),
        (ReadTimeoutError(endpoint_url="https://canary"), "did not answer"),
    ],
)
def test_connections(error: Exception, hint: str) -> None:
    failure = translate(error, LOCATION)
    assert failure.reason == "StorageUnreachable"
    assert hint in failure.message
    assert "canary" not in failure.message
