"""The checkpoint of users' files: written beside the manifest by the first sync after the backup, read once."""

from aada_operator.adapters.kube import Kube
from aada_operator.adapters.storage import fetch_checkpoint, open_store
from aada_operator.api.backup import ANNOTATION_FOUND, BackupSpec
from aada_operator.api.location import Location
from aada_operator.backups import report
from aada_operator.core.controller import RESYNC, Visit
from aada_operator.core.errors import OperatorError
from aada_operator.core.resources import BACKUP_POLICIES


class Checkpoint:
    """Looks for the checkpoints of completed Backups whose policy copies users' files."""

    def __init__(self, kube: Kube, allow_local: bool) -> None:
        self._kube = kube
        self._allow_local = allow_local

    async def look(self, visit: Visit[BackupSpec]) -> float | None:
        """Keep what the bucket says; returns seconds until it is to be asked again, None for no need."""
        if known := visit.status.get("uploads"):
            report.checkpointed(visit, known)
            return None
        policy = await self._kube.get(BACKUP_POLICIES, visit.namespace, visit.spec.policy)
        if not ((policy or {}).get("spec") or {}).get("uploads"):
            visit.conditions.drop(report.UPLOADS_CHECKPOINTED)
            return None
        return await self._ask(visit)

    async def _ask(self, visit: Visit[BackupSpec]) -> float | None:
        location = Location.model_validate(visit.status["location"])
        try:
            store = await open_store(self._kube, visit.namespace, location, self._allow_local)
            found = await fetch_checkpoint(store, location)
        except OperatorError as trouble:
            visit.conditions.set(report.UPLOADS_CHECKPOINTED, "Unknown", trouble.reason, trouble.message)
            return RESYNC
        if found is not None:
            known = found.model_dump(by_alias=True, exclude_none=True, exclude={"format", "format_version"})
            visit.status["uploads"] = known
            report.checkpointed(visit, known)
            return None
        if ANNOTATION_FOUND in visit.annotations:
            message = "the lost cluster did not say which of users' files belong to it"
            visit.conditions.set(report.UPLOADS_CHECKPOINTED, False, "NoCheckpoint", message)
            return None
        message = "users' files are being copied: see UploadsSynced of the policy"
        visit.conditions.set(report.UPLOADS_CHECKPOINTED, "Unknown", "AwaitingSync", message)
        return RESYNC


def sooner(one: float | None, other: float | None) -> float | None:
    """The shorter of two delays; None is never."""
    return min((delay for delay in (one, other) if delay is not None), default=None)
