"""Settings of the operator process, from environment variables ``AADA_…``; read once at start-up."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Each field is the environment variable of its name in capitals, with the prefix ``AADA_``."""

    model_config = SettingsConfigDict(env_prefix="AADA_", frozen=True)

    namespaces: Annotated[str, Field(description="Namespaces to serve, comma-separated; empty: all.")] = ""
    pod_namespace: Annotated[str, Field(description="Namespace of this pod; holds the leader's Lease.")] = "default"
    pod_name: Annotated[str, Field(description="Name of this pod; who the leader is.")] = "local"
    worker_image: Annotated[str, Field(description="Image of the Jobs; the operator's own.")] = "aada-operator"
    worker_pull_policy: Annotated[str, Field(description="When nodes pull it.")] = "IfNotPresent"
    workers: Annotated[int, Field(ge=1, le=200, description="Visits at the same time.")] = 20
    leader_election: Annotated[bool, Field(description="Wait for the Lease before acting.")] = True
    http_port: Annotated[int, Field(ge=0, le=65535, description="Port of /healthz, /readyz and /metrics.")] = 8080
    stuck_after: Annotated[float, Field(gt=0, description="Seconds that one visit may take before /healthz fails.")] = (
        300.0
    )
    log_format: Annotated[str, Field(pattern="^(json|text)$", description="json or text.")] = "json"
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least level logged.")] = "INFO"
    allow_loopback_endpoints: Annotated[
        bool, Field(description="Follow storage endpoints to loopback and link-local addresses; for tests.")
    ] = False

    def namespace_list(self) -> list[str]:
        """The namespaces to serve; an empty list stands for all."""
        return [name.strip() for name in self.namespaces.split(",") if name.strip()]
