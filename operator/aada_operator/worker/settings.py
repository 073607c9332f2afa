"""Where a Job finds its task, its Secrets and its scratch space."""

import re
import secrets
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from aada_operator.adapters.object_store import PATIENT, ObjectStore
from aada_operator.adapters.s3_client import mounted_keys
from aada_operator.adapters.versioned_store import VersionedStore
from aada_operator.api.task import VERSION_UNSUPPORTED, DatabaseAddress, S3Location
from aada_operator.api.uploads import CLAIM_PATH
from aada_operator.core.errors import Stalled
from aada_operator.worker.rclone import Rclone
from aada_operator.worker.server import Login, Server

_DEBIAN_PROGRAMS = Path("/usr/lib/postgresql")


class WorkerSettings(BaseSettings):
    """Each field is the environment variable of its name in capitals, with the prefix ``AADA_``."""

    model_config = SettingsConfigDict(env_prefix="AADA_")

    task: Annotated[str, Field(description="The task as JSON, see `api.task`.")]
    secrets_dir: Annotated[Path, Field(description="Folder with one folder per mounted Secret.")] = Path("/run/aada")
    scratch_dir: Annotated[Path, Field(description="Room for a scratch server.")] = Path("/scratch")
    termination_log: Annotated[Path, Field(description="File for the outcome.")] = Path("/dev/termination-log")
    claim_dir: Annotated[Path, Field(description="Where the claim with users' files is.")] = Path(CLAIM_PATH)
    postgres_bin: Annotated[Path | None, Field(description="Folder with pg_dump; absent: Debian's newest.")] = None

    def store(self, location: S3Location, folder: str = "storage", max_rate: int | None = None) -> ObjectStore:
        """The bucket, with the credentials that are mounted in ``folder``; uploads send ``max_rate`` bytes a second."""
        keys, ca_file = mounted_keys(self.secrets_dir / folder), self._ca(f"{folder}-ca")
        return ObjectStore(location, keys, ca_file, PATIENT, max_rate)

    def uploads_store(self, location: S3Location) -> VersionedStore:
        """The bucket with users' files, which has credentials of its own."""
        keys, ca_file = mounted_keys(self.secrets_dir / "uploads-storage"), self._ca("uploads-storage-ca")
        return VersionedStore(location, keys, ca_file, PATIENT)

    def rclone(self, location: S3Location, folder: str) -> Rclone:
        """A folder of that bucket for rclone."""
        keys = mounted_keys(self.secrets_dir / "uploads-storage")()
        return Rclone(location, keys, self._ca("uploads-storage-ca"), folder)

    def server(self, address: DatabaseAddress) -> Server:
        """The database server, with the mounted login."""
        return Server(address.host, address.port, address.ssl_mode, self._login, self._ca("database-ca"))

    def application_server(self, address: DatabaseAddress) -> Server:
        """The same server with the mounted login of the application."""
        return Server(address.host, address.port, address.ssl_mode, self._application, self._ca("database-ca"))

    def identity(self) -> str | None:
        """The mounted age identity; None when no Secret was named."""
        file = self.secrets_dir / "identity" / "identity"
        return file.read_text() if file.exists() else None

    def data_key(self) -> str:
        """The mounted key of the application, as it is: a line end may belong to it."""
        return (self.secrets_dir / "data-key" / "key").read_text()

    def chunk_key(self) -> bytes:
        """The mounted key that chunks are named with; a random one where there is none: then nothing is reused."""
        file = self.secrets_dir / "chunk-key" / "key"
        return file.read_bytes() if file.exists() else secrets.token_bytes(32)

    @cached_property
    def programs(self) -> Path:
        """Folder with the programs of PostgreSQL.

        Raises:
            Stalled: VersionUnsupported, this image has none.
        """
        if self.postgres_bin:
            return self.postgres_bin
        found = {int(path.parent.name): path for path in _DEBIAN_PROGRAMS.glob("*/bin") if path.parent.name.isdigit()}
        if not found:
            raise Stalled(VERSION_UNSUPPORTED, "this image has no programs of PostgreSQL: use the operator's own")
        return found[max(found)]

    def _login(self) -> Login:
        return self._login_in("database")

    def _application(self) -> Login:
        return self._login_in("application")

    def _login_in(self, name: str) -> Login:
        folder = self.secrets_dir / name
        return Login((folder / "username").read_text().strip(), (folder / "password").read_text().strip())

    def _ca(self, folder: str) -> Path | None:
        file = self.secrets_dir / folder / "ca.crt"
        return file if file.exists() else None


def major_version(text: str) -> int:
    """15 of ``pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)``."""
    match = re.search(r"\) (\d+)", text)
    return int(match[1]) if match else 0
