"""AlternatingRoles: a second login beside the first, everybody moved to it, the first one retired.

Both logins work until everybody has the new one, so nobody is ever refused. Until the old one is retired each failure
leads back to it; after that there is no way back, and none is needed.
"""

import secrets
from dataclasses import replace

from aada_operator.adapters import postgres_rotation
from aada_operator.adapters.postgres import Login
from aada_operator.core.database import role_mark
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.steps import Step, demand, unless
from aada_operator.rotations import decide
from aada_operator.rotations.canary import Canary
from aada_operator.rotations.credentials import rewritten
from aada_operator.rotations.decide import Convergence
from aada_operator.rotations.login import LoginReplacement
from aada_operator.rotations.replacement import CONVERGING, ROLLING_BACK, SECRET_BYTES
from aada_operator.rotations.server import credentials_of
from aada_operator.rotations.work import Work

# A pooler opens another session for a client that asks something: whoever asks more often than this goes on being seen.
IDLE_SECONDS = 15.0


class Alternating(LoginReplacement):
    """Another role takes the place of the application's login."""

    strategy = "AlternatingRoles"

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._canary = Canary(work)

    def steps(self) -> list[Step]:
        return [
            demand("Preflight", self._preflight),
            self.claim_step(),
            self.keep_step(),
            Step("Generate", self.is_generated, self._generate),
            unless(self._is_published, Step("HandOver", self._is_handed_over, self._hand_over)),
            unless(self._is_published, Step("ApplyToDatabase", self._is_applied, self._apply)),
            unless(self._is_published, demand("VerifyNew", self._verify)),
            unless(self._is_published, Step("ProposeToStore", self._store.is_proposed, self._store.propose)),
            unless(self._is_published, Step("Canary", self._canary.is_ready, self._canary.act)),
            Step("Publish", self._is_published, self._publish),
            unless(self.has_converged, Step("PromoteInStore", self._store.is_promoted, self._store.promote)),
            Step("Converge", self.has_converged, self._converge),
            demand("Grace", self._grace),
            Step("RetireOld", self._is_retired, self._retire),
            Step("ProveOld", self._is_proven, self._prove),
        ]

    def way_back(self) -> list[Step]:
        return [
            self.claim_step("ClaimAgain"),
            Step("Return", self._is_returned, self._return),
            Step("Reconverge", self._has_reconverged, self._reconverge),
            Step("RestoreInStore", self._store.is_restored, self._store.restore),
            Step("RetireNew", self._is_withdrawn, self._withdraw),
        ]

    async def is_reversible(self) -> bool:
        return (await self._server.look()).may_log_in(self._old)

    async def convergence(self) -> Convergence:
        """Pods, workloads, and sessions of the login that is not in the Secret; a leaked one's are not waited for."""
        found = await super().convergence()
        if self.emergency:
            return found
        other = self._old if self._published else self._new
        return replace(found, login=other, sessions=(await self._server.look()).sessions(other))

    async def _preflight(self) -> None:
        """Refuse what cannot end well before anything is touched."""
        work, names = self._work, self._server.names
        if work.fresh:
            return
        await self.demand_calm()
        rewritten(work.data, names.next_login, "a password to be made")
        server, login = await self._server.look(), work.data["username"]
        decide.demand_server(server, names, login)
        if not decide.is_handed_over(server, names, login):
            decide.demand_backup(work.lms)
            if not self.emergency:
                work.timing.demand_open("what the login owns is given to an owner role in a maintenance window only")
        await self._demand_that_passwords_count(login)
        await self._pooler.demand_ready(Login(login, work.data["password"], f"Secret {work.secret}"))
        await self._store.demand()

    async def _generate(self) -> None:
        """The new login, in the cluster before the server knows it."""
        password = secrets.token_urlsafe(SECRET_BYTES)
        await self.generate(rewritten(self._work.data, self._server.names.next_login, password))

    async def _is_handed_over(self) -> bool:
        return decide.is_handed_over(await self._server.look(), self._server.names, self._old)

    async def _hand_over(self) -> None:
        """Give what the login owns to the owner role: the first time, or when somebody made things as the login."""
        names = self._server.names
        decide.demand_backup(self._work.lms)
        if not (self.emergency or self._work.timing.is_open()):
            raise Stalled("WindowClosed", "the maintenance window closed before owners were changed: nothing was")
        async with self._server.changing() as session:
            await postgres_rotation.hand_over(session, names, self._old, self._mark)
        if not await self._is_handed_over():
            message = f"role {self._old} still owns something that {names.owner} cannot be given"
            raise Stalled("LoginNotReplaceable", f"{message}: drop it, or make it anew as that role")

    @property
    def _mark(self) -> str:
        return role_mark(self._work.lms["metadata"]["uid"])

    async def _is_applied(self) -> bool:
        """Whether the new login works."""
        if not (await self._server.look()).may_log_in(self._new):
            return False
        return await self._server.answer(self._new, self.new.data["password"]) == ""

    async def _apply(self) -> None:
        self.demand_undisturbed()
        names, login = self._server.names, credentials_of(self.new)
        decide.demand_server(await self._server.look(), names, self._old)
        async with self._server.changing() as session:
            await postgres_rotation.open_login(session, names, self._old, login, self._mark)
        if (answer := await self._server.answer(login.username, login.password)) != "":
            message = f"the server answers the new login {login.username} with {answer or 'nothing'}"
            raise Waiting("NewLoginRefused", f"{message}: pg_hba.conf and connection limits must let it in", 5.0)

    async def _verify(self) -> None:
        """Log in as the application will, and do what it does."""
        owner = self._server.names.owner
        async with self._server.session_of(self.new) as session:
            login, acts_as, tls = await postgres_rotation.try_out(session, f"lms_probe_{secrets.token_hex(8)}")
        if (login, acts_as) != (self._new, owner):
            raise Stalled("NewLoginWrong", f"a session of {login} acts as {acts_as}, not as {owner}")
        if not tls and self._server.database.ssl_mode != "disable":
            raise Stalled("NewLoginWrong", f"a session of {login} is not encrypted, which sslMode demands")
        await self._pooler.demand_let_in(credentials_of(self.new))

    async def _converge(self) -> None:
        """Wait until all pods have the new login and nobody is left in a session of the old one."""
        await self._canary.remove()
        await self._end_pooled_sessions()
        await self.note_converged()

    async def _end_pooled_sessions(self) -> None:
        """Once no known pod has the other login any more, sessions of it that nobody uses are the pooler's own."""
        if self._work.spec.database.pooler and (left := await self.convergence()).sessions_only:
            await self._server.end_idle_sessions(left.login, IDLE_SECONDS)

    async def _grace(self) -> None:
        if await self.is_reversible():
            await self.wait_for(self.grace_ends(), f"everybody has the new login; {self._old} still works")

    async def _is_retired(self) -> bool:
        return not await self.is_reversible()

    async def _retire(self) -> None:
        """The point of no return: nobody may log in as the old login, and its password is one that nobody knows."""
        convergence = await self.convergence()
        if not convergence.reached:
            # A rollout of a consumer that somebody undid in the grace period would never be done again by itself.
            await self.restart_consumers()
            await self.release()
            raise Waiting("OldLoginInUse", f"the old login stays until nobody uses it: {convergence}", 15.0)
        if not self._published or self._work.data["username"] == self._old:
            raise Stalled("SecretDataDrift", f"somebody else changed Secret {self._work.secret}: the old login stays")
        await self._close(self._old)

    async def _close(self, login: str) -> None:
        async with self._server.changing() as session:
            await postgres_rotation.close_login(session, login, secrets.token_urlsafe(SECRET_BYTES))

    async def _prove(self) -> None:
        """Nobody is left in a session of the old login, and its password is refused."""
        if left := (await self._server.look()).sessions(self._old):
            await self._close(self._old)
            raise Waiting(CONVERGING, f"{left} sessions of the old login {self._old} are being ended", 2.0)
        await super()._prove()

    async def _has_reconverged(self) -> bool:
        await self._canary.remove()
        return self._work.revision <= self.new.number or (await self.convergence()).reached

    async def _reconverge(self) -> None:
        await self._end_pooled_sessions()
        await self.reconverge()

    async def _is_withdrawn(self) -> bool:
        """Whether the new login is closed, or somebody else gave it to the application: then it is not ours."""
        given = self._work.data["username"] == self._new
        return given or not (await self._server.look()).may_log_in(self._new)

    async def _withdraw(self) -> None:
        if runs := await self.earlier_runs():
            message = f"{self._new} still works until these pods of Jobs have ended: {', '.join(runs[:3])}"
            raise Waiting(ROLLING_BACK, message, 15.0)
        await self._close(self._new)
