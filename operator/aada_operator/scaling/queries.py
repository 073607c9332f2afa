"""The queries of one visit, asked of Prometheus: what each says, or why nobody knows."""

import asyncio

from aada_operator.adapters import prometheus
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.kube_secrets import read_keys
from aada_operator.adapters.prometheus import Server
from aada_operator.api.common import SecretKeyRef, seconds
from aada_operator.api.scaling_metrics import PrometheusMetric, PrometheusServer
from aada_operator.core.errors import Waiting
from aada_operator.scaling.demand import Reading, pods_for
from aada_operator.scaling.world import ScalingVisit


async def look(kube: Kube, visit: ScalingVisit, present: int, allow_local: bool) -> tuple[Reading, ...]:
    """Ask all queries at once; ``present`` is the number of pods."""
    queries, server = visit.spec.queries(), visit.spec.prometheus
    if not queries or server is None:
        return ()
    try:
        place = await server_of(kube, visit.namespace, server, allow_local)
    except Waiting as waiting:
        return tuple(_lost(query, waiting) for query in queries)
    return tuple(await asyncio.gather(*(_read(place, query, present) for query in queries)))


async def _read(server: Server, query: PrometheusMetric, present: int) -> Reading:
    try:
        value = await prometheus.ask(server, query.query)
    except Waiting as waiting:
        return _lost(query, waiting)
    return Reading(query.name, pods_for(value, query.target, present))


def _lost(query: PrometheusMetric, why: Waiting) -> Reading:
    return Reading(query.name, None, why.reason, why.message)


async def server_of(kube: Kube, namespace: str, server: PrometheusServer, allow_local: bool) -> Server:
    """The server with what its Secrets hold.

    Raises:
        Waiting: SecretMissing; PrometheusUnauthorized, what should be a token is none.
    """
    token = await _secret(kube, namespace, server.bearer_token_secret_ref)
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        message = "prometheus.bearerTokenSecretRef: what is there is no token, which is one word without line breaks"
        raise Waiting(prometheus.UNAUTHORIZED, message)
    authority = await _secret(kube, namespace, server.ca_secret_ref)
    return Server(server.url, token, authority, seconds(server.timeout), namespace, allow_local)


async def _secret(kube: Kube, namespace: str, ref: SecretKeyRef | None) -> str | None:
    """The text of a key of a Secret, without the line break that files end with."""
    if ref is None:
        return None
    return (await read_keys(kube, namespace, ref.name, [ref.key]))[ref.key].decode(errors="replace").strip()
