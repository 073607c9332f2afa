"""Host names as a pod in the namespace of a resource sees them.

The operator runs in a namespace of its own, where the short name ``postgres`` means another Service or none; the
application and the worker Jobs run where the resource is.
"""

from urllib.parse import urlsplit, urlunsplit


def qualified(host: str, namespace: str) -> str:
    """A name without dots as that of a Service in ``namespace``; addresses and full names stay as they are."""
    short = namespace and "." not in host and ":" not in host and host != "localhost"
    return f"{host}.{namespace}.svc" if short else host


def service_of(host: str, namespace: str) -> tuple[str, str]:
    """Name and namespace of the Service that a host may be, empty when it can be none."""
    name, _, rest = qualified(host, namespace).partition(".")
    where, _, zone = rest.partition(".")
    is_service = zone.partition(".")[0] == "svc" or (where and where == namespace and not zone)
    return (name, where) if is_service else ("", "")


def qualified_url(url: str, namespace: str) -> str:
    """The URL with its host qualified; what is no URL stays as it is."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if qualified(host, namespace) == host:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(host, qualified(host, namespace), 1)))
