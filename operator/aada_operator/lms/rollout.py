"""How far the components' rollouts are, from their Deployments and pods."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aada_operator.api.component import Component
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.core.clock import from_rfc3339
from aada_operator.core.resources import Object, leaves
from aada_operator.core.trouble import Trouble, of_pod
from aada_operator.lms import pod
from aada_operator.lms.decide import Verdict

PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
NOT_READY = "NotReady"
# A pod of a finished rollout that is not ready for so long will not become so by itself.
PATIENCE = timedelta(minutes=2)


@dataclass(frozen=True)
class Rollout:
    """One component: ``ready`` counts pods of the newest revision, ``available`` all that serve."""

    name: str
    image: str
    wanted_image: str
    desired: int
    ready: int = 0
    available: int = 0
    complete: bool = False
    settled: bool = False
    trouble: Trouble | None = None
    drift: tuple[str, ...] = ()

    @property
    def serving(self) -> bool:
        return self.available >= self.desired

    @property
    def done(self) -> bool:
        """Rolled out completely, with the image that is wanted."""
        return self.complete and self.image == self.wanted_image


def of_component(
    spec: AadaLmsSpec,
    component: Component,
    live: Object | None,
    pods: Sequence[Object],
    now: datetime,
    drift: tuple[str, ...] = (),
) -> Rollout:
    """The rollout of a component; ``pods`` are all of the LMS, looked at only where something is missing."""
    wanted = pod.image_of(spec, component)
    if live is None:
        return Rollout(component.name, "", wanted, component.replicas)
    status, desired = live.get("status") or {}, int(live["spec"].get("replicas", 1))
    total, updated = int(status.get("replicas", 0)), int(status.get("updatedReplicas", 0))
    seen = int(status.get("observedGeneration", 0)) >= int(live["metadata"].get("generation", 0))
    # A pod serves as soon as it is ready; it is available later, where a rollout is paced.
    available = int(status.get("readyReplicas", 0))
    complete = seen and updated == total == desired == available
    settled = seen and _progressing(live).get("reason") == "NewReplicaSetAvailable"
    return Rollout(
        name=component.name,
        image=_image(live, component),
        wanted_image=wanted,
        desired=desired,
        # Old pods leave only when new ones are ready, so whatever is not ready is counted as new.
        ready=max(0, updated - (total - int(status.get("readyReplicas", 0)))),
        available=available,
        complete=complete,
        settled=settled,
        trouble=None if complete else _trouble(live, component, pods, now if settled else None),
        drift=drift,
    )


def _image(live: Object, component: Component) -> str:
    containers = live["spec"]["template"]["spec"]["containers"]
    return next((str(c.get("image", "")) for c in containers if c["name"] == component.name), "")


def _progressing(live: Object) -> Object:
    conditions = (live.get("status") or {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == "Progressing"), {})


def _trouble(live: Object, component: Component, pods: Sequence[Object], settled: datetime | None) -> Trouble | None:
    """What is wrong; ``settled`` is the present moment of a rollout that had come to its end, None for any other."""
    own = [p for p in pods if _belongs(p, live)]
    if found := next((trouble for p in own if (trouble := of_pod(p))), None):
        return found
    http = component.probes.readiness.http
    asked = f"GET {http.path} on port {component.port}" if http else f"a connection to port {component.port}"
    if _progressing(live).get("reason") == PROGRESS_DEADLINE_EXCEEDED:
        message = f"the new pods run and do not become ready: {asked} is not answered as it should be"
        return Trouble(PROGRESS_DEADLINE_EXCEEDED, message)
    if settled and any(settled - since > PATIENCE for p in own if (since := _unready_since(p))):
        return Trouble(NOT_READY, f"a pod runs and is not ready any more: {asked} is not answered as it should be")
    return None


def _unready_since(one: Object) -> datetime | None:
    for condition in (one.get("status") or {}).get("conditions", []):
        if condition["type"] == "Ready" and condition["status"] == "False":
            return from_rfc3339(condition["lastTransitionTime"])
    return None


def _belongs(one: Object, live: Object) -> bool:
    labels = one["metadata"].get("labels") or {}
    selector = live["spec"]["selector"]["matchLabels"]
    return not leaves(one) and all(labels.get(name) == value for name, value in selector.items())


def healthy(rollouts: Sequence[Rollout], blocked: Sequence[str], waiting: str) -> Verdict:
    """RolloutHealthy: False names the component in trouble; a rollout on its way is no trouble.

    ``blocked`` are components that were left alone because of a Secret, ``waiting`` says what the rollout waits for.
    """
    ill = [r for r in rollouts if r.trouble]
    drifted = [f"{r.name}: {', '.join(r.drift)}" for r in rollouts if r.drift]
    if ill and ill[0].trouble:
        return Verdict(
            "False", ill[0].trouble.reason, "; ".join(f"{r.name}: {r.trouble.message}" for r in ill if r.trouble)
        )
    if drifted:
        return Verdict("True", "DriftReverted", f"changed by somebody else and changed back: {'; '.join(drifted)}")
    unfinished = [r for r in rollouts if not r.done]
    if unfinished and waiting:
        return Verdict("Unknown", waiting, "components are rolled out once the schema is current for their images")
    if blocked:
        return Verdict("Unknown", "SecretMissing", f"left as they are for want of a Secret: {', '.join(blocked)}")
    if not unfinished:
        return Verdict("True", "RolledOut", "all pods run as wanted")
    counted = ", ".join(f"{r.name} {r.ready}/{r.desired}" for r in unfinished)
    return Verdict("True", "Progressing", f"rolling out {counted}")


def component_status(rollout: Rollout) -> dict[str, object]:
    """An entry of ``status.components``."""
    return {
        "name": rollout.name,
        "image": rollout.image,
        "desired": rollout.desired,
        "ready": min(rollout.ready, rollout.desired),
    }
