"""Where a Service can lead: addresses of servers, and never the address of another Service."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.adapters import service_targets
from aada_operator.adapters.postgres import Endpoint
from aada_operator.adapters.service_targets import LABEL_SERVICE, Target, targets
from aada_operator.core.errors import Waiting
from aada_operator.core.names import service_of
from aada_operator.core.resources import ENDPOINT_SLICES, SERVICES
from tests.unit.backups.api_server import NAMESPACE, ApiServer, SetClock

PORTS = [{"name": "sql", "port": 5432}]


def endpoint(host: str, port: int = 5432) -> Endpoint:
    return Endpoint(host, port, "disable", namespace=NAMESPACE)


def serving(cluster_ip: str = "10.96.0.7", *endpoints: dict[str, Any]) -> ApiServer:
    """A cluster with Service db, whose pods listen elsewhere."""
    server = ApiServer(SetClock())
    server.add(SERVICES, {"metadata": {"name": "db"}, "spec": {"clusterIP": cluster_ip, "ports": PORTS}})
    labelled = {"name": "db-x1", "labels": {LABEL_SERVICE: "db"}}
    ports = [{"name": "other", "port": 1}, {"name": "sql", "port": 6543}]
    server.add(ENDPOINT_SLICES, {"metadata": labelled, "endpoints": list(endpoints), "ports": ports})
    return server


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("db", ("db", "school")),
        ("db.school", ("db", "school")),
        ("db.other.svc", ("db", "other")),
        ("db.other.svc.cluster.local", ("db", "other")),
        ("db.internal", ("", "")),
        ("db.example.edu", ("", "")),
        ("10.0.0.5", ("", "")),
        ("fd00::1", ("", "")),
        ("localhost", ("", "")),
    ],
)
def test_a_host_that_may_be_a_service(host: str, found: tuple[str, str]) -> None:
    assert service_of(host, "school") == found


async def test_a_service_of_the_cluster_is_followed_to_its_pods_that_are_ready() -> None:
    ready = {"addresses": ["10.1.0.9"], "conditions": {"ready": True}}
    unready = {"addresses": ["10.1.0.3"], "conditions": {"ready": False}}
    unsaid = {"addresses": ["10.1.0.10"], "conditions": {}}
    found = await targets(serving("10.96.0.7", unready, unsaid, ready), endpoint("db"))  # type: ignore[arg-type]
    assert found == Target(("10.1.0.9", "10.1.0.10"), 6543)
    assert found.family == "IPv4"


@pytest.mark.parametrize("port", [5432, 5433])
async def test_a_service_without_a_pod_or_without_that_port_is_told(port: int) -> None:
    endpoints = [{"addresses": ["10.1.0.9"]}] if port == 5433 else []
    with pytest.raises(Waiting, match=r"database\.host") as caught:
        await targets(serving("10.96.0.7", *endpoints), endpoint("db", port))  # type: ignore[arg-type]
    assert caught.value.reason == "HostUnknown"


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (["10.0.0.9", "10.0.0.10"], Target(("10.0.0.9", "10.0.0.10"), 5432)),
        (["10.0.0.10", "10.0.0.9"], Target(("10.0.0.9", "10.0.0.10"), 5432)),
        (["fd00::2", "10.0.0.9"], Target(("10.0.0.9",), 5432)),
        (["fd00::2"], Target(("fd00::2",), 5432)),
    ],
)
@pytest.mark.parametrize("host", ["db.example.edu", "headless"])
async def test_other_hosts_have_the_addresses_of_their_name(
    monkeypatch: pytest.MonkeyPatch, host: str, answer: list[str], found: Target
) -> None:
    """One family at a time, as an EndpointSlice wants it; another order is no change."""

    async def resolved(_: Endpoint) -> list[str]:
        return answer

    monkeypatch.setattr(service_targets, "addresses_of", resolved)
    server = serving()
    server.add(SERVICES, {"metadata": {"name": "headless"}, "spec": {"clusterIP": "None", "ports": PORTS}})
    assert await targets(server, endpoint(host)) == found  # type: ignore[arg-type]
