"""New values, by chance alone."""

import secrets
import string

from aada_operator.api.credential import Generator

_ALPHABETS = {
    "url-safe": string.ascii_letters + string.digits + "-_",
    "alphanumeric": string.ascii_letters + string.digits,
    "hex": "0123456789abcdef",
}


def generate(wanted: Generator) -> str:
    """A value of the wanted length from the wanted characters, from the system's source of randomness."""
    return "".join(secrets.choice(_ALPHABETS[wanted.alphabet]) for _ in range(wanted.length))
