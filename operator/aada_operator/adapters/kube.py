"""The API server: raw JSON in and out, server-side apply, errors translated once.

A 404 is None, a conflict or a server in trouble is Waiting, what the server refuses is Stalled. The server's own text
is kept out of statuses except for the field causes of a 422, which name what a user wrote.
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.utils.quantity import parse_quantity

from aada_operator.core import metrics
from aada_operator.core.coalesce import Coalescing
from aada_operator.core.errors import OperatorError, Stalled, Waiting
from aada_operator.core.managed_fields import FIELD_MANAGER
from aada_operator.core.resources import PODS, ApiResource, Object

TIMEOUT = aiohttp.ClientTimeout(total=20)
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


async def connect() -> client.ApiClient:
    """A client with the pod's service account, or the kubeconfig where there is none."""
    configuration = client.Configuration()
    # The environment's proxy and the user's .netrc have no say about the API server; looking for them at every
    # request would cost two changes of thread.
    configuration.client_session_kwargs = {"trust_env": False}
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        await config.load_kube_config(client_configuration=configuration)
    return client.ApiClient(configuration)


class Kube:
    """Requests to the API server; every method takes and gives objects as plain dicts.

    Raises:
        Waiting: the server is not reachable, overloaded, or the object changed meanwhile.
        Stalled: the server refused the request for good; the message says why.
    """

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self._reads = Coalescing[bytes | None]()

    async def get(self, resource: ApiResource, namespace: str, name: str) -> Object | None:
        """The live object, None when there is none."""
        return await self._json("GET", resource.path(namespace, name), absent_ok=True)

    async def list(
        self, resource: ApiResource, namespace: str | None, selector: Mapping[str, str] | None = None
    ) -> list[Object]:
        """All objects in a namespace, or in all of them, whose labels match."""
        chosen = ",".join(f"{label}={value}" for label, value in sorted((selector or {}).items()))
        query = {"labelSelector": chosen} if chosen else {}
        answer = await self._json("GET", resource.path(namespace), query=query) or {}
        kind = {"apiVersion": resource.api_version, "kind": resource.kind}
        return [kind | item for item in answer.get("items", [])]

    async def apply(self, resource: ApiResource, body: Object, manager: str = FIELD_MANAGER) -> Object:
        """Server-side apply: the fields of ``manager`` become what ``body`` says, others' fields stay."""
        namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
        query = {"fieldManager": manager, "force": "true"}
        answer = await self._write("PATCH", resource, resource.path(namespace, name), body, query, _APPLY)
        return answer or {}

    async def create(self, resource: ApiResource, body: Object) -> Object | None:
        """Create an object; None when one of that name is there already."""
        path = resource.path(body["metadata"]["namespace"])
        query = {"fieldManager": FIELD_MANAGER}
        try:
            return await self._write("POST", resource, path, body, query, "application/json")
        except AlreadyThere:
            return None

    async def patch_status(self, resource: ApiResource, body: Object, status: Object) -> None:
        """Make the status be ``status``; refused when the object changed its spec or was replaced meanwhile."""
        before = body.get("status") or {}
        removed = {field: None for field in before if field not in status}
        metadata = {key: body["metadata"][key] for key in ("uid", "resourceVersion")}
        path = resource.path(body["metadata"]["namespace"], body["metadata"]["name"], "status")
        patch = {"metadata": metadata, "status": _pruned(status, before) | removed}
        await self._write("PATCH", resource, path, patch, {"fieldManager": FIELD_MANAGER}, _MERGE)

    async def patch(self, resource: ApiResource, body: Object, patch: Object) -> Object | None:
        """Merge fields into an object; refused when it changed or was replaced since ``body`` was read.

        None when it is gone.
        """
        metadata = {key: body["metadata"][key] for key in ("uid", "resourceVersion")}
        path = resource.path(body["metadata"]["namespace"], body["metadata"]["name"])
        guarded = patch | {"metadata": (patch.get("metadata") or {}) | metadata}
        return await self._write(
            "PATCH", resource, path, guarded, {"fieldManager": FIELD_MANAGER}, _MERGE, absent_ok=True
        )

    async def set_finalizer(self, resource: ApiResource, body: Object, name: str, *, present: bool) -> None:
        """Add a finalizer, or take it away, also in ``body``; refused when the object changed meanwhile."""
        others = [other for other in body["metadata"].get("finalizers", ()) if other != name]
        patch = {"metadata": {"finalizers": [*others, name] if present else others}}
        if answer := await self.patch(resource, body, patch):
            body["metadata"] = answer["metadata"]

    async def delete(self, resource: ApiResource, body: Object) -> None:
        """Delete this very object (by uid) and what it owns; one that is gone already is fine."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": body["metadata"]["uid"]},
        }
        path = resource.path(body["metadata"]["namespace"], body["metadata"]["name"])
        await self._write("DELETE", resource, path, options, {}, "application/json", absent_ok=True)

    async def last_log_line(self, namespace: str, pod: str) -> str:
        """The newest line that a pod printed, empty when it printed none or is not started."""
        path = f"{PODS.path(namespace, pod)}/log"
        try:
            raw = await self._request("GET", path, query={"tailLines": "1", "limitBytes": "4096"})
        except (OperatorError, AlreadyThere):
            return ""
        return (raw or b"").decode(errors="replace").strip()

    async def _write(
        self,
        verb: str,
        resource: ApiResource,
        path: str,
        body: Object,
        query: Mapping[str, str],
        content_type: str,
        *,
        absent_ok: bool = False,
    ) -> Object | None:
        metrics.WRITES.labels(resource=resource.plural, verb=verb).inc()
        return await self._json(verb, path, query=query, body=body, content_type=content_type, absent_ok=absent_ok)

    async def _json(self, verb: str, path: str, *, absent_ok: bool = False, **request: Any) -> Object | None:
        raw = await self._request(verb, path, absent_ok=absent_ok, **request)
        if raw is None:
            return None
        answer: Object = json.loads(raw)
        return answer

    async def _request(
        self,
        verb: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
        absent_ok: bool = False,
    ) -> bytes | None:
        """The raw answer; visits that read the same at one moment are given one, each to parse for itself."""
        resource_path = quote(path) + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Content-Type": content_type}
        send = partial(self._send, verb, path, resource_path, headers, body, absent_ok=absent_ok)
        return await (self._reads.ask((resource_path, absent_ok), send) if verb == "GET" else send())

    async def _send(
        self,
        verb: str,
        path: str,
        resource_path: str,
        headers: dict[str, str],
        body: Object | None,
        *,
        absent_ok: bool,
    ) -> bytes | None:
        method, url, headers, _, _ = await self._api.param_serialize(
            verb, resource_path, header_params=headers, auth_settings=["BearerToken"]
        )
        try:
            response = await self._api.call_api(method, url, headers, body, _request_timeout=TIMEOUT)
            raw: bytes = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError, ApiException) as error:
            raise Waiting("ApiServerUnreachable", "the Kubernetes API server does not answer", 5.0) from error
        if response.status < 400:
            return raw
        if response.status == 404 and absent_ok:
            return None
        raise _translated(response.status, raw, verb, path)


class AlreadyThere(Exception):
    """The object to be created exists."""


def _translated(status: int, raw: bytes, verb: str, path: str) -> Exception:
    """The answer of the server as one of our errors."""
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = {}
    reason = str(answer.get("reason", ""))
    if status == 409 and reason == "AlreadyExists":
        return AlreadyThere()
    if status in (409, 429) or status >= 500:
        return Waiting("Conflict" if status == 409 else "ApiServerBusy", "the Kubernetes API asks to try again", 1.0)
    if status == 404:
        return Waiting("NotFound", f"{path} is gone or its namespace is missing", 15.0)
    if status == 403 and "being terminated" in str(answer.get("message", "")):
        return Waiting("NamespaceTerminating", "the namespace is being deleted; nothing is started in it", 60.0)
    if status == 403:
        return Waiting("Forbidden", f"not allowed to {verb} {path}: check RBAC, quota and admission", 30.0)
    causes = (answer.get("details") or {}).get("causes") or []
    fields = "; ".join(f"{cause.get('field', '')}: {cause.get('message', '')}"[:300] for cause in causes[:3])
    return Stalled("Refused", f"the Kubernetes API refused {path}: {fields or reason or status}")


def _pruned(after: Object, before: Object) -> Object:
    """A merge patch leaves what it does not name: nested fields that went must be named with null."""
    patch: Object = {}
    for field, value in after.items():
        old = before.get(field)
        if isinstance(value, dict) and isinstance(old, dict):
            patch[field] = _pruned(value, old) | {gone: None for gone in old if gone not in value}
        else:
            patch[field] = value
    return patch


def same_quantity(one: object, other: object) -> bool:
    """Whether two values are the same amount: the server writes ``1000m`` as ``1``."""
    try:
        return bool(parse_quantity(one) == parse_quantity(other))
    except (ValueError, TypeError):
        return False


def cores(quantity: object) -> float:
    """Processor cores of a quantity like ``250m``.

    Raises:
        ValueError: it is none.
    """
    return float(parse_quantity(quantity))
