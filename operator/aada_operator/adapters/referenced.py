"""Objects of ours that another one names, read and validated."""

from typing import TypeVar

from pydantic import ValidationError

from aada_operator.adapters.kube import Kube
from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.common import Model
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.api.ownership import ANNOTATION_TAKE_OVER, Claim
from aada_operator.core.controller import explain
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, RESTORES, ApiResource, Object

Spec = TypeVar("Spec", bound=Model)


async def policy_of(kube: Kube, namespace: str, name: str) -> BackupPolicySpec:
    """The spec of a BackupPolicy.

    Raises:
        Waiting: BackupPolicyNotFound, BackupPolicyInvalid.
    """
    if not name:
        raise Waiting("BackupPolicyNotFound", "the backup is of no BackupPolicy here")
    return policy_spec(await kube.get(BACKUP_POLICIES, namespace, name), name)


def policy_spec(body: Object | None, name: str) -> BackupPolicySpec:
    """The spec of a BackupPolicy that was read; raises as `policy_of`."""
    return _validated(BACKUP_POLICIES, name, body, BackupPolicySpec)


async def lms_of(kube: Kube, namespace: str, name: str) -> AadaLmsSpec:
    """The spec of an AadaLms.

    Raises:
        Waiting: AadaLmsNotFound, AadaLmsInvalid.
    """
    return lms_spec(await kube.get(AADA_LMS, namespace, name), name)


def lms_spec(body: Object | None, name: str) -> AadaLmsSpec:
    """The spec of an AadaLms that was read; raises as `lms_of`."""
    return _validated(AADA_LMS, name, body, AadaLmsSpec)


async def claim_of(kube: Kube, namespace: str, lms: str, policy: str) -> Claim:
    """Who a policy acts for; without an AadaLms nobody, who owns nothing that is marked."""
    found = await kube.get(AADA_LMS, namespace, lms) or {"metadata": {}}
    said = await kube.get(BACKUP_POLICIES, namespace, policy) or {"metadata": {}}
    annotations = said["metadata"].get("annotations") or {}
    take_over = str(annotations.get(ANNOTATION_TAKE_OVER, ""))
    uid = str(found["metadata"].get("uid", ""))
    return Claim(namespace=namespace, lms=lms, uid=uid, take_over=take_over, policy=policy)


async def backups_in_use(kube: Kube, namespace: str) -> set[str]:
    """Names of the Backups that a Restore wants, loads, or took for safety, and has not ended."""
    bodies = await kube.list(RESTORES, namespace)
    active = [body for body in bodies if (body.get("status") or {}).get("phase") not in ("Completed", "Failed")]
    planned = [((body.get("status") or {}).get("plan") or {}).get("backup") for body in active]
    safety = [(body.get("status") or {}).get("safetyBackup") for body in active]
    named = [(body["spec"].get("source") or {}).get("backupName") for body in active]
    return {str(name) for name in (*planned, *safety, *named) if name}


def _validated(resource: ApiResource, name: str, body: Object | None, model: type[Spec]) -> Spec:
    if body is None:
        raise Waiting(f"{resource.kind}NotFound", f"{resource.kind} {name} does not exist: create it")
    try:
        return model.model_validate(body.get("spec") or {})
    except ValidationError as error:
        raise Waiting(f"{resource.kind}Invalid", f"{resource.kind} {name}: {explain(error)}") from None
