"""Who wrote a field last: what the API server notes of every object, read where a size is handed over."""

from datetime import datetime
from typing import Any

from aada_operator.core.clock import from_rfc3339
from aada_operator.core.resources import Object

# Who applies children, and who takes the size of a Deployment for a ScalingPolicy: two names, so that the first one can
# leave the field out of what it applies without resetting it.
FIELD_MANAGER = "aada-operator"
SCALING_MANAGER = "aada-operator-scaling"


def managers_of(body: Object, *path: str) -> frozenset[str]:
    """The managers that own a field, as ``spec``, ``replicas``; nobody for a field that was defaulted."""
    return frozenset(
        str(entry.get("manager", ""))
        for entry in body["metadata"].get("managedFields", ())
        if _has(entry.get("fieldsV1") or {}, path)
    )


def written_at(body: Object, *path: str) -> datetime | None:
    """When a field was given its value, to the second; None for one that was defaulted, or given by a subresource."""
    entries = body["metadata"].get("managedFields", ())
    times = [str(entry["time"]) for entry in entries if "time" in entry and _has(entry.get("fieldsV1") or {}, path)]
    return from_rfc3339(max(times)) if times else None


def status_manager(body: Object) -> str:
    """The manager that writes the status of an object; empty when nobody did yet."""
    entries = body["metadata"].get("managedFields", ())
    return next((str(entry.get("manager", "")) for entry in entries if entry.get("subresource") == "status"), "")


def _has(fields: Any, path: tuple[str, ...]) -> bool:
    for part in path:
        if not isinstance(fields, dict) or f"f:{part}" not in fields:
            return False
        fields = fields[f"f:{part}"]
    return True
