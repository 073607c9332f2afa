"""The load generator: makes objects, edits them at given times, and sees by a watch when their status follows."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pyrage
import yaml

API = "/apis/lms.aada.edu/v1alpha1"
MERGE = {"Content-Type": "application/merge-patch+json"}
# Enough to be quick at making a thousand objects, few enough for the API server to answer others meanwhile.
PARALLEL = 10
WATCH_SECONDS = 1800
FIRST_LIMIT = 30
RECIPIENT = str(pyrage.x25519.Identity.generate().to_public())


def policy(name: str) -> dict[str, Any]:
    """A BackupPolicy whose AadaLms does not exist: a visit ends after the first look for it, with one status."""
    return {
        "apiVersion": "lms.aada.edu/v1alpha1",
        "kind": "BackupPolicy",
        "metadata": {"name": name},
        "spec": {
            "lmsRef": {"name": "missing"},
            "storage": [{"name": "primary", "s3": {"bucket": "bench", "credentialsSecretRef": {"name": "missing"}}}],
            "encryption": {"recipients": [RECIPIENT]},
            "historyLimit": {"successful": FIRST_LIMIT},
        },
    }


@asynccontextmanager
async def session(kubeconfig: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """HTTP to the API server as the user of a kubeconfig with a token."""
    server, authority, token = _parts(kubeconfig)
    async with aiohttp.ClientSession(
        server,
        headers={"Authorization": f"Bearer {token}"},
        connector=aiohttp.TCPConnector(ssl=authority),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        raise_for_status=True,
    ) as opened:
        yield opened


def _parts(kubeconfig: Path) -> tuple[str, ssl.SSLContext, str]:
    """URL of the server, whom to trust, and the token."""
    document = yaml.safe_load(kubeconfig.read_text())
    cluster = document["clusters"][0]["cluster"]
    authority = ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode())
    return cluster["server"], authority, document["users"][0]["user"]["token"]


class Load:
    """The objects of one namespace, and when the status of each was seen to follow its spec (as Unix time)."""

    def __init__(self, http: aiohttp.ClientSession, namespace: str, size: int) -> None:
        self._http = http
        self._collection = f"{API}/namespaces/{namespace}/backuppolicies"
        self._namespace = namespace
        self._sightings: dict[tuple[str, int], asyncio.Future[float]] = {}
        self._watching: asyncio.Task[None] | None = None
        self.names = [f"policy-{number:04}" for number in range(size)]

    async def open(self) -> None:
        """Make the namespace and the objects, and begin to watch them."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._namespace}}
        await self._send("POST", "/api/v1/namespaces", namespace)
        version = (await self._send("GET", self._collection))["metadata"]["resourceVersion"]
        self._watching = asyncio.create_task(self._watch(version))
        turn = asyncio.Semaphore(PARALLEL)

        async def create(name: str) -> None:
            async with turn:
                await self._send("POST", self._collection, policy(name))

        await asyncio.gather(*map(create, self.names))

    async def close(self) -> None:
        """Remove what was made; the namespace goes when its controller gets to it, which is no load any more."""
        if self._watching:
            self._watching.cancel()
        for collection in (self._collection, f"/api/v1/namespaces/{self._namespace}/events"):
            await self._send("DELETE", collection)
        await self._send("DELETE", f"/api/v1/namespaces/{self._namespace}")

    async def first_sight(self) -> float:
        """Wait until every object has a status of its first generation; returns when the last one was seen."""
        return max(await asyncio.gather(*(self._sighting(name, 1) for name in self.names)))

    async def edit(self, count: int, per_second: float) -> list[float]:
        """Edit that many different objects, each at its time, whether earlier edits were answered or not (open loop).

        Returns the seconds from the time at which each edit was due until its status was seen.
        """
        begin = time.time() + 0.1
        dues = [begin + number / per_second for number in range(count)]
        async with asyncio.TaskGroup() as group:
            edits = [group.create_task(self._edit(*pair)) for pair in zip(self.names, dues, strict=False)]
        return [edit.result() for edit in edits]

    async def _edit(self, name: str, due: float) -> float:
        await asyncio.sleep(due - time.time())
        change = {"spec": {"historyLimit": {"successful": FIRST_LIMIT + 1}}}
        answer = await self._send("PATCH", f"{self._collection}/{name}", change, MERGE)
        return await self._sighting(name, answer["metadata"]["generation"]) - due

    def _sighting(self, name: str, generation: int) -> asyncio.Future[float]:
        """When the status was first seen to speak of that generation, or will be."""
        return self._sightings.setdefault((name, generation), asyncio.get_running_loop().create_future())

    async def _watch(self, version: str) -> None:
        query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(WATCH_SECONDS)}
        async with self._http.get(self._collection, params=query) as stream:
            async for line in stream.content:
                moment = time.time()
                body = json.loads(line)["object"]
                sighting = self._sighting(body["metadata"]["name"], body.get("status", {}).get("observedGeneration", 0))
                if not sighting.done():
                    sighting.set_result(moment)

    async def _send(
        self, verb: str, path: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        async with self._http.request(verb, path, json=body, headers=headers) as answer:
            document: dict[str, Any] = await answer.json()
            return document
