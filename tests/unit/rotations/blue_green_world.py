"""The world of test rotations with Deployments, and a Service that sends users to the pods that the AadaLms says."""

from __future__ import annotations

from typing import Any

from aada_operator.api.common import LABEL_COMPONENT, LABEL_LMS, LABEL_OWNER
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.core.resources import DEPLOYMENTS, PODS, SECRETS, SERVICES, Object
from aada_operator.lms import manifests
from aada_operator.lms.workloads import stood_in
from aada_operator.rotations.manifests import LABEL_ROTATION, values
from tests.unit.rotations.world import LMS, MARK, ROTATION, SECRET, World

BLUE, GREEN = "aada-backend", f"{ROTATION}-green-backend"
ONE_KEY: Object = LMS | {"secrets": LMS["secrets"][:1]}


class BlueGreenWorld(World):
    """``sick`` green pods are never ready. A blue pod that was replaced is ready a turn later; the AadaLms is slow."""

    def __init__(self, lms: Object | None = None, **spec: Any) -> None:
        self.sick, self.unready, self._turns = False, "", 0
        super().__init__(**{"type": "JwtSigningKey", "strategy": "BlueGreen"} | spec)
        connections = {"workers": 1, "poolSize": 5, "maxOverflow": 0}
        components = [LMS["components"][0] | {"connections": connections}]
        self.lms["spec"] = (lms or ONE_KEY) | {"components": components}
        self.lms["status"]["database"] = {"maxConnections": 100, "reservedConnections": 3}
        self.follow()

    def run_pods(self) -> None:
        """Blue pods are replaced one by one, each when the one before is ready; green ones start all at once."""
        before = {name: self._revision(name) for name in self.pods}
        if self.unready:
            self.unready = ""
        else:
            super().run_pods()
            self.unready = next((name for name, was in before.items() if self._revision(name) != was), "")
        for name in ("backend-1", "backend-2"):
            self._set_ready(name, name != self.unready)
        self._tell_of_blue()
        self._run_green()

    async def turn(self) -> None:
        self._turns += 1
        if self._turns % 3 == 0:
            self.follow()
        await super().turn()

    def follow(self) -> None:
        """The AadaLms: its Service, and the budget for drains of nodes."""
        spec = AadaLmsSpec.model_validate(self.lms["spec"])
        green = [self.server.read(DEPLOYMENTS, name) for name in self.server.names(DEPLOYMENTS)]
        elsewhere = "backend" in stood_in(spec, green)
        service = manifests.service(self.lms, spec.api_component(), stood_in=elsewhere)
        if BLUE in self.server.names(SERVICES):
            self.server.read(SERVICES, BLUE)["spec"] = service["spec"]
        else:
            self.server.add(SERVICES, service)

    def serving(self) -> list[str]:
        """The pods to which users are sent now."""
        selector = self.server.read(SERVICES, BLUE)["spec"]["selector"].items()
        bodies = [self.server.read(PODS, name) for name in self.server.names(PODS)]
        found = [b["metadata"]["name"] for b in bodies if selector <= b["metadata"]["labels"].items()]
        return [name for name in found if self._is_ready(name)]

    def keys_met(self) -> set[str]:
        """The keys of the pods to which users are sent now."""
        return {self.pods[name]["jwt"] for name in self.serving()}

    def _revision(self, name: str) -> str:
        annotations = self.server.read(PODS, name)["metadata"].get("annotations") or {}
        return str(annotations.get(MARK, ""))

    def _set_ready(self, name: str, ready: bool) -> None:
        self.server.read(PODS, name)["status"]["conditions"] = [{"type": "Ready", "status": str(ready)}]

    def _is_ready(self, name: str) -> bool:
        conditions = self.server.read(PODS, name)["status"]["conditions"]
        return bool(conditions[0]["status"] == "True")

    def _tell_of_blue(self) -> None:
        """The Deployment of the pods, whose status says how far they are."""
        if BLUE not in self.server.names(DEPLOYMENTS):
            self.server.add(DEPLOYMENTS, blue(self.server.read(PODS, "backend-1")["spec"]))
        live = self.server.read(DEPLOYMENTS, BLUE)
        wanted = (self.server.read(SECRETS, SECRET)["metadata"].get("annotations") or {}).get(MARK, "")
        live["spec"]["template"]["metadata"]["annotations"] = {MARK: wanted} if wanted else {}
        updated = [name for name in ("backend-1", "backend-2") if self._revision(name) == wanted]
        ready = 2 - bool(self.unready)
        live["status"] = {
            "observedGeneration": 1,
            "replicas": 2,
            "updatedReplicas": len(updated),
            "readyReplicas": ready,
        }

    def _run_green(self) -> None:
        wanted = [n for n in self.server.names(DEPLOYMENTS) if n != BLUE]
        for name in [one for one in self.pods if not one.startswith("backend-")]:
            if name.rpartition("-")[0] not in wanted:
                del self.pods[name]
                self.server.remove(PODS, name)
        for deployment in wanted:
            self._start(self.server.read(DEPLOYMENTS, deployment))

    def _start(self, deployment: Object) -> None:
        template, count = deployment["spec"]["template"], deployment["spec"]["replicas"]
        source = template["spec"]["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["name"]
        for number in range(count):
            name = f"{deployment['metadata']['name']}-{number}"
            known = name in self.pods
            body = {"metadata": {"name": name, **template["metadata"]}, "spec": template["spec"]}
            if not known:
                self.server.add(PODS, body | {"status": {"phase": "Running"}})
                self.pods[name] = values(self.server.read(SECRETS, source))
            self._set_ready(name, known and not self.sick)
        ready = 0 if self.sick else sum(self._is_ready(f"{deployment['metadata']['name']}-{n}") for n in range(count))
        counts = {"replicas": count, "updatedReplicas": count, "readyReplicas": ready}
        deployment["status"] = {"observedGeneration": deployment["metadata"]["generation"]} | counts


def blue(pod_spec: Object) -> Object:
    """The Deployment that the AadaLms has made."""
    labels = {LABEL_LMS: "aada", LABEL_COMPONENT: "backend", LABEL_OWNER: "aadalms"}
    template = {"metadata": {"labels": dict(labels)}, "spec": pod_spec}
    spec = {"replicas": 2, "selector": {"matchLabels": dict(labels)}, "template": template}
    return {"metadata": {"name": BLUE, "labels": labels}, "spec": spec}


def green_deployments(world: BlueGreenWorld) -> list[str]:
    """Names of the Deployments of the rotation."""
    found = [world.server.read(DEPLOYMENTS, name) for name in world.server.names(DEPLOYMENTS)]
    return [one["metadata"]["name"] for one in found if LABEL_ROTATION in one["metadata"]["labels"]]
