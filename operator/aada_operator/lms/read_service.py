"""The Service through which the application reads, and the EndpointSlice that leads it somewhere, as plain dicts."""

from collections.abc import Iterable

from aada_operator.api.common import LABEL_LMS, LABEL_OWNER
from aada_operator.api.read_replica import (
    ANNOTATION_LEFT_REPLICA_AT,
    ANNOTATION_RDS,
    ANNOTATION_READS_FROM,
    SERVICE,
    service_name,
)
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.resources import ENDPOINT_SLICES, SERVICES, Object, owner_reference
from aada_operator.lms.read_place import Reads

_PORT = "postgres"


def service(owner: Object, port: int) -> Object:
    """The Service; without a selector, so that nobody else leads it anywhere. It goes with the AadaLms."""
    return {
        "apiVersion": SERVICES.api_version,
        "kind": SERVICES.kind,
        "metadata": _metadata(owner, {}),
        "spec": {"type": "ClusterIP", "ports": [{"name": _PORT, "port": port, "protocol": "TCP"}]},
    }


def endpoint_slice(owner: Object, reads: Reads, family: str, addresses: Iterable[str], port: int) -> Object:
    """Where the Service leads, with the decision that it is made of."""
    left = {ANNOTATION_LEFT_REPLICA_AT: to_rfc3339(reads.left_at)} if reads.left_at else {}
    rds = {ANNOTATION_RDS: reads.rds.model_dump_json(by_alias=True, exclude_none=True)} if reads.rds else {}
    metadata = _metadata(owner, {ANNOTATION_READS_FROM: reads.place} | left | rds)
    name = metadata["name"]
    managed = {"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "aada-operator"}
    return {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": ENDPOINT_SLICES.kind,
        "metadata": metadata | {"labels": metadata["labels"] | managed},
        "addressType": family,
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": _PORT, "port": port, "protocol": "TCP"}],
    }


def _metadata(owner: Object, annotations: dict[str, str]) -> Object:
    """Labels other than those of components' children, which are removed when no component wants them."""
    lms, namespace = owner["metadata"]["name"], owner["metadata"]["namespace"]
    return {
        "name": service_name(lms),
        "namespace": namespace,
        "labels": {"app.kubernetes.io/managed-by": "aada-operator", LABEL_OWNER: SERVICE, LABEL_LMS: lms},
        "annotations": annotations,
        "ownerReferences": [owner_reference(owner)],
    }
