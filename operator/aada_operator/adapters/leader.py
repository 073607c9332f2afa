"""Leader election by a Lease, with the client library's own algorithm.

Two replicas make the operator available, not faster: one acts, the other waits. A Lease does not fence, so losing it
ends the process, and every step is safe to do twice anyway.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from kubernetes.aio import client
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

from aada_operator.core import metrics

logger = logging.getLogger(__name__)

LEASE = "aada-operator"
# client-go's defaults: a dead leader is replaced within 15 s, a slow API server is borne for 10 s.
LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS = 15, 10, 2


class LeadershipLost(RuntimeError):
    """The Lease could not be renewed in time; somebody else may lead now."""


async def lead(api: client.ApiClient, namespace: str, identity: str, work: Callable[[], Awaitable[None]]) -> None:
    """Wait for the Lease, do ``work`` while it is ours, give it back when the work ended.

    Raises:
        LeadershipLost: the Lease was lost; the process must end.
    """
    await _ensure_lease(api, namespace)
    lock = LeaseLock(LEASE, namespace, identity, api)
    leading = asyncio.Event()
    election = asyncio.create_task(LeaderElection(_config(lock, leading)).run())
    logger.info("waiting for the Lease", extra={"lease": f"{namespace}/{LEASE}", "identity": identity})
    try:
        await _first(election, asyncio.create_task(leading.wait()))
        metrics.LEADER.set(1)
        logger.info("leading", extra={"identity": identity})
        await _first(election, asyncio.ensure_future(work()))
    finally:
        metrics.LEADER.set(0)
        await _cancelled(election)
    await _release(api, namespace, identity)


async def _ensure_lease(api: client.ApiClient, namespace: str) -> None:
    """Make an empty Lease: in version 37 of the client, creating it fails on an argument of the wrong type."""
    body = client.V1Lease(metadata=client.V1ObjectMeta(name=LEASE), spec=client.V1LeaseSpec())
    try:
        await client.CoordinationV1Api(api).create_namespaced_lease(namespace, body)
    except client.ApiException as error:
        if error.status != HTTPStatus.CONFLICT:
            raise


def _config(lock: LeaseLock, leading: asyncio.Event) -> Config:
    async def started() -> None:
        leading.set()

    async def stopped() -> None:
        logger.error("the Lease was lost")

    return Config(
        lock,
        lease_duration=LEASE_SECONDS,
        renew_deadline=RENEW_SECONDS,
        retry_period=RETRY_SECONDS,
        onstarted_leading=started,
        onstopped_leading=stopped,
    )


async def _first(election: "asyncio.Task[None]", other: "asyncio.Future[Any]") -> None:
    """Wait for ``other``; the end of the election comes first only when the Lease is lost."""
    try:
        await asyncio.wait({election, other}, return_when=asyncio.FIRST_COMPLETED)
        if not other.done():
            election.result()  # the election's own error, when it has one
            raise LeadershipLost("the leader's Lease could not be renewed")
        other.result()
    finally:
        await _cancelled(other)


async def _cancelled(task: "asyncio.Future[Any]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _release(api: client.ApiClient, namespace: str, identity: str) -> None:
    """Let go of the Lease at an orderly end, so that the next leader need not wait for it to expire."""
    leases = client.CoordinationV1Api(api)
    try:
        lease = await leases.read_namespaced_lease(LEASE, namespace)
        if lease.spec.holder_identity == identity:
            lease.spec.holder_identity = ""
            await leases.replace_namespaced_lease(LEASE, namespace, lease)
    except client.ApiException:
        logger.warning("the Lease could not be released; it expires by itself")
