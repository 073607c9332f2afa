"""What one SecretRotation should do now: pure functions of its spec, the Secrets, the server, and the time."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aada_operator.api.common import LABEL_LMS, seconds
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.api.rotation import SecretRotationSpec
from aada_operator.core import capacity, schedule
from aada_operator.core.clock import from_rfc3339, to_rfc3339
from aada_operator.core.database import ConnectionLimits, LoginRole, Names, PoolerLimits, RotationServer
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.resources import Object

FIRST_RETRY, LONGEST_RETRY = timedelta(hours=1), timedelta(hours=24)
_NUMBER = re.compile(r"-r(\d{1,9})$")
_SERVING = ("RolledOut", "DriftReverted")
# Who writes a Secret again and again, by what it leaves on it; a rotation would be undone within minutes.
_MANAGERS = {
    "argocd.argoproj.io/instance": "Argo CD",
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "meta.helm.sh/release-name": "Helm",
    "reconcile.external-secrets.io/managed": "External Secrets",
    "sealedsecrets.bitnami.com/managed": "Sealed Secrets",
}
_OWNERS = {"ExternalSecret": "External Secrets", "SealedSecret": "Sealed Secrets", "VaultStaticSecret": "Vault"}


def revision_number(revision: str) -> int:
    """The number in ``<rotation>-r<number>``; 0 for what was never rotated."""
    found = _NUMBER.search(revision)
    return int(found[1]) if found else 0


# --- when -----------------------------------------------------------------------------------------------------------


def next_due(spec: SecretRotationSpec, last: datetime, made: datetime) -> datetime | None:
    """When the next rotation is due after the ``last`` one; None: only by the annotation.

    A slot from before the SecretRotation was ``made`` is not caught up: nobody had asked for it.
    """
    if spec.schedule:
        return schedule.next_slot([spec.schedule], spec.time_zone, max(last, made))
    return last + timedelta(seconds=seconds(spec.max_age)) if spec.max_age else None


def is_due(spec: SecretRotationSpec, last: datetime, made: datetime, asked: str, now: datetime) -> bool:
    """Whether to rotate: the clock says so, or the annotation names a time since the last rotation.

    Raises:
        Stalled: InvalidAnnotation.
    """
    if is_asked(asked, to_rfc3339(last), now):
        return True
    due = next_due(spec, last, made)
    return due is not None and due <= now


def is_asked(asked: str, since: str | None, now: datetime) -> bool:
    """Whether somebody asked for a rotation after the moment ``since``; raises as `is_due`."""
    return bool(asked and since) and from_rfc3339(since or "") < demand_moment(asked) <= now


def demand_moment(text: str) -> datetime:
    """The time in the annotation; raises Stalled, InvalidAnnotation."""
    try:
        return from_rfc3339(text)
    except ValueError:
        message = "annotation lms.aada.edu/rotate-at is no time: set it to one like 2026-01-31T04:00:00Z"
        raise Stalled("InvalidAnnotation", message) from None


def retry_at(failures: int, now: datetime) -> str:
    """When a rotation is tried again after so many were rolled back in a row."""
    doubled = min(failures - 1, 10)  # no more: a timedelta ends before a rotation that fails for months
    return to_rfc3339(now + min(LONGEST_RETRY, FIRST_RETRY * 2**doubled))


# --- whether it can be done ------------------------------------------------------------------------------------------


def demand_only_one(mine: Object, others: Iterable[Object]) -> None:
    """Make sure that no other SecretRotation replaces the same credential; the older one does.

    Raises:
        Stalled: AnotherRotation.
    """
    for other in others:
        same = all(other["spec"].get(field) == mine["spec"].get(field) for field in ("lmsRef", "type", "secretRef"))
        if same and other["metadata"]["uid"] != mine["metadata"]["uid"] and (older := _age(other)) < _age(mine):
            raise Stalled("AnotherRotation", f"SecretRotation {older[1]} rotates this credential already: delete one")


def _age(body: Object) -> tuple[str, str]:
    return body["metadata"]["creationTimestamp"], body["metadata"]["name"]


def demand_calm(lms: Object, spec: AadaLmsSpec) -> None:
    """Make sure that all pods of the LMS run as wanted: only then a failure is known to be the rotation's.

    Raises:
        Waiting: LmsSuspended, LmsNotReady.
    """
    if spec.suspend:
        raise Waiting("LmsSuspended", "the AadaLms is suspended, so its pods would not be restarted", 60.0)
    conditions = {c["type"]: c for c in (lms.get("status") or {}).get("conditions", [])}
    for kind in ("DatabaseReachable", "SchemaCurrent", "RolloutHealthy"):
        found = conditions.get(kind, {"status": "Unknown", "reason": "Pending"})
        calm = kind != "RolloutHealthy" or found["reason"] in _SERVING
        if found["status"] != "True" or not calm:
            message = f"the AadaLms has {kind}={found['status']} ({found['reason']}): rotated once it is well"
            raise Waiting("LmsNotReady", message, 15.0)


def demand_unmanaged(secret: Object) -> None:
    """Make sure that nobody would write the old credentials back.

    Raises:
        Stalled: SecretManagedElsewhere.
    """
    metadata = secret["metadata"]
    marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    owners = [_OWNERS[o["kind"]] for o in metadata.get("ownerReferences", ()) if o["kind"] in _OWNERS]
    found = next((name for mark, name in _MANAGERS.items() if mark in marks), owners[0] if owners else "")
    if secret.get("immutable"):
        raise Stalled("SecretManagedElsewhere", f"Secret {metadata['name']} is immutable: make one that is not")
    if found:
        message = (
            f"Secret {metadata['name']} is written by {found}, which would bring the old password back: take it out "
            "of there, as Secret data that only this operator writes"
        )
        raise Stalled("SecretManagedElsewhere", message)


def demand_login(server: RotationServer, old: str) -> LoginRole:
    """Make sure that the application's login is there, and one that may be changed.

    Raises:
        Stalled: InsufficientPrivilege, RolesTaken, SuperuserLogin.
    """
    if not server.may_make_roles:
        raise Stalled("InsufficientPrivilege", f"role {server.admin} may not make roles: give it CREATEROLE")
    login = server.logins.get(old)
    if login is None:
        raise Stalled("RolesTaken", f"the server has no role {old}, which the application's Secret names")
    if old == server.admin or ("SUPERUSER" in login.powers and not login.acts_as_owner):
        message = f"the application logs in as {old}, the admin or a superuser, which is not replaced"
        raise Stalled("SuperuserLogin", f"{message}: give it a role of its own, in Secret and database")
    return login


def demand_server(server: RotationServer, names: Names, old: str) -> None:
    """Make sure that the server lets another login take its place, before anything is touched.

    Raises:
        Stalled: as `demand_login`; LoginNotReplaceable.
        Waiting: LoginInUse.
    """
    login, other = demand_login(server, old), server.logins.get(names.next_login)
    if other and not other.comment.startswith(f"{LABEL_LMS}="):
        raise Stalled("RolesTaken", f"role {other.name} was not made by the operator: rename it, the rotation needs it")
    if other and other.can_login and other.sessions:
        raise Waiting("LoginInUse", f"{other.sessions} sessions of {other.name} are open: it is to be replaced", 30.0)
    if trouble := _not_replaceable(login, names):
        raise Stalled("LoginNotReplaceable", trouble)


def _not_replaceable(login: LoginRole, names: Names) -> str:
    """What a login has that another one would not have, in words with the way out; empty for nothing."""
    role = login.name
    if login.powers and not login.acts_as_owner:
        wanted = " ".join(f"NO{power}" for power in login.powers)
        return f"role {role} has {', '.join(login.powers)}, which no application needs: ALTER ROLE {role} {wanted}"
    if login.elsewhere:
        return f"role {role} owns things in database {', '.join(login.elsewhere[:3])}, too: give them to another role"
    if login.default_privileges:
        return f"role {role} has default privileges: ALTER DEFAULT PRIVILEGES FOR ROLE {names.owner} instead"
    if login.odd_grants:
        return (
            f"role {role} has {login.odd_grants} grants on columns, types or large objects, or user mappings: give "
            f"them to {names.owner} instead"
        )
    return ""


def is_handed_over(server: RotationServer, names: Names, login: str) -> bool:
    """Whether everything belongs to the owner role, so that the login can be replaced."""
    role = server.logins.get(login)
    return bool(role and role.acts_as_owner and not role.owns and server.database_owner == names.owner)


def demand_backup(lms: Object) -> None:
    """Make sure that there is a fresh backup before owners are changed.

    Raises:
        Waiting: BackupNotFresh.
    """
    conditions = {c["type"]: c for c in (lms.get("status") or {}).get("conditions", [])}
    found = conditions.get("BackupFresh", {"status": "Unknown", "message": ""})
    if found["status"] != "True":
        message = f"what the login owns is given to an owner role, and only after a fresh backup: {found['message']}"
        raise Waiting("BackupNotFresh", message, 30.0)


def demand_connections(lms: Object, spec: AadaLmsSpec, twice: Mapping[str, int], pooler: PoolerLimits | None) -> None:
    """Make sure that there are connections for a second set of pods; ``twice`` has the size of each, by component.

    Raises:
        Waiting: LmsNotReady, the AadaLms has not looked at the server yet.
        Stalled: NotDeclared, ConnectionBudgetExceeded.
    """
    seen = (lms.get("status") or {}).get("database") or {}
    if not seen.get("maxConnections"):
        raise Waiting("LmsNotReady", "the AadaLms does not know how many connections its server allows yet", 15.0)
    if missing := capacity.undeclared(spec.components):
        message = "there are twice as many pods for a while: say what one may open in components[].connections of"
        raise Stalled("NotDeclared", f"{message} {', '.join(missing)}")
    server = ConnectionLimits(seen["maxConnections"], seen.get("reservedConnections", 0))
    sized = [one.model_copy(update={"replicas": twice.get(one.name, one.replicas)}) for one in spec.components]
    found = capacity.demand(sized, server, pooler, twice)
    if not found.fits:
        message = f"there are twice as many pods for a while: {found.counted}; fewer workers or smaller pools"
        setting = "max_connections of the server" if found.clients_fit else "max_client_conn of the pooler"
        raise Stalled("ConnectionBudgetExceeded", f"{message}, or a larger {setting}")


# --- pods and sessions -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Convergence:
    """Who still has other credentials: pods and workloads by name, and sessions of the other role."""

    pods: tuple[str, ...]
    workloads: tuple[str, ...]
    login: str = ""
    sessions: int = 0

    @property
    def reached(self) -> bool:
        return not (self.pods or self.workloads or self.sessions)

    @property
    def sessions_only(self) -> bool:
        """Whether sessions are left that no known pod or workload has."""
        return self.sessions > 0 and not (self.pods or self.workloads)

    def __str__(self) -> str:
        parts = [f"pods {', '.join(self.pods[:3])}"] if self.pods else []
        parts += [", ".join(self.workloads[:3])] if self.workloads else []
        parts += [f"{self.sessions} sessions of {self.login}"] if self.sessions else []
        return "; ".join(parts)


def outdated_pods(pods: Sequence[Object], secret: str, mark: str, revision: str) -> tuple[str, ...]:
    """Pods that use the Secret and whose annotation ``mark`` names another revision of it, by name."""
    return tuple(
        sorted(
            pod["metadata"]["name"]
            for pod in pods
            if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
            and uses(pod["spec"], secret)
            and (pod["metadata"].get("annotations") or {}).get(mark, "") != revision
        )
    )


def uses(pod_spec: Object, secret: str) -> bool:
    """Whether a pod has anything of a Secret in its environment or its files."""
    containers = [*pod_spec.get("initContainers", ()), *pod_spec["containers"]]
    variables = [v.get("valueFrom") or {} for c in containers for v in c.get("env", ())]
    named = [(v.get("secretKeyRef") or {}).get("name") for v in variables]
    named += [(source.get("secretRef") or {}).get("name") for c in containers for source in c.get("envFrom", ())]
    volumes = pod_spec.get("volumes", ())
    files = [one.get("secret") or {} for v in volumes for one in (v, *(v.get("projected") or {}).get("sources", ()))]
    named += [held.get("secretName") or held.get("name") for held in files]
    return secret in named


def is_rolled_out(workload: Object) -> bool:
    """Whether all pods of a workload are of its newest template and ready."""
    status, wanted = workload.get("status") or {}, int(workload["spec"].get("replicas", 1))
    seen = int(status.get("observedGeneration", 0)) >= int(workload["metadata"].get("generation", 0))
    counts = [int(status.get(f, 0)) for f in ("replicas", "updatedReplicas", "readyReplicas")]
    return seen and counts == [wanted] * 3


# --- records ---------------------------------------------------------------------------------------------------------


def with_entry(history: Sequence[Mapping[str, object]], entry: Mapping[str, object], limit: int) -> list[Object]:
    """The history with one more rotation that has ended, the newest first; one that is in it already is replaced."""
    others = [dict(past) for past in history if past.get("startedAt") != entry["startedAt"]]
    return [dict(entry), *others][:limit]
