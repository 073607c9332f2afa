"""What can be seen of running processes from outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def children_of(pid: int) -> Iterator[int]:
    """All processes below a process."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        found = [int(word) for task in tasks for word in (task / "children").read_text().split()]
    except OSError:
        return
    for child in found:
        yield child
        yield from children_of(child)


def visible_of(pid: int) -> set[str]:
    """What other users of the machine can see of a process, and what its environment holds."""
    texts = set()
    for name in ("cmdline", "environ"):
        try:
            texts.add(Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return texts


def program_of(pid: int) -> str:
    """Name of the program of a process, empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def stands_still(pid: int) -> bool:
    """Every thread of a process has stopped: a signal only asks for it, and one on another processor goes on."""
    try:
        states = [state.read_text().rpartition(") ")[2] for state in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:  # a thread has ended meanwhile
        return False
    return bool(states) and all(state.startswith("T") for state in states)


def peak_of(pid: int) -> int:
    """Bytes that a process has had in memory at most, 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    kilobytes = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(kilobytes[0]) * 1024 if kilobytes else 0


def programs_of(folder: Path) -> Iterator[int]:
    """The processes whose arguments or environment name a folder."""
    for process in Path("/proc").glob("[0-9]*"):
        if any(str(folder) in text for text in visible_of(int(process.name))):
            yield int(process.name)
