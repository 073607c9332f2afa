"""What a Restore works with, read from the cluster: backups, the LMS that they are of, its own Jobs."""

from dataclasses import dataclass, replace

from aada_operator.adapters.kube import Kube
from aada_operator.adapters.referenced import lms_of, policy_spec
from aada_operator.api.backup import Location
from aada_operator.api.backup_policy import JobTemplate
from aada_operator.api.common import LABEL_LMS, LABEL_OWNER, SecretKeyRef
from aada_operator.api.lms import Database
from aada_operator.api.restore import Source
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, BACKUPS, JOBS, RESTORES, Object
from aada_operator.restores import decide, manifests
from aada_operator.restores.decide import Candidate


@dataclass(frozen=True)
class Resolved:
    """The backup to restore, the server that it goes to, and what its Job needs besides."""

    backup: Candidate
    location: Location
    server: Database
    identity: SecretKeyRef | None
    job: JobTemplate


@dataclass(frozen=True)
class Begun:
    """The newest Job of a Restore: its attempt, and the backup that it loads."""

    attempt: int
    backup: str


async def newest_job(kube: Kube, restore: Object) -> Begun | None:
    """The newest Job of this very Restore, None before the first."""
    metadata = restore["metadata"]
    selector = {LABEL_OWNER: RESTORES.kind.lower(), manifests.LABEL_RESTORE: metadata["name"]}
    found = await kube.list(JOBS, metadata["namespace"], selector)
    begun = [_begun(job) for job in found if _owned(job, metadata["uid"])]
    return max(begun, key=lambda job: job.attempt, default=None)


def _begun(job: Object) -> Begun:
    labels = job["metadata"]["labels"]
    return Begun(int(labels[manifests.LABEL_ATTEMPT]), labels[manifests.LABEL_BACKUP])


def _owned(job: Object, uid: str) -> bool:
    return uid in {reference["uid"] for reference in job["metadata"].get("ownerReferences", ())}


async def resolve(kube: Kube, namespace: str, source: Source, pinned: str | None) -> Resolved:
    """The backup of a source, or the ``pinned`` one, with everything that it names.

    Raises:
        Waiting: something is not there yet.
        Stalled: the backup failed.
    """
    backup = await _backup(kube, namespace, source, pinned)
    location = decide.demand_completed(backup)
    if source.copy_:
        location, backup = decide.demand_copy(backup, source.copy_), replace(backup, copy=source.copy_)
    policy = await kube.get(BACKUP_POLICIES, namespace, backup.policy)
    encrypted = backup.status.encryption == "Age"
    spec = policy_spec(policy, backup.policy) if policy or encrypted else None
    identity = spec.encryption.verification_identity_secret_ref if spec and encrypted else None
    if encrypted and identity is None:
        field = "encryption.verificationIdentitySecretRef"
        raise Waiting("NoIdentity", f"the backup is encrypted: name a key in {field} of BackupPolicy {backup.policy}")
    lms = await lms_of(kube, namespace, backup.status.lms)
    return Resolved(backup, location, lms.database, identity, spec.job if spec else JobTemplate())


async def _backup(kube: Kube, namespace: str, source: Source, pinned: str | None) -> Candidate:
    name = pinned or source.backup_name
    if name is None:
        policy = source.policy_ref.name if source.policy_ref else ""
        candidates = map(Candidate.of, await kube.list(BACKUPS, namespace))
        return decide.newest([c for c in candidates if not source.copy_ or source.copy_ in c.copied_to], policy)
    body = await kube.get(BACKUPS, namespace, name)
    if body is None:
        raise Waiting("BackupNotFound", f"Backup {name} does not exist: create it, or restore another one", 30.0)
    return Candidate.of(body)


async def in_the_way(kube: Kube, restore: Object, lms: str) -> str:
    """What works with the live database now, in words; empty: nothing."""
    namespace = restore["metadata"]["namespace"]
    migrations = await kube.list(JOBS, namespace, {LABEL_OWNER: AADA_LMS.kind.lower(), LABEL_LMS: lms})
    backups, restores = await kube.list(BACKUPS, namespace), await kube.list(RESTORES, namespace)
    return decide.in_the_way(lms, restore, backups, migrations, restores)
