"""What is proved before a restore touches anything; its worker proves all of it again, since time passes."""

from aada_operator.adapters.kube import Kube
from aada_operator.adapters.kube_secrets import require_mounts
from aada_operator.adapters.postgres_logins import admin_session
from aada_operator.adapters.postgres_restores import restore_target
from aada_operator.adapters.storage import fetch_manifest, open_store
from aada_operator.api.manifest import Manifest
from aada_operator.api.task import TARGET_EXISTS
from aada_operator.core.errors import Stalled
from aada_operator.core.tables import choose_tables
from aada_operator.core.worker_jobs import JobRequest
from aada_operator.restores import decide
from aada_operator.restores.manifests import Load
from aada_operator.restores.world import Resolved


async def demand(kube: Kube, load: Load, resolved: Resolved, request: JobRequest) -> None:
    """Prove that the restore can be expected to end well.

    Raises:
        Waiting: something is missing or away: Secrets, the storage, the server, a right.
        Stalled: another backup or another name is needed; nothing was touched.
    """
    if load.database == load.server.name and resolved.rebuild is None:
        raise Stalled(TARGET_EXISTS, f"{load.database} is the live database: choose another name")
    namespace = load.restore["metadata"]["namespace"]
    await require_mounts(kube, namespace, request.mounts)
    manifest = await _manifest(kube, namespace, load, resolved)
    choose_tables(manifest, load.tables)
    async with admin_session(kube, namespace, load.server, load.allow_local) as session:
        target = await restore_target(session, load.database)
    decide.demand_target(target, manifest, load.database, load.restore["metadata"]["uid"])


async def _manifest(kube: Kube, namespace: str, load: Load, resolved: Resolved) -> Manifest:
    store = await open_store(kube, namespace, load.location, load.allow_local)
    found = await fetch_manifest(store, load.location)
    return decide.demand_manifest(found.manifest if found else None, found.sha256 if found else "", resolved.backup)
