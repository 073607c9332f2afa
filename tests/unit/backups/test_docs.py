"""docs/backups.md tells every reason that a Backup or a policy can show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aada_operator.api import task

PAGE = (Path(__file__).parents[3] / "docs" / "backups.md").read_text()
SOURCES = Path(task.__file__).parents[1]
# Of restores only, or never the reason of a condition that a user meets.
ELSEWHERE = {
    "TableNotFound",
    "DataKeyMismatch",
    "TargetExists",
    "ApiServerUnreachable",
    "Pending",
    "Starting",
    "UnderWay",
    "NotCompleted",
    "Probing",
    "ResultUnreadable",
}


def said_by_workers() -> set[str]:
    return {value for name, value in vars(task).items() if name.isupper() and isinstance(value, str)}


def said_by_reconcilers() -> set[str]:
    """What the sources hand to conditions, holds and errors: CamelCase words in quotes, with what follows."""
    pattern = re.compile(r'(?:set\([^)\n]*?|Hold\(|Stalled\(\s*|Waiting\(|, reason=|not_verified\(visit, |return )"'
                         r'([A-Z][A-Za-z]{4,})", ')  # fmt: skip
    files = [*(SOURCES / "policies").glob("*.py"), *(SOURCES / "backups").glob("*.py")]
    return {
        reason for file in files for reason in pattern.findall(file.read_text()) if reason not in ("False", "Unknown")
    }


@pytest.mark.parametrize("reason", sorted((said_by_workers() | said_by_reconcilers()) - ELSEWHERE))
def test_the_page_explains(reason: str) -> None:
    assert f"`{reason}`" in PAGE
