"""What the operator says of Deployments and pods: how far they are, and why they are not further."""

from datetime import timedelta

import pytest

from aada_operator.api.common import LABEL_LMS
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.resources import Object
from aada_operator.core.trouble import Trouble, failure_of, has_run, of_pod
from aada_operator.lms import rollout
from aada_operator.lms.rollout import Rollout, healthy
from tests.unit.lms.samples import NOW, deployment, ended, pod, progressing, running, spec, waiting

SPEC = spec({"version": "v1"})
IMAGE = "registry.example/lms:v1"
MOVING = progressing("ReplicaSetUpdated")


def of(live: Object | None, *pods: Object) -> Rollout:
    return rollout.of_component(SPEC, SPEC.api_component(), live, pods, NOW)


def test_a_finished_rollout_is_done() -> None:
    view = of(deployment(IMAGE))
    assert (view.done, view.serving, view.ready, view.desired, view.trouble) == (True, True, 2, 2, None)


def test_pods_that_are_ready_serve_before_a_paced_rollout_counts_them_as_available() -> None:
    view = of(deployment(IMAGE, availableReplicas=0))
    assert (view.done, view.serving) == (True, True)


def test_a_finished_rollout_of_an_earlier_image_is_not_done() -> None:
    view = of(deployment("registry.example/lms:v0"))
    assert view.serving
    assert not view.done


def test_what_the_deployment_controller_has_not_seen_is_not_done() -> None:
    assert not of(deployment(IMAGE, observedGeneration=2)).done


@pytest.mark.parametrize(
    ("total", "updated", "ready", "new_ready"),
    [(3, 1, 2, 0), (3, 1, 3, 1), (3, 2, 3, 2), (2, 2, 1, 1), (0, 0, 0, 0)],
)
def test_pods_of_the_newest_revision_are_counted(total: int, updated: int, ready: int, new_ready: int) -> None:
    live = deployment(
        IMAGE, replicas=2, updatedReplicas=updated, readyReplicas=ready, availableReplicas=ready, conditions=[MOVING]
    )
    live["status"]["replicas"] = total
    assert of(live).ready == new_ready


def test_a_component_without_a_deployment_does_not_serve() -> None:
    view = of(None)
    assert (view.image, view.serving, view.done) == ("", False, False)


def test_no_replicas_are_served_by_no_pods() -> None:
    assert of(deployment(IMAGE, replicas=0)).done


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (waiting("ErrImagePull"), "ImagePullFailed", "registry.example/lms:v1"),
        (waiting("ImagePullBackOff"), "ImagePullFailed", "registry.example/lms:v1"),
        (waiting("InvalidImageName"), "ImagePullFailed", "InvalidImageName"),
        (waiting("CreateContainerConfigError"), "ContainerConfigError", "Secret"),
        (waiting("CrashLoopBackOff", lastState=ended(3)), "CrashLoop", "exit code 3"),
        (waiting("CrashLoopBackOff", lastState=ended(137, "OOMKilled")), "CrashLoop", "OOMKilled"),
        (running(ready=False, restartCount=2, lastState=ended(1)), "CrashLoop", "exit code 1"),
    ],
)
def test_a_pod_in_trouble_is_explained(status: Object, reason: str, words: str) -> None:
    found = of_pod(pod(status))
    assert found is not None
    assert found.reason == reason
    assert words in found.message
    assert "backend" in found.message


def test_the_back_off_and_the_error_of_an_image_say_the_same() -> None:
    """They alternate every few seconds, and each change would be a write and an Event."""
    assert of_pod(pod(waiting("ErrImagePull"))) == of_pod(pod(waiting("ImagePullBackOff")))


def test_a_crash_loop_says_the_same_between_its_restarts() -> None:
    """Waiting, running, terminated: the three states of one loop."""
    states = [
        waiting("CrashLoopBackOff", restartCount=3, lastState=ended(3)),
        running(ready=False, restartCount=3, lastState=ended(3)),
        {"name": "backend", "restartCount": 3, "ready": False, "state": ended(3), "lastState": ended(3)},
    ]
    assert len({of_pod(pod(state)) for state in states}) == 1


@pytest.mark.parametrize(
    "status",
    [
        waiting("ContainerCreating"),
        waiting("PodInitializing"),
        running(),
        running(ready=False),
        running(ready=True, restartCount=9, lastState=ended(1)),
    ],
)
def test_what_may_still_become_ready_is_no_trouble(status: Object) -> None:
    assert of_pod(pod(status)) is None


def test_init_containers_count() -> None:
    status = {"initContainerStatuses": [waiting("ErrImagePull", name="wait")], "containerStatuses": []}
    found = of_pod({"metadata": {}, "status": status})
    assert found is not None
    assert "container wait" in found.message


def test_a_pod_that_no_node_takes_is_explained() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    found = of_pod(pod(status={"conditions": [condition]}))
    assert found is not None
    assert found.reason == "Unschedulable"


def test_what_a_container_said_never_shows() -> None:
    body = pod(waiting("CrashLoopBackOff", lastState=ended(1)), {"name": "side", "state": ended(2)})
    told = f"{of_pod(body)} {failure_of(body)}"
    assert "exit code 2" in told
    assert "canary" not in told


def test_whether_a_container_ever_ran() -> None:
    assert not has_run(pod(waiting("ErrImagePull")))
    assert has_run(pod(waiting("CrashLoopBackOff", lastState=ended(1))))
    assert has_run(pod(running()))


# --- trouble belongs to a component ---------------------------------------------------------------------------------

BROKEN = pod(waiting("CrashLoopBackOff", lastState=ended(3)))
ROLLING = deployment(IMAGE, replicas=2, updatedReplicas=1, readyReplicas=2, conditions=[MOVING])


def test_a_new_pod_that_crashes_is_trouble_while_old_ones_serve() -> None:
    view = of(ROLLING, BROKEN)
    assert view.serving
    assert view.trouble is not None


def test_pods_of_others_and_pods_that_leave_are_left_out() -> None:
    other = pod(waiting("ErrImagePull"), metadata={"labels": {LABEL_LMS: "another"}})
    leaving = pod(waiting("ErrImagePull"), metadata={"deletionTimestamp": "2026-01-02T11:00:00Z"})
    assert of(ROLLING, other, leaving).trouble is None


def test_the_progress_deadline_names_the_probe() -> None:
    live = deployment(IMAGE, updatedReplicas=1, conditions=[progressing("ProgressDeadlineExceeded")])
    found = of(live, pod(running(ready=False))).trouble
    assert found is not None
    assert found.reason == "ProgressDeadlineExceeded"
    assert "port 8000" in found.message


@pytest.mark.parametrize(("since", "reason"), [(timedelta(minutes=1), None), (timedelta(minutes=3), "NotReady")])
def test_a_pod_that_was_there_and_stays_unready_is_trouble(since: timedelta, reason: str | None) -> None:
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": to_rfc3339(NOW - since)}
    live = deployment(IMAGE, readyReplicas=1, availableReplicas=1)
    found = of(live, pod(running(ready=False), status={"conditions": [condition]})).trouble
    assert (found.reason if found else None) == reason


# --- the condition --------------------------------------------------------------------------------------------------


def view(name: str = "backend", *, complete: bool = True, **changes: object) -> Rollout:
    base: dict[str, object] = {"image": IMAGE, "wanted_image": IMAGE, "desired": 2, "ready": 2, "available": 2}
    return Rollout(name=name, complete=complete, **(base | changes))  # type: ignore[arg-type]


ILL = Trouble("CrashLoop", "container backend ends again and again")


@pytest.mark.parametrize(
    ("rollouts", "blocked", "gate", "status", "reason"),
    [
        ([view(), view("learn")], (), "", "True", "RolledOut"),
        ([view(), view("learn", complete=False)], (), "", "True", "Progressing"),
        ([view(complete=False, trouble=ILL), view("learn")], (), "", "False", "CrashLoop"),
        ([view(drift=("spec.replicas",))], (), "", "True", "DriftReverted"),
        ([view(drift=("spec.replicas",), trouble=ILL)], (), "", "False", "CrashLoop"),
        ([view(image="")], (), "Migrating", "Unknown", "Migrating"),
        ([view(image="old")], (), "MigrationFailed", "Unknown", "MigrationFailed"),
        ([view(image=""), view("learn")], ("backend",), "", "Unknown", "SecretMissing"),
    ],
)
def test_rollout_healthy(
    rollouts: list[Rollout], blocked: tuple[str, ...], gate: str, status: str, reason: str
) -> None:
    verdict = healthy(rollouts, blocked, gate)
    assert (verdict.status, verdict.reason) == (status, reason)


def test_the_reverted_field_is_named() -> None:
    verdict = healthy([view(drift=("Deployment aada-backend spec.replicas",))], (), "")
    assert "Deployment aada-backend spec.replicas" in verdict.message
