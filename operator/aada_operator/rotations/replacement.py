"""What all strategies have in common: two Secrets while a rotation is under way, claims, publications, convergence."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from aada_operator.adapters import interlock
from aada_operator.api.rotation import ANNOTATION_ROTATE_AT
from aada_operator.core.clock import human, to_rfc3339
from aada_operator.core.controller import FINALIZER, is_held
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.interlock import Claim, Operation
from aada_operator.core.resources import SECRET_ROTATIONS, SECRETS, Object
from aada_operator.core.steps import Step, demand
from aada_operator.rotations import decide, manifests
from aada_operator.rotations.consumers import Consumers
from aada_operator.rotations.decide import Convergence
from aada_operator.rotations.manifests import Revision
from aada_operator.rotations.publication import publication, quiet
from aada_operator.rotations.runs import PATIENCE, Publication
from aada_operator.rotations.work import Work

logger = logging.getLogger(__name__)
# 43 URL-safe characters hold 256 bits: nothing in them needs to be quoted anywhere.
SECRET_BYTES = 32
POLL = 2.0
CONVERGING, GRACE, ROLLING_BACK = "Converging", "Grace", "RollingBack"


class Replacement:
    """One visit's steps of a strategy; subclasses say what is made, and in which order it is published."""

    strategy = ""
    # Whether pods are started anew with what is published.
    restarts = True

    def __init__(self, work: Work) -> None:
        self._work = work
        self._visit = work.visit
        self._consumers = Consumers(work)

    # --- what a strategy says ----------------------------------------------------------------------------------------

    def steps(self) -> list[Step]:
        """From the first look to the proof."""
        raise NotImplementedError

    def way_back(self) -> list[Step]:
        """From anywhere before the old credential is retired to where it was."""
        raise NotImplementedError

    async def is_reversible(self) -> bool:
        """Whether the old credential can still be gone back to."""
        raise NotImplementedError

    def described(self) -> str:
        """What the application uses, for people."""
        raise NotImplementedError

    async def look_around(self) -> None:
        """What is looked at while nothing is under way."""

    # --- what they share ---------------------------------------------------------------------------------------------

    @property
    def emergency(self) -> bool:
        """Whether the credential has leaked, and the rotation was asked for: it leaves out the overlap."""
        since = self._work.kept.made_at if self._work.kept else self._work.since
        asked = self._visit.annotations.get(ANNOTATION_ROTATE_AT, "")
        return self._visit.spec.emergency and decide.is_asked(asked, to_rfc3339(since), self._visit.now)

    @property
    def old(self) -> Revision:
        """What the Secret held before."""
        assert self._work.kept, "the steps before have made it"  # noqa: S101
        return self._work.kept

    @property
    def new(self) -> Revision:
        """What it will hold."""
        assert self._work.fresh, "the steps before have made it"  # noqa: S101
        return self._work.fresh

    def claim_step(self, name: str = "Claim") -> Step:
        """Nobody migrates or cuts over from now on; while it only waits, others may."""

        async def claimed() -> None:
            if not await self._only_waits():
                wanted = Claim.of(self._visit.body, Operation.ROTATION, self._visit.now)
                await interlock.claim(self._work.kube, self._visit.namespace, self._work.lms_name, wanted)

        return demand(name, claimed)

    async def release(self) -> None:
        """Whoever waits may go on."""
        await interlock.release(self._work.kube, self._visit.namespace, self._work.lms_name, self._visit.uid)

    async def _only_waits(self) -> bool:
        fresh, kept = self._work.fresh, self._work.kept
        if not (fresh and kept and fresh.converged_at) or fresh.rolled_back:
            return False
        if self._visit.now < self.grace_ends() or await self.earlier_runs():
            return True
        return not (await self.convergence()).reached

    async def demand_calm(self) -> None:
        """Make sure that a failure would be the rotation's, and that nobody would undo it.

        Raises:
            Stalled: AnotherRotation, SecretManagedElsewhere, ConsumerUnrelated.
            Waiting: LmsSuspended, LmsNotReady, ConsumerNotFound.
        """
        work = self._work
        decide.demand_only_one(self._visit.body, await work.kube.list(SECRET_ROTATIONS, self._visit.namespace))
        decide.demand_calm(work.lms, work.spec)
        decide.demand_unmanaged(work.live)
        await self._consumers.demand()

    def keep_step(self) -> Step:
        """A copy of the Secret as it is; from now on the rotation cannot be deleted half-way."""

        async def kept() -> bool:
            return self._work.kept is not None

        return Step("Keep", kept, self._keep)

    async def _keep(self) -> None:
        work = self._work
        if work.fresh and (work.revision >= work.fresh.number or work.has(work.fresh.data)):
            message = f"the Secret with what was there before revision {self.new.number} is gone: retire it by hand"
            raise Stalled("RevisionMissing", f"{message}, then delete Secret {self.new.name}")
        if not is_held(self._visit.body):
            await work.kube.set_finalizer(SECRET_ROTATIONS, self._visit.body, FINALIZER, present=True)
        await self._create(manifests.kept(self._visit.body, work.lms_name, work.live, work.revision))

    async def generate(self, data: Mapping[str, str]) -> None:
        """The new content, in the cluster before anybody knows it."""
        work = self._work
        if work.live.get("data") != self.old.body["data"]:
            await work.kube.delete(SECRETS, self.old.body)
            raise Waiting("SecretChanged", f"Secret {work.secret} was changed a moment ago: looked at again", 1.0)
        number = max(work.revision, int(work.status.get("revision", 0)), self.old.number) + 1
        about = (self.old.number, self._visit.now, self.strategy)
        await self._create(manifests.fresh(self._visit.body, work.lms_name, number, data, *about))

    async def is_generated(self) -> bool:
        return self._work.fresh is not None

    async def _create(self, secret: Object) -> None:
        if await self._work.kube.create(SECRETS, secret) is None:
            message = f"Secret {secret['metadata']['name']} exists and is not of this SecretRotation: delete it"
            raise Waiting("NameTaken", message, 15.0)

    def demand_undisturbed(self) -> None:
        """Make sure that the Secret is still as it was kept.

        Raises:
            Stalled: SecretDataDrift.
        """
        if self._work.live.get("data") != self.old.body["data"]:
            message = f"somebody else changed Secret {self._work.secret} during the rotation: it is left as it is"
            raise Stalled("SecretDataDrift", message)

    async def publish(self, data: Mapping[str, str], number: int, since: datetime | None = None) -> None:
        """Give the Secret other values under the name of a revision, if it is as it was read.

        Raises:
            Waiting: Conflict; SecretMissing.
        """
        work, name = self._work, manifests.revision_id(self._visit.name, number)
        patch = publication(data, self._visit.name, name, since or self._visit.now, self._visit.now)
        if not self.restarts:
            patch = quiet(patch, work.live, self._visit.name)
        if await work.kube.patch(SECRETS, work.live, patch) is None:
            raise Waiting("SecretMissing", f"Secret {work.secret} is gone", 1.0)
        detail = {"object": f"secretrotations/{self._visit.namespace}/{self._visit.name}", "revision": name}
        logger.info("the Secret has another revision", extra=detail)

    def own(self, revision: Revision) -> dict[str, str]:
        """The keys that are replaced: others of the Secret may be of other rotations."""
        return {key: revision.data[key] for key in self._work.target.keys}

    async def is_published(self) -> bool:
        """Whether the Secret has the new values of these keys."""
        return self._work.has(self.new.data)

    async def publish_new(self) -> None:
        """The Secret gets the new values; who uses it is restarted one by one."""
        self.demand_undisturbed()
        await self.publish(self.own(self.new), self.new.number)

    async def is_returned(self) -> bool:
        """Whether it has not, or not any more."""
        return not await self.is_published()

    async def return_old(self) -> None:
        """The old values under a new revision: a pod that got the others in between must not pass for one of these."""
        await self.publish(self.own(self.old), self.new.number + 1, self.old.made_at)

    async def convergence(self) -> Convergence:
        """Who has not come to the revision in the Secret yet."""
        return await self._consumers.look(self._work.live_revision)

    async def earlier_runs(self) -> tuple[str, ...]:
        """Pods of Jobs that may have the value that is not in the Secret; one that has leaked is not waited for."""
        if self.emergency:
            return ()
        work, back = self._work, self.new.rolled_back is not None
        replaced = self.new.made_at if back else None
        now = Publication(work.secret, work.mark, work.live_revision, work.published_at, replaced)
        return await self._consumers.earlier_runs(now)

    async def restart_consumers(self) -> None:
        """Have those that have not come to the revision in the Secret start their pods anew."""
        await self._consumers.restart(self._work.live_revision)

    async def demand_converged(self, reason: str, words: str) -> None:
        """Restart who has not come to it, and wait for them.

        Raises:
            Waiting: with the reason.
        """
        await self.restart_consumers()
        convergence = await self.convergence()
        if not convergence.reached:
            raise Waiting(reason, f"{words}: {convergence}", POLL)

    async def reconverge(self) -> None:
        """On the way back: as `demand_converged`."""
        await self.demand_converged(ROLLING_BACK, "not back yet")

    async def has_converged(self) -> bool:
        return self.new.converged_at is not None

    async def note_converged(self, words: str = "not changed over yet") -> None:
        """From now on the grace period runs."""
        await self.demand_converged(CONVERGING, words)
        await self.note(manifests.ANNOTATION_CONVERGED_AT)

    async def note(self, annotation: str, value: str = "") -> None:
        """Write something on the Secret with the new content; the time, when nothing else is given."""
        patch = {"metadata": {"annotations": {annotation: value or to_rfc3339(self._visit.now)}}}
        await self._work.kube.patch(SECRETS, self.new.body, patch)

    def grace_ends(self) -> datetime:
        """Until when the old credential works."""
        assert self.new.converged_at, "it is asked for afterwards"  # noqa: S101
        return self.new.converged_at + (timedelta(0) if self.emergency else self._visit.spec.overlap)

    async def wait_for(self, end: datetime, words: str) -> None:
        """Let others work until then, and until runs of Jobs from before have ended.

        Raises:
            Waiting: Grace; JobsHang, long after that.
        """
        left = end - self._visit.now
        if left > timedelta(0):
            await self.release()
            raise Waiting(GRACE, f"{words} for {human(left)}", min(60.0, left.total_seconds()))
        if runs := await self.earlier_runs():
            await self.release()
            reason = GRACE if -left < PATIENCE else "JobsHang"
            raise Waiting(reason, f"{words} until these pods of Jobs have ended: {', '.join(runs[:3])}", 15.0)
