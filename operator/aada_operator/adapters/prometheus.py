"""One number from Prometheus: an instant query over its HTTP API, answered in words of our own when there is none.

What a server says is never passed on: an address in a spec may be that of anything inside the cluster.
"""

import ipaddress
import json
import math
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from aada_operator.core.errors import Waiting
from aada_operator.core.names import qualified_url

UNREACHABLE = "PrometheusUnreachable"
UNAUTHORIZED = "PrometheusUnauthorized"
REFUSED = "QueryRefused"
EMPTY = "QueryEmpty"
SEVERAL = "QueryNotOneNumber"
NOT_A_NUMBER = "QueryNotANumber"
REASONS = (UNREACHABLE, UNAUTHORIZED, REFUSED, EMPTY, SEVERAL, NOT_A_NUMBER)
# One number needs some hundred bytes; a query that gives many series is told of without reading them all.
_MOST_BYTES = 65_536
_ONE_NUMBER = "make one number of it, as sum(…) does"


@dataclass(frozen=True)
class Server:
    """Where to ask: ``token`` is sent as a bearer token, ``ca`` is PEM text, ``timeout`` is in seconds.

    ``namespace`` is where a short host name is a Service; ``allow_local``: loopback addresses are followed.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    ca: str | None = None
    timeout: float = 5.0
    namespace: str = ""
    allow_local: bool = False


class _LocalAddressError(Exception):
    """An address that is not followed; no OSError, which aiohttp would take for one of its own."""


async def ask(server: Server, query: str) -> float:
    """The one number that a query gives now.

    Raises:
        Waiting: one of `REASONS`; the message says what to do.
    """
    try:
        return value_of(*await _answer(server, query))
    except _LocalAddressError:
        raise Waiting(UNREACHABLE, "prometheus.url is a loopback or link-local address, not followed") from None
    except TimeoutError:
        message = f"Prometheus gave no answer within {server.timeout:g} s: is it up, is prometheus.timeout long enough?"
        raise Waiting(UNREACHABLE, message) from None
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError):
        message = "the certificate is not trusted, or is for another name: prometheus.caSecretRef, prometheus.url"
        raise Waiting(UNREACHABLE, message) from None
    except (aiohttp.ClientError, OSError, ValueError):
        raise Waiting(UNREACHABLE, "nobody answers at prometheus.url: is it right, is Prometheus up?") from None


async def _answer(server: Server, query: str) -> tuple[int, bytes]:
    """Status and body; of a body that is too long, more than `_MOST_BYTES`."""
    url = qualified_url(server.url, server.namespace).rstrip("/") + "/api/v1/query"
    # aiohttp asks no resolver about what is an address already.
    _refuse_local(urlsplit(url).hostname or "", server.allow_local)
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=_Resolver(server.allow_local), ssl=_tls(server)),
            timeout=aiohttp.ClientTimeout(total=server.timeout),
            # The environment's proxy has no say inside the cluster.
            trust_env=False,
        ) as session,
        session.get(url, params={"query": query}, headers=_headers(server), allow_redirects=False) as answer,
    ):
        read = bytearray()
        async for chunk in answer.content.iter_any():
            read += chunk
            if len(read) > _MOST_BYTES:
                break
        return answer.status, bytes(read)


def _headers(server: Server) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.token}"} if server.token else {}


def _tls(server: Server) -> ssl.SSLContext | bool:
    return ssl.create_default_context(cadata=server.ca) if server.ca else True


def value_of(status: int, body: bytes) -> float:
    """The number in an answer; raises as `ask`."""
    if status in (401, 403):
        message = f"Prometheus wants another token ({status}): correct the Secret of prometheus.bearerTokenSecretRef"
        raise Waiting(UNAUTHORIZED, message)
    if len(body) > _MOST_BYTES:
        raise Waiting(SEVERAL, f"the query gives far too much: {_ONE_NUMBER}")
    document = _document(body)
    if status in (400, 422) and document.get("status") == "error":
        raise Waiting(REFUSED, f"Prometheus cannot answer the query ({status}): correct it; its own page says where")
    if status == 503 and document.get("status") == "error":
        message = "Prometheus gave up on the query (503): it is overloaded, or the query needs longer than it allows"
        raise Waiting(UNREACHABLE, f"{message}: a recording rule makes it cheap")
    data = document.get("data")
    if status != 200 or document.get("status") != "success" or not isinstance(data, dict):
        message = f"what answers at prometheus.url ({status}) is not Prometheus at work: its URL without /api/v1/query"
        raise Waiting(UNREACHABLE, message)
    return _number(data)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _number(data: dict[str, Any]) -> float:
    """The number of a scalar, or of the one series of a vector, each a pair of time and text."""
    kind = data.get("resultType")
    result: Any = data.get("result")
    if kind not in ("vector", "scalar") or not isinstance(result, list):
        raise Waiting(SEVERAL, f"the query gives no numbers of this moment: {_ONE_NUMBER}")
    if kind == "vector":
        if not result:
            raise Waiting(EMPTY, "the query gives nothing: correct it; if nothing means none, add: or vector(0)")
        if len(result) > 1:
            raise Waiting(SEVERAL, f"the query gives {len(result)} series: {_ONE_NUMBER}")
        result = (result[0].get("value") if isinstance(result[0], dict) else None) or ()
    try:
        _, text = result
        value = float(text)
    except (TypeError, ValueError):
        raise Waiting(SEVERAL, f"the query gives no number: {_ONE_NUMBER}") from None
    if not math.isfinite(value):
        raise Waiting(NOT_A_NUMBER, "the query gives no finite number, as a division by none does: guard against it")
    return value


class _Resolver(AbstractResolver):
    """Resolves as the system does; the very addresses that were checked are connected to."""

    def __init__(self, allow_local: bool) -> None:
        self._allow_local = allow_local
        self._system = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        for one in found:
            _refuse_local(one["host"], self._allow_local)
        return found

    async def close(self) -> None:
        await self._system.close()


def _refuse_local(host: str, allow_local: bool) -> None:
    """Raise for the address of this pod or its node; a name is none."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return
    found = getattr(address, "ipv4_mapped", None) or address
    if not allow_local and (found.is_loopback or found.is_link_local or found.is_unspecified):
        raise _LocalAddressError
