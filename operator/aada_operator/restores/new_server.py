"""The steps of a restore onto another server after the load: roles, properties, Secrets, the login, the LMS itself.

Nothing that exists is changed: neither a role without this Restore's mark nor an object of the cluster. The AadaLms is
made last and says who made it: from then on all earlier steps are done, and what it or a person changes stays changed.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aada_operator.adapters import postgres
from aada_operator.adapters.postgres import Session
from aada_operator.adapters.postgres_cutover import give_properties, properties
from aada_operator.adapters.postgres_errors import AUTHENTICATION_FAILED
from aada_operator.adapters.postgres_logins import admin_session, application_session, login_of
from aada_operator.adapters.postgres_new_server import look, make_roles
from aada_operator.adapters.postgres_roles import give_password
from aada_operator.api.restore import ANNOTATION_RESTORED_BY
from aada_operator.core.conditions import condition_of
from aada_operator.core.database import ServerRoles, begun_mark
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.failpoints import failpoint
from aada_operator.core.resources import AADA_LMS, OWN, SECRETS, Object
from aada_operator.core.steps import Step
from aada_operator.restores import decide, report
from aada_operator.restores.rebuild import LMS, Rebuild, reference, roles_to_make
from aada_operator.restores.work import Work

logger = logging.getLogger(__name__)
POLL = 3.0


class NewServer:
    """One visit's look at the server and the namespace, and the steps that follow from it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._visit = work.visit
        self._seen: ServerRoles | None = None

    def steps(self, files: list[Step]) -> list[Step]:
        """What follows the load; ``files`` are the steps of users' files, whose place the policy says."""
        return [
            self._unless_made(Step("Roles", self._has_roles, self._make_roles)),
            self._unless_made(Step("Properties", self._has_properties, self._give_properties)),
            self._unless_made(Step("Secrets", self._has_secrets, self._make_secrets)),
            self._unless_made(Step("Login", self._can_log_in, self._give_password)),
            Step("Objects", self._has_objects, self._make_objects),
            *files,
            Step("Serving", self._serves, self._wait_for_lms),
        ]

    async def preflight(self) -> None:
        """Prove what the steps will need, before anything is loaded.

        Raises:
            Waiting: SecretMissing, InsufficientPrivilege.
            Stalled: RoleTaken.
        """
        made = await self._rebuild()
        if absent := made.absent_secrets:
            names = ", ".join(absent[:5])
            raise Waiting("SecretMissing", f"Secret {names} is neither in the backup nor here: create it")
        async with self._admin() as session:
            seen = await look(session, [role.name for role in made.roles])
        login = await self._login_name(made)
        if not seen.may_create_roles:
            message = f"role {seen.username} may not make roles: give it CREATEROLE"
            raise Waiting("InsufficientPrivilege", message, 30.0)
        if login in seen.roles and seen.roles[login].comment != self._mark:
            message = f"role {login} exists on the server and is not of this Restore: drop or rename it there"
            raise Stalled("RoleTaken", message)

    @property
    def _mark(self) -> str:
        return begun_mark(self._visit.uid)

    @property
    def _plan(self) -> Object:
        return dict(self._work.status["plan"])

    async def _rebuild(self) -> Rebuild:
        resolved = self._work.resolved or await self._work.demand_resolved()
        assert resolved.rebuild, "made for this target mode"  # noqa: S101
        return resolved.rebuild

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[Session]:
        made = await self._rebuild()
        async with admin_session(
            self._work.kube, self._visit.namespace, made.server, self._work.allow_local
        ) as session:
            yield session

    def _unless_made(self, step: Step) -> Step:
        """A step that is over once the LMS is there: what is changed from then on stays changed."""

        async def done() -> bool:
            return await self._is_made() or await step.done()

        return Step(step.name, done, step.act)

    async def _is_made(self) -> bool:
        """Whether this Restore has made the AadaLms."""
        return _made_by(await self._lms(), self._visit.uid)

    async def _lms(self) -> Object | None:
        return await self._work.kube.get(AADA_LMS, self._visit.namespace, self._plan["lms"])

    async def _has_roles(self) -> bool:
        made = await self._rebuild()
        async with self._admin() as session:
            self._seen = await look(session, [role.name for role in made.roles])
        return not roles_to_make(made.roles, self._seen.roles, self._mark)

    async def _make_roles(self) -> None:
        made, seen = await self._rebuild(), self._seen
        assert seen, "they were looked at"  # noqa: S101
        async with self._admin() as session:
            await make_roles(session, roles_to_make(made.roles, seen.roles, self._mark), seen, self._mark)

    async def _has_properties(self) -> bool:
        made = await self._rebuild()
        async with self._admin() as session:
            return await properties(session, self._plan["database"]) == made.properties

    async def _give_properties(self) -> None:
        made = await self._rebuild()
        async with self._admin() as session:
            await give_properties(session, self._plan["database"], made.properties)

    async def _has_secrets(self) -> bool:
        return not await self._missing_secrets()

    async def _make_secrets(self) -> None:
        for body in await self._missing_secrets():
            await self._work.kube.create(SECRETS, body)

    async def _missing_secrets(self) -> list[Object]:
        made = await self._rebuild()
        names = [(body, body["metadata"]["name"]) for body in made.secrets]
        return [b for b, name in names if await self._work.kube.get(SECRETS, self._visit.namespace, name) is None]

    async def _can_log_in(self) -> bool:
        """Whether the application's login finds the schema of the backup, before any user does."""
        made, work = await self._rebuild(), self._work
        try:
            async with application_session(
                work.kube, self._visit.namespace, made.lms, made.server, work.allow_local, self._plan["database"]
            ) as session:
                found = await postgres.revision(session, made.revision_table)
        except Waiting as refused:
            if refused.reason != AUTHENTICATION_FAILED:
                raise
            return False
        decide.demand_revision(found, self._plan["schemaRevision"])
        return True

    async def _give_password(self) -> None:
        """The login gets the password that its Secret has, if this Restore made it."""
        made = await self._rebuild()
        name = made.server.app_secret(made.lms)
        login = await login_of(self._work.kube, self._visit.namespace, name)
        async with self._admin() as session:
            seen = await look(session, [login.username])
            if login.username not in seen.roles or seen.roles[login.username].comment != self._mark:
                message = f"Secret {name} names user {login.username}, which this Restore did not make: correct it"
                raise Waiting(AUTHENTICATION_FAILED, message)
            await give_password(session, login.username, login.password)
        failpoint("restore.new-server.after-password")
        report.under_way(self._visit, "Running", "Login", f"role {login.username} has its password")
        self._work.delay = POLL

    async def _login_name(self, made: Rebuild) -> str:
        """Whom the application logs in as: what its Secret says, here or else in the backup."""
        name = made.server.app_secret(made.lms)
        if f"Secret/{name}" in made.present:
            return (await login_of(self._work.kube, self._visit.namespace, name)).username
        return made.username

    async def _has_objects(self) -> bool:
        return not await self._missing_objects()

    async def _make_objects(self) -> None:
        for body in await self._missing_objects():
            await self._work.kube.create(OWN[body["kind"]], body)
            failpoint(f"restore.new-server.after-{body['kind']}")
            described = f"restores/{self._visit.namespace}/{self._visit.name}"
            logger.info("made again", extra={"object": described, "made": reference(body)})

    async def _missing_objects(self) -> list[Object]:
        made, namespace = await self._rebuild(), self._visit.namespace
        found = [
            (body, await self._work.kube.get(OWN[body["kind"]], namespace, body["metadata"]["name"]))
            for body in made.objects
        ]
        return [body for body, live in found if live is None]

    async def _serves(self) -> bool:
        """Whether the LMS that was made answers; one that was there, or is suspended, is not waited for."""
        live = await self._lms()
        waited_for = _made_by(live, self._visit.uid) and not (live or {}).get("spec", {}).get("suspend")
        return not waited_for or condition_of(live or {}, "Ready") == "True"

    async def _wait_for_lms(self) -> None:
        message = f"{LMS} {self._plan['lms']} is not ready yet: see its conditions"
        if self._visit.now > self._work.deadline():
            raise Stalled("LmsNotReady", f"{message}; the database and all objects are there")
        raise Waiting("LmsNotReady", message, POLL)


def _made_by(body: Object | None, uid: str) -> bool:
    annotations = ((body or {}).get("metadata") or {}).get("annotations") or {}
    return bool(annotations.get(ANNOTATION_RESTORED_BY) == uid)
