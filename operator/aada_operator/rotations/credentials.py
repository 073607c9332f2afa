"""The content of the application's Secret with another login in it; pure, and nothing here is ever shown."""

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from aada_operator.core.errors import Stalled

# A shorter password may well be a part of something else.
_TELLING = 8
_USER_KEY = re.compile(r"user|login|role", re.IGNORECASE)


def rewritten(data: Mapping[str, str], username: str, password: str) -> dict[str, str]:
    """The Secret's values with another login: username and password, users in other keys, URLs with the old one.

    A key tells a user by its name: the database may well be called as the old login is.

    Raises:
        Stalled: SecretNotRewritable, another key holds the old password in a form that is not known.
    """
    old_user, old_password = data["username"], data["password"]
    values = {}
    for key, value in data.items():
        if key in ("username", "password"):
            values[key] = username if key == "username" else password
        elif value == old_user and _USER_KEY.search(key):
            values[key] = username
        elif (url := _with_login(value, (old_user, old_password), (username, password))) is not None:
            values[key] = url
        elif len(old_password) >= _TELLING and (old_password in value or quote(old_password, safe="") in value):
            message = f"key {key} of the application's Secret holds the password in no URL: take it out, or write a URL"
            raise Stalled("SecretNotRewritable", message)
        else:
            values[key] = value
    return values


def _with_login(value: str, old: tuple[str, str], new: tuple[str, str]) -> str | None:
    """A URL with another login; None for what is no URL with the old one."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    login, at, address = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    if not at or (unquote(username), unquote(password)) != old:
        return None
    quoted = ":".join(quote(part, safe="") for part in new)
    return urlunsplit(parts._replace(netloc=f"{quoted}@{address}"))
