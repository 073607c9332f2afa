"""Small things that were packed with zstd inside age: opened whole, in memory."""

import hashlib
from typing import TypeAlias

import pyrage
import zstandard
from pydantic import ValidationError
from pyrage import x25519

from aada_operator.api.bundle import Bundle
from aada_operator.api.manifest import Part
from aada_operator.api.task import CORRUPT, WRONG_KEY
from aada_operator.core.errors import Stalled

Identity: TypeAlias = x25519.Identity


def parse_identities(text: str | None) -> "list[Identity]":
    """age private keys from a file as `aada-operator keygen` or `age-keygen` write it; comments are left out.

    Raises:
        Stalled: WrongKey, there is no identity, or what there is is none.
    """
    lines = [line.strip() for line in (text or "").splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise Stalled(WRONG_KEY, "the backup is encrypted and no identity is mounted: name its Secret")
    try:
        return [x25519.Identity.from_str(key) for key in keys]
    except pyrage.IdentityError:
        raise Stalled(WRONG_KEY, "the identity Secret holds no age private key (AGE-SECRET-KEY-1...)") from None


def open_sealed(data: bytes, plain_size: int, identities: "list[Identity]") -> bytes:
    """What `Sealer.seal` was given, of which ``plain_size`` bytes are expected.

    Raises:
        Stalled: WrongKey, Corrupt.
    """
    try:
        compressed = pyrage.decrypt(data, identities) if identities else data
        plain = zstandard.ZstdDecompressor().decompress(compressed, max_output_size=plain_size)
    except (pyrage.DecryptError, zstandard.ZstdError) as error:
        raise refusal(error) from None
    if len(plain) != plain_size:
        raise Stalled(CORRUPT, f"a part holds {len(plain)} bytes instead of {plain_size}; use another backup")
    return plain


def refusal(error: Exception) -> Stalled:
    """One of ours for what the libraries say."""
    if isinstance(error, pyrage.DecryptError) and "No matching keys" in str(error):
        return Stalled(WRONG_KEY, "the identity is not of a recipient of this backup: name the right Secret")
    return Stalled(CORRUPT, "a part is damaged: it does not decrypt or decompress; use another backup")


def open_bundle(data: bytes, part: Part, identities: "list[Identity]") -> Bundle:
    """The document in an object.

    Raises:
        Stalled: WrongKey, Corrupt.
    """
    if hashlib.sha256(data).hexdigest() != part.sha256:
        raise Stalled(CORRUPT, f"part {part.key} is not what was written: its hash differs; use another backup")
    try:
        return Bundle.model_validate_json(open_sealed(data, part.plain_size, identities))
    except ValidationError:
        # Its text would quote what it found.
        raise Stalled(CORRUPT, "the bundle is no document of this format; use another backup") from None
