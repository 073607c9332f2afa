"""The times in which a school is closed, from the iCalendar file that a policy names.

A file that cannot be had or read closes nothing: load and the rest of the schedule go on. The file is looked at in
every visit, and read anew when it or the day has changed.
"""

import asyncio
import hashlib
import json
import os
import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from aada_operator.adapters.kube import Kube
from aada_operator.api.calendar import Calendar, CalendarFile
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import CONFIG_MAPS
from aada_operator.scaling.calendar import HORIZON
from aada_operator.scaling.ical import COSTLY, BadCalendar, Closures
from aada_operator.scaling.wall import Interval

# What the process that reads gets: seconds of a processor, bytes of memory.
CPU_SECONDS = 10
MEMORY = 256 * 2**20
# Seconds for a process that gets too little of a processor to reach its own limit.
PATIENCE = 60.0
_TWO_DAYS = timedelta(days=2)
# All that the process needs to start; the rest of the environment is not for one who reads what others wrote.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")


@dataclass
class ClosureReader:
    """Reads files; what it has read of each is kept while neither the file nor the day changes."""

    kube: Kube
    # By namespace, time zone and file: what was asked last, as a hash, and what came of it.
    _known: dict[tuple[str, str, CalendarFile], tuple[bytes, Closures]] = field(default_factory=dict)

    async def look(self, namespace: str, calendar: Calendar | None, now: datetime) -> Closures:
        """The times from two days ago to the calendar's horizon."""
        file = calendar.holidays.config_map_ref if calendar and calendar.holidays else None
        if calendar is None or file is None:
            return Closures()
        try:
            place = namespace, calendar.time_zone, file
            request = _request(await self._text(namespace, file), calendar.time_zone, now)
            asked = hashlib.sha256(request).digest()
            known = self._known.get(place)
            if known is None or known[0] != asked:
                known = self._known[place] = asked, await _read(request, file)
            return known[1]
        except Waiting as waiting:
            return Closures(reason=waiting.reason, message=waiting.message)

    async def _text(self, namespace: str, file: CalendarFile) -> str:
        """The file as it is now.

        Raises:
            Waiting: ConfigMapMissing, KeyMissing, or why the API server does not give it.
        """
        found = await self.kube.get(CONFIG_MAPS, namespace, file.name)
        if found is None:
            raise Waiting("ConfigMapMissing", f"ConfigMap {file.name} does not exist: create it")
        text = (found.get("data") or {}).get(file.key)
        if text is None:
            raise Waiting("KeyMissing", f"ConfigMap {file.name} has no text under {file.key}: add it, in UTF-8")
        return str(text)


def _request(text: str, zone: str, now: datetime) -> bytes:
    today = now.astimezone(ZoneInfo(zone)).date()
    window = {"first": str(today - _TWO_DAYS), "last": str(today + HORIZON + _TWO_DAYS)}
    return json.dumps({"text": text, "zone": zone, **window, "cpuSeconds": CPU_SECONDS, "memory": MEMORY}).encode()


async def _read(request: bytes, file: CalendarFile) -> Closures:
    try:
        return Closures(times=await expand(request))
    except BadCalendar as bad:
        return Closures(reason=bad.reason, message=f"{file.key} of ConfigMap {file.name}: {bad}")


async def expand(request: bytes) -> tuple[Interval, ...]:
    """Have a file read by a process with bounded time and memory.

    Raises:
        BadCalendar: the reasons of `closed_times`.
        Waiting: the same, of a file that may be good: this machine is too busy.
    """
    try:
        code, output = await _run(request)
    except OSError:  # a TimeoutError is one, too
        raise Waiting(COSTLY, "its events were not read in a minute: is the operator short of CPU?") from None
    if code != 0:
        raise BadCalendar(COSTLY, "its events take too long, or too much memory: repeat them by day, not by hour")
    answer = json.loads(output)
    if "reason" in answer:
        raise BadCalendar(answer["reason"], answer["message"])
    return tuple((datetime.fromisoformat(begin), datetime.fromisoformat(end)) for begin, end in answer["times"])


async def _run(request: bytes) -> tuple[int | None, bytes]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "aada_operator.scaling.ical", stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL,
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(request), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output
