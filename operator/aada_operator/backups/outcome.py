"""What a completed backup says of itself in the status; pure."""

import math
from typing import Any

from aada_operator.api.manifest import Manifest
from aada_operator.api.task import BackupResult, VerifyResult
from aada_operator.core.clock import from_rfc3339, human, human_bytes, to_rfc3339
from aada_operator.core.resources import Object

MOST_CHECKS, LONGEST_CHECK = 50, 256


def result_of(manifest: Manifest, sha256: str) -> BackupResult:
    """The result of a backup whose worker can no longer tell it, from its manifest."""
    database = manifest.database
    return BackupResult(
        manifest_sha256=sha256,
        adopted=True,
        started_at=manifest.started_at,
        completed_at=manifest.completed_at,
        snapshot_at=manifest.snapshot_at,
        duration_seconds=manifest.duration_seconds,
        size_bytes=database.size_bytes,
        stored_bytes=manifest.stored_bytes,
        new_bytes=manifest.new_bytes,
        immutable_until=manifest.immutable_until,
        base=manifest.base,
        epoch=manifest.chunks.epoch,
        tables=len(manifest.tables),
        rows=manifest.rows,
        digest=manifest.digest.value,
        schema_revision=manifest.schema_revision,
        server_version=str(database.server_version),
        system_identifier=database.system_identifier,
        lsn=database.lsn,
        encrypted=manifest.encryption.mode == "Age",
        bundle=manifest.bundle,
    )


def completed_fields(result: BackupResult, start_time: str | None) -> Object:
    """The fields of ``BackupStatus`` that a completed backup has.

    ``start_time`` is that of the first try; a backup that was found in the bucket began earlier than that.
    """
    end = from_rfc3339(result.completed_at)
    start = min(from_rfc3339(moment) for moment in (start_time, result.started_at) if moment)
    postgres = {
        "version": version_text(result.server_version),
        "systemIdentifier": result.system_identifier or "",
        "lsn": result.lsn or "",
    }
    return {
        "phase": "Completed",
        "startTime": to_rfc3339(start),
        "completionTime": to_rfc3339(end),
        "duration": human(end - start),
        "sizeBytes": result.size_bytes,
        "storedBytes": result.stored_bytes,
        "newBytes": result.new_bytes,
        "type": "Incremental" if result.base else "Full",
        "parent": result.base or "",
        "epoch": result.epoch,
        "size": human_bytes(result.stored_bytes),
        "manifestSha256": result.manifest_sha256,
        "immutableUntil": result.immutable_until,
        "encryption": "Age" if result.encrypted else "None",
        "postgres": postgres,
        "schemaRevision": result.schema_revision or "",
        "tables": {"count": result.tables, "rows": result.rows, "digest": result.digest},
        "recoverableFrom": to_rfc3339(from_rfc3339(result.snapshot_at)),
    }


def version_text(number: str) -> str:
    """``150018``, as the server counts, in the way that people write it: ``15.18``."""
    return f"{int(number) // 10000}.{int(number) % 10000}" if number.isdigit() else number[:32]


def verification_fields(result: VerifyResult) -> Object:
    """The fields of ``VerificationStatus`` that a passed verification has."""
    checks = [f"{check.name}: {check.message}" if check.message else check.name for check in result.checks]
    return {
        "duration": _span(result.duration_seconds),
        "rto": _span(result.restore_seconds),
        "checks": [check[:LONGEST_CHECK] for check in checks[:MOST_CHECKS]],
    }


def progress_fields(said: dict[str, Any]) -> Object:
    """What a worker said of its progress, as ``status.progress``; what is no count is 0."""
    return {"stage": str(said.get("stage", ""))[:32]} | {
        field: _count(said.get(field)) for field in ("bytes", "totalBytes", "tables")
    }


def _count(value: object) -> int:
    return max(0, value) if isinstance(value, int) else 0


def _span(length: float) -> str:
    """Seconds as a duration of the API, comparable with objectives; never nothing."""
    return f"{max(1, math.ceil(length))}s"
