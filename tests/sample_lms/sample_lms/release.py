"""The application's releases, and the command that turns this source tree into one of them.

An image holds exactly one release: its migrations and nothing later, so that an older image
really does not know a newer schema revision.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parent
VERSION_FILE = PACKAGE / "VERSION"


@dataclass(frozen=True)
class Release:
    """What distinguishes one release from the others."""

    schema_head: str
    """The newest schema revision that the release ships and needs."""
    announcements: bool = False
    starts: bool = True


RELEASES = {
    "v1.2.3": Release(schema_head="0002"),
    "v1.3.0": Release(schema_head="0003", announcements=True),
    "v1.4.0-crash": Release(schema_head="0003", announcements=True, starts=False),
}


def current_version() -> str:
    """Return the version of this tree; FileNotFoundError when it was never made into a release."""
    return VERSION_FILE.read_text().strip()


def make_release(version: str) -> None:
    """Delete the migrations that `version` does not have, and record the version; KeyError if there is no such one."""
    release = RELEASES[version]
    for migration in (PACKAGE / "migrations" / "versions").glob("[0-9]*.py"):
        if migration.stem.split("_")[0] > release.schema_head:
            migration.unlink()
    VERSION_FILE.write_text(f"{version}\n")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in RELEASES:
        sys.exit(f"usage: python -m sample_lms.release {{{','.join(RELEASES)}}}")
    make_release(sys.argv[1])
