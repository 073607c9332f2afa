"""What may be set from outside. Pool sizes and workers are in code, as schools have them, in two named profiles."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


@dataclass(frozen=True)
class Profile:
    """How much one pod may use: it opens up to workers x (pool_size + max_overflow) database connections."""

    workers: int
    pool_size: int
    max_overflow: int

    @property
    def connections_per_worker(self) -> int:
        return self.pool_size + self.max_overflow


PROFILES = {
    "school": Profile(workers=4, pool_size=20, max_overflow=40),
    "small": Profile(workers=1, pool_size=2, max_overflow=2),
}


class Settings(BaseSettings):
    """Environment of the API. Inputs stay out of validation errors: they would put credentials into the log."""

    model_config = SettingsConfigDict(hide_input_in_errors=True)

    database_url: SecretStr
    jwt_secret_key: SecretStr
    """Signs new access tokens, and verifies."""
    jwt_secret_keys_accepted: SecretStr = SecretStr("")
    """Further keys that only verify, separated by commas: both sides of a key rotation."""
    encryption_key: SecretStr
    profile: Literal["school", "small"] = Field("school", validation_alias="SAMPLE_LMS_PROFILE")
    health: Literal["full", "shallow", "none"] = Field("full", validation_alias="SAMPLE_LMS_HEALTH")

    @property
    def limits(self) -> Profile:
        return PROFILES[self.profile]

    def verification_keys(self) -> list[str]:
        """Every key that a token may be signed with, the signing key first."""
        accepted = self.jwt_secret_keys_accepted.get_secret_value().split(",")
        return [self.jwt_secret_key.get_secret_value(), *filter(None, map(str.strip, accepted))]


@lru_cache
def settings_from_environment() -> Settings:
    """The process's settings, read once; pydantic.ValidationError names what is missing."""
    return Settings()
