"""ThreePhase: the key that signs tokens. All learn to verify the new one, to sign with it, and to forget the old one.

At every moment each token is accepted by every pod, whichever pod signed it: so nobody is logged out.
"""

from datetime import timedelta

from aada_operator.api.common import seconds
from aada_operator.core.steps import Step, demand
from aada_operator.rotations import manifests
from aada_operator.rotations.signing_key import SigningKey

# Clocks of pods differ by less than this.
SKEW = timedelta(minutes=1)
# Where the Secret is: both keys as before, the new one verifies, it signs, the old one is forgotten.
BEFORE, DISTRIBUTED, SWITCHED, RETIRED = range(4)


class ThreePhase(SigningKey):
    """The application accepts several keys at once; in an emergency the first publication is the last one."""

    strategy = "ThreePhase"

    def steps(self) -> list[Step]:
        begin = [
            demand("Preflight", self._preflight),
            self.claim_step(),
            self.keep_step(),
            Step("Generate", self.is_generated, self.generate_key),
        ]
        converge = Step("Converge", self.has_converged, self.note_converged)
        if self.emergency:
            return [*begin, self._reached("Publish", RETIRED), converge, *self.last_steps()]
        return [
            *begin,
            self._reached("Distribute", DISTRIBUTED),
            Step("ConvergeVerifiers", self._all_verify, self._converge_verifiers),
            self._reached("Switch", SWITCHED),
            converge,
            demand("Grace", self._grace),
            self._reached("RetireOld", RETIRED),
            *self.last_steps(),
        ]

    def way_back(self) -> list[Step]:
        return [
            self.claim_step("ClaimAgain"),
            Step("SignOld", self._signs_old, self._sign_old),
            Step("ReconvergeSigners", self._old_signs_everywhere, self._reconverge_signers),
            demand("GraceBack", self._grace_back),
            Step("Return", self._is_returned, self._return),
            Step("Reconverge", self._has_reconverged, self.reconverge),
        ]

    async def is_reversible(self) -> bool:
        return self._phase < RETIRED

    # --- forth -------------------------------------------------------------------------------------------------------

    def _data(self, phase: int) -> dict[str, str]:
        """The two keys in a phase; others may be of other rotations."""
        old, new = self.old.data, self.new.data[self._signing]
        (accepted,) = self._accepted
        further = [key for key in old[accepted].split(",") if key.strip()]
        keys = {
            BEFORE: (old[self._signing], old[accepted]),
            DISTRIBUTED: (old[self._signing], ",".join([new, *further])),
            SWITCHED: (new, ",".join([old[self._signing], *further])),
        }
        return self.only(new) if phase == RETIRED else dict(zip(self._work.target.keys, keys[phase], strict=True))

    @property
    def _phase(self) -> int:
        """The phase that the Secret is in; one that somebody else changed is in the first."""
        if not (self._work.kept and self._work.fresh):
            return BEFORE
        return next((p for p in (RETIRED, SWITCHED, DISTRIBUTED) if self._work.has(self._data(p))), BEFORE)

    def _reached(self, name: str, phase: int) -> Step:
        """A step that publishes a phase."""

        async def done() -> bool:
            return self._phase >= phase

        async def act() -> None:
            if self._phase == BEFORE:
                self.demand_undisturbed()
            await self.publish(self._data(phase), self.new.number + phase - DISTRIBUTED)

        return Step(name, done, act)

    async def _preflight(self) -> None:
        if not self._work.fresh:
            await self.preflight()

    async def _all_verify(self) -> bool:
        return self._phase > DISTRIBUTED or (await self.convergence()).reached

    async def _converge_verifiers(self) -> None:
        await self.demand_converged("Converging", "not everybody verifies the new key yet")

    async def _grace(self) -> None:
        if self._phase < RETIRED:
            end = self.grace_ends() + SKEW
            await self.wait_for(end, "the new key signs; tokens of the old one are accepted")

    # --- back --------------------------------------------------------------------------------------------------------

    @property
    def _was_switched(self) -> bool:
        return self._work.revision > self.new.number

    async def _signs_old(self) -> bool:
        return self._phase != SWITCHED

    async def _sign_old(self) -> None:
        await self.publish(self._data(DISTRIBUTED), self.new.number + 3)

    async def _old_signs_everywhere(self) -> bool:
        return not (self._phase == DISTRIBUTED and self._was_switched) or self.new.unsigned_at is not None

    async def _reconverge_signers(self) -> None:
        await self.reconverge()
        await self.note(manifests.ANNOTATION_UNSIGNED_AT)

    async def _grace_back(self) -> None:
        """Tokens that the new key has signed are accepted until they end."""
        if self._phase == DISTRIBUTED and (since := self.new.unsigned_at):
            end = since + timedelta(seconds=seconds(self._visit.spec.grace_period)) + SKEW
            await self.wait_for(end, "the old key signs again; tokens of the new one are accepted")

    async def _is_returned(self) -> bool:
        return self._phase == BEFORE

    async def _return(self) -> None:
        await self.publish(self._data(BEFORE), self.new.number + 4, self.old.made_at)

    async def _has_reconverged(self) -> bool:
        return self._work.revision < self.new.number or (await self.convergence()).reached
