"""What one visit asks of the database's server, in one session of its admin: connections, and what its sessions do."""

from dataclasses import dataclass

from aada_operator.adapters import postgres_activity, postgres_limits
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.kube_secrets import read_keys
from aada_operator.adapters.postgres_logins import admin_session
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.core.database import Activity, ConnectionLimits, Names, role_mark
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import Object


@dataclass(frozen=True)
class Answers:
    """What the server said; None is what was not asked, or why nobody knows: ``refused``."""

    limits: ConnectionLimits | None = None
    activity: Activity | None = None
    refused: Waiting | None = None


async def ask(
    kube: Kube, lms: Object, spec: AadaLmsSpec, allow_local: bool, *, limits: bool = True, activity: bool = True
) -> Answers:
    """Ask for the limits of connections and of the application's roles, and for what sessions do.

    Raises:
        Waiting: SecretMissing, or the reasons of `postgres.session`.
    """
    if not limits and not activity:
        return Answers()
    database, namespace = spec.database, str(lms["metadata"]["namespace"])
    logins = await _logins(kube, lms, spec) if limits else []
    async with admin_session(kube, namespace, database, allow_local) as session:
        mark = role_mark(lms["metadata"]["uid"])
        return Answers(
            await postgres_limits.look(session, database.name, logins, mark) if limits else None,
            await postgres_activity.look(session) if activity else None,
        )


async def _logins(kube: Kube, lms: Object, spec: AadaLmsSpec) -> list[str]:
    """Roles as which the application may come."""
    secret = spec.database.app_secret(lms["metadata"]["name"])
    found = await read_keys(kube, lms["metadata"]["namespace"], secret, ["username"])
    given = found["username"].decode(errors="replace")
    return sorted({*Names(spec.database.name, given).logins, given})
