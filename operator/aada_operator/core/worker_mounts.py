"""Which Secrets a worker Job sees, and under which folder: the other half is ``worker/``'s reading of them."""

from dataclasses import replace

from aada_operator.api.common import SecretKeyRef
from aada_operator.api.data_key import DataKey
from aada_operator.api.lms import Database
from aada_operator.api.location import Location
from aada_operator.core.worker_jobs import SecretMount


def database_mounts(database: Database) -> tuple[SecretMount, ...]:
    """The admin's credentials, and the server's CA when one is named."""
    credentials = SecretMount("database", database.admin_secret_ref.name, _same("username", "password"))
    ca = database.ca_secret_ref
    return (credentials, SecretMount("database-ca", ca.name, {ca.key: "ca.crt"})) if ca else (credentials,)


def application_mounts(database: Database, lms: str) -> tuple[SecretMount, ...]:
    """The credentials of the application, which may do less than the admin."""
    return (SecretMount("application", database.app_secret(lms), _same("username", "password")),)


def storage_mounts(location: Location, folder: str = "storage") -> tuple[SecretMount, ...]:
    """The bucket's credentials, and the server's CA when one is named; a second bucket has another ``folder``."""
    keys = _same("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    credentials = SecretMount(folder, location.credentials_secret, keys)
    if not location.ca_secret:
        return (credentials,)
    return credentials, SecretMount(f"{folder}-ca", location.ca_secret, {location.ca_key: "ca.crt"})


def uploads_mounts(location: Location) -> tuple[SecretMount, ...]:
    """As `storage_mounts`, for the bucket with users' files."""
    return tuple(replace(mount, folder=f"uploads-{mount.folder}") for mount in storage_mounts(location))


def chunk_key_mounts(secret: str) -> tuple[SecretMount, ...]:
    """The key that chunks are named with."""
    return (SecretMount("chunk-key", secret, _same("key")),)


def identity_mounts(identity: SecretKeyRef | None) -> tuple[SecretMount, ...]:
    """The age identity that decrypts, when the policy names one."""
    return (SecretMount("identity", identity.name, {identity.key: "identity"}),) if identity else ()


def data_key_mounts(data_key: DataKey | None) -> tuple[SecretMount, ...]:
    """The key that the application encrypts values with, when the AadaLms names it."""
    if data_key is None:
        return ()
    return (SecretMount("data-key", data_key.secret_ref.name, {data_key.secret_ref.key: "key"}),)


def _same(*keys: str) -> dict[str, str]:
    return {key: key for key in keys}
