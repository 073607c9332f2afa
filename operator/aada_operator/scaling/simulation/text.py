"""A replayed day as a table for people, or as JSON for programs; pure."""

import json
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from aada_operator.core.clock import to_rfc3339
from aada_operator.scaling.simulation.findings import Findings, changes, hours
from aada_operator.scaling.simulation.replay import Step


def table(steps: Sequence[Step], found: Findings, zone: ZoneInfo) -> str:
    """The findings, then a line per hour on the school's clocks."""
    lines = [f"{name.replace('_', ' '):<30}{value:g}" for name, value in found.as_dict().items()]
    lines += ["", f"{'hour':<18}{'load':>8}{'bounds':>9}{'pods':>8}  limited by"]
    for hour, part in hours(steps, zone):
        load = max((step.load for step in part if step.load is not None), default=None)
        said = "-" if load is None else f"{load:.2f}"
        bounds = _span(min(step.bounds.min for step in part), max(step.bounds.max for step in part))
        pods = _span(min(step.pods for step in part), max(step.pods for step in part))
        limits = ", ".join(sorted({step.bounds.limited_by for step in part if step.asked > step.bounds.max}))
        lines.append(f"{hour:%Y-%m-%d %H:%M}  {said:>8}{bounds:>9}{pods:>8}  {limits}".rstrip())
    return "\n".join(lines) + "\n"


def _span(least: int, most: int) -> str:
    return str(least) if least == most else f"{least}-{most}"


def as_json(steps: Sequence[Step], found: Findings) -> str:
    """The findings, and every change of the size with what the calendar said then."""
    changed = [
        {"time": to_rfc3339(step.time), "from": before, "to": step.pods, "calendar": step.because}
        for step, before in changes(steps)
    ]
    return json.dumps({"findings": found.as_dict(), "changes": changed}, indent=2) + "\n"
