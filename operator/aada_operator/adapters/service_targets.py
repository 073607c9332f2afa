"""The addresses that a Service without a selector can lead to.

A Service cannot lead to the address of another one (kube-proxy translates once), so a host that is a Service of the
cluster is followed to its pods.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from aada_operator.adapters.kube import Kube
from aada_operator.adapters.postgres import Endpoint, addresses_of
from aada_operator.adapters.postgres_errors import HOST_UNKNOWN
from aada_operator.core.errors import Waiting
from aada_operator.core.names import service_of
from aada_operator.core.resources import ENDPOINT_SLICES, SERVICES, Object

LABEL_SERVICE = "kubernetes.io/service-name"


@dataclass(frozen=True)
class Target:
    """Addresses of one family, and a port."""

    addresses: tuple[str, ...]
    port: int

    @property
    def family(self) -> str:
        """IPv4 or IPv6, as an EndpointSlice says it."""
        return f"IPv{ipaddress.ip_address(self.addresses[0]).version}"


async def targets(kube: Kube, endpoint: Endpoint) -> Target:
    """Where a server is now.

    Raises:
        Waiting: HostUnknown, no address or no pod; AddressRefused.
    """
    name, namespace = service_of(endpoint.host, endpoint.namespace)
    service = await kube.get(SERVICES, namespace, name) if name else None
    if service and service["spec"].get("clusterIP") not in (None, "", "None"):
        return _of_pods(service, endpoint, await kube.list(ENDPOINT_SLICES, namespace, {LABEL_SERVICE: name}))
    return Target(_one_family(await addresses_of(endpoint)), endpoint.port)


def _of_pods(service: Object, endpoint: Endpoint, slices: Iterable[Object]) -> Target:
    names = {port["port"]: port.get("name", "") for port in service["spec"].get("ports", ())}
    for one in slices:
        ready = [
            end["addresses"][0]
            for end in one.get("endpoints") or ()
            if (end.get("conditions") or {}).get("ready") is not False
        ]
        ports = {port.get("name") or "": port["port"] for port in one.get("ports") or ()}
        if ready and (port := ports.get(names.get(endpoint.port, ""))):
            return Target(_one_family(ready), port)
    message = f"Service {service['metadata']['name']} has no pod that is ready at port {endpoint.port}"
    raise Waiting(HOST_UNKNOWN, f"{message}: check {endpoint.field}.host and {endpoint.field}.port")


def _one_family(addresses: Iterable[str]) -> tuple[str, ...]:
    """IPv4 where there is any; in one order, so that an answer that is only shuffled is no change."""
    parsed = sorted({ipaddress.ip_address(text) for text in addresses}, key=lambda one: (one.version, int(one)))
    return tuple(str(one) for one in parsed if one.version == parsed[0].version)
