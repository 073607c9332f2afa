"""What runs inside Jobs: backup, verification and restore. A worker knows no Kubernetes: task in, outcome out."""

from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Do one task, see `entry.main`; imported late, so that other commands do not load the clients."""
    from aada_operator.worker.entry import main as run

    return run(arguments)
