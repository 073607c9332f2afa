"""What a Restore works with, read from the cluster: backups, the LMS that they are of, its own Jobs."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from aada_operator.adapters.bundles import fetch_bundle
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.referenced import lms_of, policy_spec
from aada_operator.adapters.storage import fetch_manifest, open_store
from aada_operator.api.backup_policy import JobTemplate
from aada_operator.api.common import LABEL_OWNER, SecretKeyRef
from aada_operator.api.data_key import DataKey
from aada_operator.api.lms import Database
from aada_operator.api.location import Location
from aada_operator.api.restore import RestoreSpec
from aada_operator.api.restore_places import Source, StoredSource, TargetServer
from aada_operator.core.controller import Visit
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.resources import BACKUP_POLICIES, BACKUPS, JOBS, OWN, RESTORES, SECRETS, Object
from aada_operator.restores import decide, manifests, rebuild
from aada_operator.restores.decide import Candidate
from aada_operator.restores.in_bucket import find
from aada_operator.restores.rebuild import Rebuild


@dataclass(frozen=True)
class Resolved:
    """The backup to restore, what its Job needs besides, and the server that it goes to.

    ``rebuild`` is what is made beside the database, in mode NewServer only.
    """

    backup: Candidate
    location: Location
    identity: SecretKeyRef | None
    job: JobTemplate
    server: Database
    rebuild: Rebuild | None = None

    @property
    def data_key(self) -> DataKey | None:
        """The application's key that is to be tried; one that is made of the bundle is the one that was in use."""
        wanted = self.server.data_key
        made = wanted and self.rebuild and f"{rebuild.SECRET}/{wanted.secret_ref.name}" not in self.rebuild.present
        return None if made else wanted


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


async def resolve(kube: Kube, visit: Visit[RestoreSpec], pinned: str | None, allow_local: bool) -> Resolved:
    """The backup of the source, or the ``pinned`` one, with everything that it names.

    Raises:
        Waiting: something is not there yet.
        Stalled: the backup failed, or cannot be restored in this way.
    """
    namespace, source = visit.namespace, visit.spec.source
    if source.storage:
        found = await _stored(kube, namespace, source.storage, pinned, allow_local)
    else:
        found = await _known(kube, namespace, source, pinned)
    if visit.spec.target.server:
        return await _rebuilt(kube, visit, found, visit.spec.target.server, allow_local)
    lms = await lms_of(kube, namespace, found.backup.status.lms)
    return Resolved(*found, lms.database)


class _Found(NamedTuple):
    """A backup and what it takes to read it."""

    backup: Candidate
    location: Location
    identity: SecretKeyRef | None
    job: JobTemplate


async def _known(kube: Kube, namespace: str, source: Source, pinned: str | None) -> _Found:
    """A Backup of this namespace, to be read as its policy says."""
    backup = await _backup(kube, namespace, source, pinned)
    location = decide.demand_completed(backup)
    if source.copy_:
        location, backup = decide.demand_copy(backup, source.copy_), replace(backup, copy=source.copy_)
    encrypted = backup.status.encryption == "Age"
    if backup.imported:
        identity, job = backup.imported.identity_secret_ref, JobTemplate()
        field = f"importFrom.identitySecretRef of another Backup than {backup.name}"
    else:
        body = await kube.get(BACKUP_POLICIES, namespace, backup.policy)
        spec = policy_spec(body, backup.policy) if body or encrypted else None
        identity = spec.encryption.verification_identity_secret_ref if spec else None
        job = spec.job if spec else JobTemplate()
        field = f"encryption.verificationIdentitySecretRef of BackupPolicy {backup.policy}"
    if encrypted and identity is None:
        raise Waiting("NoIdentity", f"the backup is encrypted: name a key in {field}")
    return _Found(backup, location, identity if encrypted else None, job)


async def _stored(kube: Kube, namespace: str, source: StoredSource, pinned: str | None, allow_local: bool) -> _Found:
    """A backup that lies in a bucket."""
    location, backup = await find(kube, namespace, source, pinned, allow_local)
    encrypted = backup.status.encryption == "Age"
    if encrypted and source.identity_secret_ref is None:
        raise Stalled("NoIdentity", "the backup is encrypted: name a key in source.storage.identitySecretRef")
    return _Found(backup, location, source.identity_secret_ref if encrypted else None, JobTemplate())


async def _rebuilt(
    kube: Kube, visit: Visit[RestoreSpec], found: _Found, target: TargetServer, allow_local: bool
) -> Resolved:
    """With what the bundle makes of the LMS on another server, and what is there of it already."""
    location, lms = found.location, found.backup.status.lms
    store = await open_store(kube, visit.namespace, location, allow_local)
    stored = await fetch_manifest(store, location)
    manifest = decide.demand_manifest(
        stored.manifest if stored else None, stored.sha256 if stored else "", found.backup
    )
    bundle = await fetch_bundle(kube, visit.namespace, store, location, manifest, found.identity)
    if bundle is None:
        raise Stalled(
            "NoBundle", "the backup has no bundle, which mode NewServer needs: use another backup, or NewDatabase"
        )
    server = rebuild.database(bundle, target, manifest.database.name, lms)
    made = rebuild.rebuild(bundle, server, lms, visit.namespace, visit.uid)
    return Resolved(*found, server, await _looked_up(kube, visit.namespace, made))


async def _looked_up(kube: Kube, namespace: str, made: Rebuild) -> Rebuild:
    wanted = {*made.references, *(f"{rebuild.SECRET}/{name}" for name in made.required)}
    there = [name for name in sorted(wanted) if await _is_there(kube, namespace, name)]
    return replace(made, present=frozenset(there))


async def _is_there(kube: Kube, namespace: str, reference: str) -> bool:
    kind, _, name = reference.partition("/")
    return await kube.get(OWN.get(kind, SECRETS), namespace, name) is not None


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
