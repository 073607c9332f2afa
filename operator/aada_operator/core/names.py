"""Host names as a pod in the namespace of a resource sees them.

The operator runs in a namespace of its own, where the short name ``postgres`` means another Service or none; the
application and the worker Jobs run where the resource is.
"""

from urllib.parse import urlsplit, urlunsplit


def qualified(host: str, namespace: str) -> str:
    """A name without dots as that of a Service in ``namespace``; addresses and full names stay as they are."""
    short = namespace and "." not in host and ":" not in host and host != "localhost"
    return f"{host}.{namespace}.svc" if short else host


def qualified_url(url: str, namespace: str) -> str:
    """The URL with its host qualified; what is no URL stays as it is."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if qualified(host, namespace) == host:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(host, qualified(host, namespace), 1)))
