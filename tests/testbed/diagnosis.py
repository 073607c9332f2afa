"""Why a node does not come up: the part that keeps ending, its last errors, and the way out where it is known."""

from __future__ import annotations

import re
from pathlib import Path

LINES = 6
# What is found in a log, and what helps.
KNOWN_CAUSES = {
    r"inotify|too many open files": "the machine's inotify instances are used up, of which a cluster needs about 20: "
    "take another cluster down, or `sysctl fs.inotify.max_user_instances=512`",
    r"no space left on device": "the disk is full: `df -h` of the cache folder shows it",
}


def explain(logs: Path) -> str:
    """The component that ended last, its last errors, and what helps when the cause is a known one."""
    ended = re.findall(r"^(\S+) ended with", (logs / "node.log").read_text(), re.MULTILINE)
    component = ended[-1] if ended else "node"
    lines = (logs / f"{component}.log").read_text(errors="replace").splitlines()
    errors = [line for line in lines if re.search(r"^[EF]\d{4} |error|panic|failed", line, re.IGNORECASE)] or lines
    shown = "\n".join(f"    {line[:300]}" for line in errors[-LINES:])
    hints = [f"\n  {text}" for pattern, text in KNOWN_CAUSES.items() if re.search(pattern, shown)]
    return f"{component} {f'ended {ended.count(component)} times' if ended else 'says'}:\n{shown}{''.join(hints)}"
