"""Replace: any key of any Secret gets another value, who uses it is restarted, then the application is asked."""

from aada_operator.adapters.http import status_of
from aada_operator.api.component import Component
from aada_operator.api.credential import Verification
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.steps import Step, demand
from aada_operator.rotations.command import VERIFICATION_FAILED, VerifyCommand
from aada_operator.rotations.generator import generate
from aada_operator.rotations.replacement import Replacement
from aada_operator.rotations.report import NOT_RESTARTED
from aada_operator.rotations.work import Work


class Generic(Replacement):
    """A key of a Secret that nobody else has to be told of."""

    strategy = "Replace"

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._command = VerifyCommand(work)

    def steps(self) -> list[Step]:
        return [
            demand("Preflight", self._preflight),
            self.claim_step(),
            self.keep_step(),
            Step("Generate", self.is_generated, self._generate),
            Step("Publish", self.is_published, self.publish_new),
            *([Step("Converge", self.has_converged, self.note_converged)] if self.restarts else []),
            Step("VerifyNew", self._is_verified, self._verify),
        ]

    def way_back(self) -> list[Step]:
        return [
            self.claim_step("ClaimAgain"),
            Step("Return", self.is_returned, self.return_old),
            Step("Reconverge", self._has_reconverged, self.reconverge),
        ]

    async def is_reversible(self) -> bool:
        return True

    def described(self) -> str:
        return f"key {self._work.target.keys[0]} of Secret {self._work.secret} is in use"

    async def _preflight(self) -> None:
        if not self._work.fresh:
            await self.demand_calm()

    async def _generate(self) -> None:
        (key,) = self._work.target.keys
        await self.generate({**self._work.data, key: generate(self._visit.spec.generator)})

    async def _is_verified(self) -> bool:
        proved = (self._work.status.get("proof") or {}).get("revision") == self.new.number
        if self._visit.spec.verify and not proved:
            return False
        await self._command.remove()
        return True

    async def _verify(self) -> None:
        """Ask the application, as its own Service does, or by the command."""
        wanted, work = self._visit.spec.verify, self._work
        assert wanted, "without it the step is done"  # noqa: S101
        component = next((c for c in work.spec.components if c.name == wanted.component), None)
        if component is None:
            raise Stalled("ComponentNotFound", f"verify.component: the AadaLms has no component {wanted.component}")
        if wanted.command:
            await self._command.demand(component.name, wanted.command)
            said = f"command in a pod of {component.name}: exit code 0"
        else:
            said = await self._asked(component, wanted)
        work.status["proof"] = {"time": to_rfc3339(self._visit.now), "revision": self.new.number, "by": said[:63]}

    async def _asked(self, component: Component, wanted: Verification) -> str:
        """How the request was answered, in words."""
        path, status = wanted.path or "/health", wanted.status or 200
        host = f"{self._work.lms_name}-{component.name}.{self._visit.namespace}.svc"
        found = await status_of(f"http://{host}:{component.port}{path}")
        if found != status:
            message = f"GET {path} of {component.name} gave {found or 'no answer'}, not {status}"
            raise Waiting(VERIFICATION_FAILED, message, 5.0)
        return f"GET {path} of {component.name}: {found}"

    async def _has_reconverged(self) -> bool:
        await self._command.remove()
        return self._work.revision <= self.new.number or (await self.convergence()).reached


class ReplaceOnly(Generic):
    """The same for consumers that read a file, or ask for the value themselves: no pod is restarted."""

    strategy = "ReplaceOnly"
    restarts = False

    def described(self) -> str:
        told = f"key {self._work.target.keys[0]} of Secret {self._work.secret} has a value that {NOT_RESTARTED}"
        return told if self._work.revision else super().described()

    async def _has_reconverged(self) -> bool:
        """Nobody was restarted: there is nobody to wait for."""
        await self._command.remove()
        return True
