"""The least that an operator on kopf can do: the floor that the real one is measured against.

An event puts a name into a queue; a worker reads the object once and writes its status once per generation. Each
object is read again every RESYNC seconds. Run as `python noop_operator.py NAMESPACE`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from typing import Any

import kopf
from kubernetes.aio import client, config

GROUP, VERSION, PLURAL = "lms.aada.edu", "v1alpha1", "backuppolicies"
WORKERS = 20
RESYNC = 15.0

queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
resyncs: dict[tuple[str, str], asyncio.TimerHandle] = {}
workers: set[asyncio.Task[None]] = set()


@kopf.on.startup()
async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
    # Kinds and namespaces are known: looking for new ones would only be noise in the measurement.
    settings.scanning.disabled = True
    await config.load_kube_config()
    objects = client.CustomObjectsApi()
    workers.update(asyncio.create_task(serve(objects)) for _ in range(WORKERS))


@kopf.on.cleanup()
async def stop(**_: Any) -> None:
    for worker in workers:
        worker.cancel()


@kopf.on.event(GROUP, VERSION, PLURAL)
async def changed(meta: kopf.Meta, status: kopf.Status, namespace: str | None, name: str, **_: Any) -> None:
    if namespace and status.get("observedGeneration") != meta["generation"]:
        queue.put_nowait((namespace, name))


async def serve(objects: client.CustomObjectsApi) -> None:
    while True:
        namespace, name = await queue.get()
        where = {"group": GROUP, "version": VERSION, "plural": PLURAL, "namespace": namespace, "name": name}
        try:
            await reconcile(objects, where)
        except client.ApiException:
            logging.exception("an object could not be reconciled")
        again((namespace, name))


async def reconcile(objects: client.CustomObjectsApi, where: dict[str, str]) -> None:
    body = await objects.get_namespaced_custom_object(**where)
    generation = body["metadata"]["generation"]
    if body.get("status", {}).get("observedGeneration") != generation:
        status = {"status": {"observedGeneration": generation}}
        await objects.patch_namespaced_custom_object_status(
            **where, body=status, _content_type="application/merge-patch+json"
        )


def again(key: tuple[str, str]) -> None:
    """Put the object in line once more after a while; spread, so that they do not come all at once."""
    if key in resyncs:
        resyncs[key].cancel()
    delay = RESYNC * random.uniform(0.9, 1.1)
    resyncs[key] = asyncio.get_running_loop().call_later(delay, queue.put_nowait, key)


if __name__ == "__main__":
    kopf.run(standalone=True, namespaces=[sys.argv[1]])
