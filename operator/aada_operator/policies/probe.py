"""Whether a policy's bucket can be used: probed now and then, never at every visit, and never holding up a visit."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from aada_operator.adapters.folder_owner import read_owner
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.storage import in_thread, open_store
from aada_operator.api.location import Location
from aada_operator.api.ownership import Claim
from aada_operator.core import bucket_rules
from aada_operator.core.controller import RESYNC
from aada_operator.core.errors import OperatorError
from aada_operator.core.workqueue import backoff
from aada_operator.policies.world import Reachability

# Seconds: how long a good answer holds, the first and longest pause after a bad one, how long a visit waits for one.
FRESH = RESYNC
FIRST_RETRY, LONGEST_RETRY = 15.0, 120.0
PATIENCE = 2.0


@dataclass
class _Entry:
    """What is known of one policy's bucket; ``until`` is when it is probed again."""

    generation: int
    claim: str
    task: "asyncio.Task[Reachability] | None" = None
    found: Reachability | None = None
    until: float = 0.0
    failures: int = 0


@dataclass
class StorageProbe:
    """Answers by policy, in memory: after a restart all are asked again."""

    kube: Kube
    allow_local: bool
    clock: Callable[[], float] = time.monotonic
    _entries: dict[str, _Entry] = field(default_factory=dict)

    async def look(
        self, uid: str, generation: int, namespace: str, location: Location, claim: Claim
    ) -> Reachability | None:
        """What is known of the bucket of a policy, None while the first answer is awaited."""
        self._forget_the_gone()
        entry = self._entries.get(uid)
        if entry is None or (entry.generation, entry.claim) != (generation, claim.model_dump_json()):
            entry = self._entries[uid] = _Entry(generation, claim.model_dump_json())
        if entry.task is None and self.clock() >= entry.until:
            entry.task = asyncio.create_task(self._probe(namespace, location, claim))
            await asyncio.wait({entry.task}, timeout=PATIENCE)
        if entry.task is not None and entry.task.done():
            self._record(entry, entry.task)
        return entry.found

    def pause(self, uid: str) -> float:
        """Seconds until `look` has news of this policy's bucket."""
        entry = self._entries[uid]
        return PATIENCE if entry.task else max(PATIENCE, entry.until - self.clock())

    def _record(self, entry: _Entry, task: "asyncio.Task[Reachability]") -> None:
        entry.task = None
        entry.found = task.result()
        entry.failures = 0 if entry.found.ok else entry.failures + 1
        pause = backoff(entry.failures, FIRST_RETRY, LONGEST_RETRY) if entry.failures else FRESH
        entry.until = self.clock() + pause

    async def _probe(self, namespace: str, location: Location, claim: Claim) -> Reachability:
        try:
            store = await open_store(self.kube, namespace, location, self.allow_local)
            await in_thread(store.demand_locks)
            owner = await in_thread(read_owner, store, location.prefix)
            if owner and not claim.accepts(owner):
                return Reachability(True, "Reachable", "readable; not written to, being another's", False, owner)
            can = await in_thread(store.probe, location.prefix)
            found = await in_thread(store.settings)
        except OperatorError as error:
            return Reachability(False, error.reason, error.message)
        rules = bucket_rules.verdict(found.lifecycle, found.versioned, location.prefix)
        if not can.conditional_writes:
            message = "usable; the server cannot refuse to overwrite an object"
            return Reachability(True, "NoConditionalWrites", message, can.deletes, owner, rules)
        message = f"bucket {location.bucket} can be listed, read and written"
        return Reachability(True, "Reachable", message, can.deletes, owner, rules)

    def _forget_the_gone(self) -> None:
        """Policies are visited at least every resync: an answer that nobody fetched since long has no policy."""
        limit = self.clock() - 3 * max(FRESH, RESYNC)
        for uid in [uid for uid, entry in self._entries.items() if entry.task is None and entry.until < limit]:
            del self._entries[uid]
