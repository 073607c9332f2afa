"""The operator's life cycle on one screen: clients, controllers, watches, the leader's Lease."""

import asyncio
import logging
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import kopf
from prometheus_client import GCCollector, PlatformCollector, ProcessCollector

from aada_operator.adapters import kube, leader, serving
from aada_operator.adapters.cluster_events import ClusterEvents
from aada_operator.api.common import LABEL_OWNER
from aada_operator.backups import handlers as backup_handlers
from aada_operator.backups import reconcile as backups
from aada_operator.core import metrics, resources
from aada_operator.core.clock import SystemClock
from aada_operator.core.controller import Capability, Controller
from aada_operator.core.errors import OperatorError
from aada_operator.core.worker_jobs import WorkerImage
from aada_operator.core.workqueue import Key, Worker, WorkQueue, spread
from aada_operator.lms import handlers as lms_handlers
from aada_operator.lms import reconcile as lms
from aada_operator.policies import handlers as policy_handlers
from aada_operator.policies import reconcile as policies
from aada_operator.restores import handlers as restore_handlers
from aada_operator.restores import reconcile as restores
from aada_operator.rotations import handlers as rotation_handlers
from aada_operator.rotations import reconcile as rotations
from aada_operator.scaling import handlers as scaling_handlers
from aada_operator.scaling import reconcile as scaling
from aada_operator.settings import Settings

logger = logging.getLogger(__name__)
WATCHED_CHILDREN = (
    resources.DEPLOYMENTS,
    resources.SERVICES,
    resources.INGRESSES,
    resources.DISRUPTION_BUDGETS,
    resources.AUTOSCALERS,
    resources.JOBS,
)


async def run(settings: Settings) -> None:
    """Run until SIGTERM; only the leader acts.

    Raises:
        LeadershipLost: the Lease was lost; the process must end, a new one takes part in the next election.
    """
    _end_on_signals()
    queue = WorkQueue()
    started = asyncio.Event()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=metrics.REGISTRY)
    server = await serving.serve(serving.Endpoints(queue, started.is_set, settings.stuck_after), settings.http_port)
    api = await kube.connect()
    try:
        started.set()
        if settings.leader_election:
            work = partial(_operate, settings, kube.Kube(api), queue)
            await leader.lead(api, settings.pod_namespace, settings.pod_name, work)
        else:
            await _operate(settings, kube.Kube(api), queue)
    finally:
        await api.close()
        await server.cleanup()


def _end_on_signals() -> None:
    """A container's first process has no default for these signals; kopf brings its own handlers once it runs."""
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, lambda: task and task.cancel())


async def _operate(settings: Settings, client: kube.Kube, queue: WorkQueue) -> None:
    """Watch and reconcile; the first part that ends, ends all."""
    namespaces = settings.namespace_list()
    await _await_crds(client, namespaces)
    visit = _visitor(_controllers(settings, client))
    registry = kopf.OperatorRegistry()
    _register(registry, queue.add)
    working = asyncio.create_task(queue.run(visit, settings.workers))
    watching = asyncio.create_task(
        kopf.operator(
            registry=registry,
            settings=_kopf_settings(),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
        )
    )
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        watching.cancel()
        outcomes = await asyncio.gather(working, watching, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


async def _await_crds(client: kube.Kube, namespaces: list[str]) -> None:
    """Wait until the API server knows all our kinds: a watch begun before would never see an object."""
    for resource in resources.OWN.values():
        while True:
            try:
                await client.list(resource, namespaces[0] if namespaces else None)
                break
            except OperatorError as error:
                detail = {"kind": resource.kind, "reason": error.reason}
                logger.warning("waiting for the CustomResourceDefinition: is crds.enabled set?", extra=detail)
                await asyncio.sleep(5)


def _controllers(settings: Settings, client: kube.Kube) -> dict[str, Controller[Any]]:
    """One controller per kind, by plural."""
    clock = SystemClock()
    image = WorkerImage(settings.worker_image, settings.worker_pull_policy)
    local = settings.allow_loopback_endpoints
    capabilities: list[Capability[Any]] = [
        lms.capability(client, local),
        policies.capability(client, image, local),
        backups.capability(client, image, local),
        restores.capability(client, image, local),
        rotations.capability(client, local),
        scaling.capability(client, local),
    ]
    events = ClusterEvents(client, clock)
    return {c.resource.plural: Controller(c, client, events, clock) for c in capabilities}


def _visitor(controllers: dict[str, Controller[Any]]) -> Worker:
    """The work queue's worker: the controller of the key's kind, measured; visits that come again are spread."""

    async def visit(key: Key) -> float | None:
        with (
            metrics.RECONCILE_SECONDS.labels(kind=key.plural).time(),
            metrics.RECONCILE_ERRORS.labels(kind=key.plural).count_exceptions(),
        ):
            delay = await controllers[key.plural].visit(key)
        return None if delay is None else spread(delay)

    return visit


def _register(registry: kopf.OperatorRegistry, enqueue: Callable[[Key], None]) -> None:
    """Everything that wakes a reconciler: our own objects, and the children that they own."""
    for handlers in (
        lms_handlers,
        policy_handlers,
        backup_handlers,
        restore_handlers,
        rotation_handlers,
        scaling_handlers,
    ):
        handlers.register(registry, enqueue)
    for resource in WATCHED_CHILDREN:
        group, _, version = resource.api_version.rpartition("/")

        @kopf.on.event(group, version, resource.plural, registry=registry)
        async def child_changed(body: kopf.Body, **_: object) -> None:
            if owner := resources.owner_key(dict(body)):
                enqueue(owner)

    kopf.on.login(registry=registry)(_login)


async def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """The service account in a pod, the kubeconfig elsewhere; never the whole Kubernetes client for it."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    # Kinds do not come and go here, and watching for them would need rights on all CRDs and namespaces.
    settings.scanning.disabled = True
    # Handlers only enqueue; a task kept alive per object would be memory without use.
    settings.queueing.idle_timeout = 0.1
    settings.posting.enabled = False
    # The server ends a quiet watch; without a limit of our own a dead connection would be noticed by nobody.
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    for resource in WATCHED_CHILDREN:
        group, _, version = resource.api_version.rpartition("/")
        settings.watching.label_selectors[group, version, resource.plural] = LABEL_OWNER
    return settings
