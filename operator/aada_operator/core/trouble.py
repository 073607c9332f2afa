"""Why a pod does not serve, from its status alone: a container's log or message may hold anything and is not read."""

from collections.abc import Iterator
from dataclasses import dataclass

from aada_operator.core.resources import Object

IMAGE_PULL_FAILED = "ImagePullFailed"
CONTAINER_CONFIG_ERROR = "ContainerConfigError"
CRASH_LOOP = "CrashLoop"
UNSCHEDULABLE = "Unschedulable"

_PULLING = {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"}
_IMAGE = _PULLING | {"InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "SignatureValidationFailed"}
# The kubelet tries again every few seconds, and says so too of a Secret that it cannot read at the moment.
_READING = "CreateContainerConfigError"
_CONFIG = {_READING, "CreateContainerError", "RunContainerError"}
# One restart may be chance; a pod that is not ready after two will hardly come up.
_RESTARTS = 2


@dataclass(frozen=True)
class Trouble:
    """A reason for a condition and a message that stays the same while the cause does.

    ``passes``: it may go by itself, as a node comes, other pods go, or a registry or the API server answers again.
    """

    reason: str
    message: str
    passes: bool = False


def of_pod(pod: Object) -> Trouble | None:
    """What keeps a pod from starting or staying up; None when nothing does."""
    for status in _containers(pod):
        if found := _of_container(status):
            return found
    for condition in (pod.get("status") or {}).get("conditions", []):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            fix = "free resources, or correct requests, node selectors and claims (kubectl describe pod says which)"
            return Trouble(UNSCHEDULABLE, f"no node can take the pod: {fix}", passes=True)
    return None


def _of_container(status: Object) -> Trouble | None:
    name, image = status["name"], status.get("image", "")
    waiting = str(((status.get("state") or {}).get("waiting") or {}).get("reason", ""))
    if waiting in _IMAGE:
        detail = "" if waiting in _PULLING else f" ({waiting})"
        fix = "correct the image, or give the nodes access to it"
        message = f"image {image} of container {name} cannot be had{detail}: {fix}"
        return Trouble(IMAGE_PULL_FAILED, message, passes=waiting in _PULLING)
    if waiting in _CONFIG:
        fix = "a Secret, ConfigMap or key is missing, the command does not exist, or the image runs as root"
        message = f"container {name} cannot start ({waiting}): {fix}"
        return Trouble(CONTAINER_CONFIG_ERROR, message, passes=waiting == _READING)
    restarting = int(status.get("restartCount", 0)) >= _RESTARTS and not status.get("ready")
    if waiting == "CrashLoopBackOff" or restarting:
        fix = "its log says why (kubectl logs --previous)"
        return Trouble(CRASH_LOOP, f"container {name} ends again and again ({exit_of(status)}): {fix}")
    return None


def exit_of(status: Object) -> str:
    """How a container last ended, as ``Error, exit code 3``; a signal shows as 128 and its number."""
    for state in (status.get("state") or {}, status.get("lastState") or {}):
        if ended := state.get("terminated"):
            return f"{ended.get('reason', 'Error')}, exit code {ended.get('exitCode', 'unknown')}"
    return "exit code unknown"


def failure_of(pod: Object) -> str:
    """How the containers of a pod that failed ended; empty when none did."""
    ended = [s for s in _containers(pod) if _exit_code(s)]
    return "; ".join(f"container {status['name']}: {exit_of(status)}" for status in ended)


def has_run(pod: Object) -> bool:
    """Whether any container of a pod ever ran."""
    states = [s.get(field) or {} for s in _containers(pod) for field in ("state", "lastState")]
    return any("running" in state or "terminated" in state for state in states)


def _exit_code(status: Object) -> int:
    return int(((status.get("state") or {}).get("terminated") or {}).get("exitCode", 0))


def _containers(pod: Object) -> Iterator[Object]:
    status = pod.get("status") or {}
    yield from status.get("initContainerStatuses", [])
    yield from status.get("containerStatuses", [])
