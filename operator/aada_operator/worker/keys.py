"""``aada-operator keygen``: an age key pair for a person to keep; the operator itself never makes one."""

import os
import sys
from pathlib import Path

from pyrage import x25519


def keygen() -> tuple[str, str]:
    """A new identity (secret) and its recipient (public)."""
    identity = x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def main(out: Path | None) -> int:
    """Write the identity to ``out``, readable by its owner only, or to standard output; returns the exit code.

    Raises:
        FileExistsError: ``out`` exists: losing a key loses the backups made for it.
    """
    identity, recipient = keygen()
    text = f"# public key: {recipient}\n{identity}\n"
    if out is None:
        sys.stdout.write(text)
        return 0
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    sys.stdout.write(f"{recipient}\n")
    return 0
