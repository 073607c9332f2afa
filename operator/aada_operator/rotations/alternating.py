"""The steps of AlternatingRoles: a second login beside the first, everybody moved to it, the first one retired.

Both logins work until everybody has the new one, so nobody is ever refused. Until the old one is retired each failure
leads back to it (`way_back`); after that there is no way back, and none is needed.
"""

import logging
import secrets
from datetime import datetime, timedelta

from aada_operator.adapters import interlock, postgres_rotation
from aada_operator.adapters.postgres_refusal import PASSWORD_REFUSED
from aada_operator.api.common import seconds
from aada_operator.core.clock import human, to_rfc3339
from aada_operator.core.controller import FINALIZER, is_held
from aada_operator.core.database import role_mark
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.interlock import Claim, Operation
from aada_operator.core.resources import SECRET_ROTATIONS, SECRETS, Object
from aada_operator.core.steps import Step, demand
from aada_operator.rotations import decide, manifests, report
from aada_operator.rotations.canary import Canary
from aada_operator.rotations.consumers import Consumers
from aada_operator.rotations.credentials import rewritten
from aada_operator.rotations.decide import Convergence
from aada_operator.rotations.manifests import Revision
from aada_operator.rotations.work import Work, credentials_of

logger = logging.getLogger(__name__)
# 43 URL-safe characters hold 256 bits: nothing in them needs to be quoted anywhere.
PASSWORD_BYTES = 32
POLL = 2.0
CONVERGING, GRACE = "Converging", "Grace"


async def claim(work: Work) -> None:
    """From now on nobody migrates or cuts over; backups may run."""
    wanted = Claim.of(work.visit.body, Operation.ROTATION, work.visit.now)
    await interlock.claim(work.kube, work.visit.namespace, work.lms_name, wanted)


async def release(work: Work) -> None:
    """Whoever waits may go on."""
    await interlock.release(work.kube, work.visit.namespace, work.lms_name, work.visit.uid)


class Alternating:
    """One visit's steps, from the first look to the proof."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._visit = work.visit
        self._canary = Canary(work)
        self._consumers = Consumers(work)

    def steps(self) -> list[Step]:
        """All of them, in order."""
        return [
            demand("Preflight", self._preflight),
            demand("Claim", self._claim),
            Step("Keep", self._is_kept, self._keep),
            Step("Generate", self._is_generated, self._generate),
            self._unless_published(Step("HandOver", self._is_handed_over, self._hand_over)),
            self._unless_published(Step("ApplyToDatabase", self._is_applied, self._apply)),
            self._unless_published(demand("VerifyNew", self._verify)),
            self._unless_published(Step("Canary", self._canary.is_ready, self._canary.act)),
            Step("Publish", self._is_published, self._publish),
            Step("Converge", self._has_converged, self._converge),
            demand("Grace", self._grace),
            Step("RetireOld", self._is_retired, self._retire),
            Step("ProveOld", self._is_proven, self._prove),
        ]

    @property
    def _old(self) -> Revision:
        assert self._work.kept, "the steps before have made it"  # noqa: S101
        return self._work.kept

    @property
    def _new(self) -> Revision:
        assert self._work.fresh, "the steps before have made it"  # noqa: S101
        return self._work.fresh

    def _unless_published(self, step: Step) -> Step:
        """A step before the application has the new login: done as well once it has."""

        async def done() -> bool:
            return self._work.published or await step.done()

        return Step(step.name, done, step.act)

    async def _preflight(self) -> None:
        """Refuse what cannot end well before anything is touched."""
        work = self._work
        if work.fresh:
            return
        decide.demand_only_one(self._visit.body, await work.kube.list(SECRET_ROTATIONS, self._visit.namespace))
        decide.demand_calm(work.lms, work.spec)
        decide.demand_unmanaged(work.live)
        rewritten(manifests.values(work.live), work.names.next_login, "a password to be made")
        await self._consumers.demand()
        server = await work.server()
        decide.demand_server(server, work.names, work.login)
        if not decide.is_handed_over(server, work.names, work.login):
            decide.demand_backup(work.lms)
        await self._demand_that_passwords_count()

    async def _demand_that_passwords_count(self) -> None:
        """Where a wrong password is let in, none could ever be proved dead."""
        wrong = secrets.token_urlsafe(PASSWORD_BYTES)
        answer = await self._work.answer(self._work.login, wrong)
        if answer == "":
            message = f"the server lets {self._work.login} in with any password: correct its line in pg_hba.conf"
            raise Stalled("PasswordNotAsked", message)
        if answer != PASSWORD_REFUSED:
            raise Waiting("DatabaseUnreachable", "the server does not answer a login as it should", 15.0)

    async def _claim(self) -> None:
        """In the grace period, which may be long, and while somebody stays with the old login, others may work."""
        if not await self._only_waits():
            await claim(self._work)

    async def _only_waits(self) -> bool:
        fresh, kept = self._work.fresh, self._work.kept
        if not (fresh and kept and fresh.converged_at):
            return False
        return self._visit.now < self._grace_ends() or not (await self._convergence()).reached

    async def _is_kept(self) -> bool:
        return self._work.kept is not None

    async def _keep(self) -> None:
        """A copy of the credentials in use; from now on the rotation cannot be deleted half-way."""
        work = self._work
        if work.published:
            message = f"the Secret with the login before revision {self._new.number} is gone: retire that role by hand"
            raise Stalled("RevisionMissing", f"{message}, then delete Secret {self._new.name}")
        if not is_held(self._visit.body):
            await work.kube.set_finalizer(SECRET_ROTATIONS, self._visit.body, FINALIZER, present=True)
        await self._create(manifests.kept(self._visit.body, work.lms_name, work.live, work.revision))

    async def _is_generated(self) -> bool:
        return self._work.fresh is not None

    async def _generate(self) -> None:
        """The new credentials, in the cluster before the server knows them."""
        work = self._work
        if work.live.get("data") != self._old.body["data"]:
            await work.kube.delete(SECRETS, self._old.body)
            raise Waiting("SecretChanged", f"Secret {work.secret} was changed a moment ago: looked at again", 1.0)
        number = max(work.revision, int(work.status.get("revision", 0)), self._old.number) + 1
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        data = rewritten(manifests.values(work.live), work.names.next_login, password)
        await self._create(
            manifests.fresh(self._visit.body, work.lms_name, number, data, self._old.number, self._visit.now)
        )

    async def _create(self, secret: Object) -> None:
        if await self._work.kube.create(SECRETS, secret) is None:
            message = f"Secret {secret['metadata']['name']} exists and is not of this SecretRotation: delete it"
            raise Waiting("NameTaken", message, 15.0)

    async def _is_handed_over(self) -> bool:
        return decide.is_handed_over(await self._work.server(), self._work.names, self._old.username)

    async def _hand_over(self) -> None:
        """Give what the login owns to the owner role: the first time, or when somebody made things as the login."""
        work = self._work
        decide.demand_backup(work.lms)
        async with work.changing() as session:
            mark = role_mark(work.lms["metadata"]["uid"])
            await postgres_rotation.hand_over(session, work.names, self._old.username, mark)
        if not await self._is_handed_over():
            message = f"role {self._old.username} still owns something that {work.names.owner} cannot be given"
            raise Stalled("LoginNotReplaceable", f"{message}: drop it, or make it anew as that role")

    async def _is_applied(self) -> bool:
        """Whether the new login works."""
        if not (await self._work.server()).may_log_in(self._new.username):
            return False
        return await self._work.answer(self._new.username, self._new.password) == ""

    async def _apply(self) -> None:
        work, new = self._work, self._new
        self._demand_undisturbed()
        decide.demand_server(await work.server(), work.names, self._old.username)
        mark = role_mark(work.lms["metadata"]["uid"])
        async with work.changing() as session:
            await postgres_rotation.open_login(session, work.names, self._old.username, credentials_of(new), mark)
        if (answer := await work.answer(new.username, new.password)) != "":
            message = f"the server answers the new login {new.username} with {answer or 'nothing'}"
            raise Waiting("NewLoginRefused", f"{message}: pg_hba.conf and connection limits must let it in", 5.0)

    async def _verify(self) -> None:
        """Log in as the application will, and do what it does."""
        async with self._work.session_of(self._new) as session:
            login, acts_as, tls = await postgres_rotation.try_out(session, f"lms_probe_{secrets.token_hex(8)}")
        if (login, acts_as) != (self._new.username, self._work.names.owner):
            raise Stalled("NewLoginWrong", f"a session of {login} acts as {acts_as}, not as {self._work.names.owner}")
        if not tls and self._work.spec.database.ssl_mode != "disable":
            raise Stalled("NewLoginWrong", f"a session of {login} is not encrypted, which sslMode demands")

    async def _is_published(self) -> bool:
        return self._work.published

    async def _publish(self) -> None:
        """The application's Secret gets the new credentials; the AadaLms restarts its pods one by one."""
        self._demand_undisturbed()
        await publish(self._work, self._new, self._new.name, self._visit.now)

    def _demand_undisturbed(self) -> None:
        """Make sure that the application's Secret still has the credentials that were kept.

        Raises:
            Stalled: SecretDataDrift.
        """
        if self._work.live.get("data") != self._old.body["data"]:
            message = f"somebody else changed Secret {self._work.secret} during the rotation: it is left as it is"
            raise Stalled("SecretDataDrift", message)

    async def _has_converged(self) -> bool:
        return self._new.converged_at is not None

    async def _converge(self) -> None:
        """Wait until all pods have the new credentials and nobody is left in a session of the old login."""
        await self._canary.remove()
        await self._consumers.restart(self._new.name)
        convergence = await self._convergence()
        if not convergence.reached:
            raise Waiting(CONVERGING, f"not changed over yet: {convergence}", POLL)
        patch = {"metadata": {"annotations": {manifests.ANNOTATION_CONVERGED_AT: to_rfc3339(self._visit.now)}}}
        await self._work.kube.patch(SECRETS, self._new.body, patch)

    async def _convergence(self) -> Convergence:
        return await self._consumers.look(self._new.name, self._old.username)

    def _grace_ends(self) -> datetime:
        assert self._new.converged_at, "it is asked for afterwards"  # noqa: S101
        return self._new.converged_at + timedelta(seconds=seconds(self._visit.spec.grace_period))

    async def _grace(self) -> None:
        left = self._grace_ends() - self._visit.now
        if left > timedelta(0) and await self._may_still_log_in():
            await release(self._work)
            message = f"everybody has the new login; {self._old.username} still works for {human(left)}"
            raise Waiting(GRACE, message, min(60.0, left.total_seconds()))

    async def _may_still_log_in(self) -> bool:
        return (await self._work.server()).may_log_in(self._old.username)

    async def _is_retired(self) -> bool:
        return not await self._may_still_log_in()

    async def _retire(self) -> None:
        """The point of no return: nobody may log in as the old login, and its password is one that nobody knows."""
        work = self._work
        convergence = await self._convergence()
        if not convergence.reached:
            await release(work)
            raise Waiting("OldLoginInUse", f"the old login stays until nobody uses it: {convergence}", 15.0)
        if not work.published or work.login == self._old.username:
            raise Stalled("SecretDataDrift", f"somebody else changed Secret {work.secret}: the old login stays")
        async with work.changing() as session:
            await postgres_rotation.close_login(session, self._old.username, secrets.token_urlsafe(PASSWORD_BYTES))

    async def _is_proven(self) -> bool:
        return bool((self._work.status.get("proof") or {}).get("revision") == self._new.number)

    async def _prove(self) -> None:
        """Try the old password: only that very refusal counts, while the new login is let in on the same path."""
        old, new = self._old, self._new
        state = await self._work.answer(old.username, old.password)
        beside = await self._work.answer(new.username, new.password)
        if state != PASSWORD_REFUSED or beside != "":
            raise Waiting("NotProven", report.not_proven(state, beside), 15.0)
        self._work.status["proof"] = {
            "time": to_rfc3339(self._visit.now),
            "revision": new.number,
            "login": old.username,
            "sqlState": state,
            "sessionsLeft": (await self._work.server()).sessions(old.username),
            "by": new.username,
        }


async def publish(work: Work, revision: Revision, name: str, since: datetime) -> None:
    """Give the application's Secret the credentials of a revision, if it is as it was read.

    Raises:
        Waiting: Conflict; SecretMissing.
    """
    if await work.kube.patch(SECRETS, work.live, manifests.publication(revision, work.visit.name, name, since)) is None:
        raise Waiting("SecretMissing", f"Secret {work.secret} is gone", 1.0)
    logger.info(
        "the application's Secret has another login",
        extra={"object": f"secretrotations/{work.visit.namespace}/{work.visit.name}", "revision": name},
    )
