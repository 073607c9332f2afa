"""How a client of S3 is made: credentials that are read at every request, time-outs, retries, a checked endpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import CredentialProvider, CredentialResolver, Credentials, ReadOnlyCredentials

from aada_operator.adapters.s3_errors import DENIED, check_endpoint
from aada_operator.api.task import STORAGE_UNREACHABLE, S3Location
from aada_operator.core.errors import Stalled

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CONFIG = Config(
    connect_timeout=10,
    read_timeout=60,
    # Servers other than AWS often refuse the newer checksum trailers; the content is hashed by the caller anyway.
    # Not so for responses: "when_required" there makes s3transfer 0.19 hang in downloads larger than its window.
    request_checksum_calculation="when_required",
)
_OWN_SERVER = Config(s3={"addressing_style": "path"})


class AccessKeys(NamedTuple):
    """The two halves of an S3 credential."""

    access_key: str
    secret_key: str


KeySource = Callable[[], AccessKeys]


def mounted_keys(folder: Path) -> KeySource:
    """Keys from a mounted Secret with the files AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, read at every call."""

    def read() -> AccessKeys:
        access, secret = (folder / name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
        return AccessKeys(access.read_text().strip(), secret.read_text().strip())

    return read


def make_client(location: S3Location, keys: KeySource, ca_file: Path | None, attempts: int) -> "S3Client":
    """A client for one bucket's server that sends each request up to ``attempts`` times, with backoff and jitter.

    Raises:
        OperatorError: the endpoint is not allowed, cannot be resolved or is no URL.
    """
    check_endpoint(location)
    core = botocore.session.Session()
    core.register_component("credential_provider", CredentialResolver([_Provider(keys)]))
    config = _CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": attempts}))
    try:
        client = boto3.Session(botocore_session=core).client(
            "s3",
            region_name=location.region,
            endpoint_url=location.endpoint,
            verify=str(ca_file) if ca_file else None,
            config=config.merge(_OWN_SERVER) if location.endpoint else config,
        )
    except ValueError:
        raise Stalled(STORAGE_UNREACHABLE, "the endpoint is no URL: correct it") from None
    client.meta.events.register_last("needs-retry.s3", cast("Callable[..., None]", _retry_denied_once))
    return client


class _LiveCredentials(Credentials):
    """Asks for the keys at every signature."""

    def __init__(self, keys: KeySource) -> None:
        self._keys = keys
        super().__init__("", "")

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        keys = self._keys()
        return ReadOnlyCredentials(keys.access_key, keys.secret_key, None)


class _Provider(CredentialProvider):
    METHOD = "aada"

    def __init__(self, keys: KeySource) -> None:
        self._credentials = _LiveCredentials(keys)
        super().__init__()

    def load(self) -> Credentials:
        return self._credentials


def _retry_denied_once(response: Any, attempts: int, **_: Any) -> int | None:
    """A handler of botocore's `needs-retry`: seconds until a retry, which is signed anew; None for no opinion."""
    if response is None or attempts > 1:
        return None
    code = response[1].get("Error", {}).get("Code")
    return 0 if code in DENIED or response[0].status_code in (401, 403) else None
