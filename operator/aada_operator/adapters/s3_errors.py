"""What S3 servers and the client library say, in our own words, with the way out and without anything they quote."""

import ipaddress
import socket
from urllib.parse import urlsplit

from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)

from aada_operator.api.task import (
    BUCKET_NOT_FOUND,
    NO_SPACE,
    STORAGE_ACCESS_DENIED,
    STORAGE_UNREACHABLE,
    S3Location,
)
from aada_operator.core.errors import OperatorError, Stalled, Waiting

MISSING_KEY = "NoSuchKey"
# What a write says that may not overwrite: the key is taken, or the server knows no such writes.
EXISTS = {"PreconditionFailed", "412", "ConditionalRequestConflict"}
NO_CONDITIONS = {"NotImplemented", "501"}
# An answer that began and did not end.
BROKEN_OFF = (ReadTimeoutError, IncompleteReadError, ResponseStreamingError)
_UNKNOWN_KEY = {"InvalidAccessKeyId", "XAdminUserNotFound"}
_WRONG_SECRET = {"SignatureDoesNotMatch"}
_EXPIRED = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
_REFUSED = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "401", "403", "Forbidden"}
DENIED = _UNKNOWN_KEY | _WRONG_SECRET | _EXPIRED | _REFUSED
_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
_FULL = {"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "507"}

_ANSWERS = (
    ({"NoSuchBucket", "InvalidBucketName"}, BUCKET_NOT_FOUND, "{} does not exist: create it or correct the name"),
    (_UNKNOWN_KEY, STORAGE_ACCESS_DENIED, "{} does not know the access key: correct the credentials Secret"),
    (_WRONG_SECRET, STORAGE_ACCESS_DENIED, "{} refused the secret key: correct the credentials Secret"),
    (_EXPIRED, STORAGE_ACCESS_DENIED, "the credentials for {} have expired: renew the Secret"),
    (_REFUSED, STORAGE_ACCESS_DENIED, "{} refused access: the key needs rights to list, read and write"),
    ({"RequestTimeTooSkewed"}, STORAGE_ACCESS_DENIED, "the clocks of {} and of this node differ: synchronise them"),
    (_REGION, STORAGE_UNREACHABLE, "{} is in another region: correct the region"),
    (_FULL, NO_SPACE, "{} has no space left"),
)


def code_of(error: ClientError) -> str:
    """The server's word for what is wrong; the HTTP status where it said none."""
    code = error.response.get("Error", {}).get("Code")
    return code or str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))


def translate(error: Exception, location: S3Location) -> OperatorError:
    """One of ours for what boto3, botocore or s3transfer."""
    where = f"bucket {location.bucket} at {location.endpoint or 'AWS'}"
    if isinstance(error, ClientError):
        return _answer(code_of(error), where)
    if isinstance(error, SSLError):
        return Waiting(STORAGE_UNREACHABLE, f"TLS with {where} failed: check the endpoint's scheme and caSecretRef")
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return Waiting(STORAGE_UNREACHABLE, f"no connection to {where}: check endpoint, network and whether it runs")
    if isinstance(error, ReadTimeoutError):
        return Waiting(STORAGE_UNREACHABLE, f"{where} did not answer in time")
    return Waiting(STORAGE_UNREACHABLE, f"the connection to {where} broke ({type(error).__name__})")


def _answer(code: str, where: str) -> OperatorError:
    for codes, reason, text in _ANSWERS:
        if code in codes:
            return Waiting(reason, text.format(where))
    return Waiting(STORAGE_UNREACHABLE, f"{where} answered {code[:64]}")


def check_endpoint(location: S3Location) -> None:
    """Refuse an endpoint that is this very machine or its cloud's metadata service: a user gave it.

    Raises:
        Stalled: the endpoint resolves to a loopback, link-local or unspecified address.
        Waiting: its name cannot be resolved now.
    """
    if location.endpoint is None or location.allow_local_endpoint:
        return
    host = urlsplit(location.endpoint).hostname or ""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        raise Waiting(STORAGE_UNREACHABLE, f"the name {host} cannot be resolved: check the endpoint") from None
    if any(_is_local(str(address)) for address in found):
        raise Stalled(
            STORAGE_ACCESS_DENIED, f"endpoint {host} is a loopback or link-local address, which is not allowed"
        )


def _is_local(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified)
