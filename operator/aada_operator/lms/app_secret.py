"""The Secret with the application's credentials: where it is made, and how it tells for whom."""

import base64
from urllib.parse import quote, urlencode

from aada_operator.api.common import GROUP
from aada_operator.api.lms import AadaLmsSpec, Database, Pooler
from aada_operator.api.read_replica import READ_URL, service_name
from aada_operator.core.database import Names
from aada_operator.core.resources import SECRETS, Object
from aada_operator.lms import pod

ANNOTATION_MADE_FOR = f"{GROUP}/made-for"


def manifest(owner: Object, spec: AadaLmsSpec, names: Names, password: str) -> Object:
    """The Secret to be made; it has no owner, so that it outlives the AadaLms as its database does."""
    lms, database = owner["metadata"]["name"], spec.database
    labels = pod.child_labels(lms)
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {
            "name": spec.database.app_secret(lms),
            "namespace": owner["metadata"]["namespace"],
            "labels": labels,
            "annotations": {ANNOTATION_MADE_FOR: owner["metadata"]["uid"]},
        },
        "type": "Opaque",
        "stringData": {
            "url": url(database, names.login, password),
            "host": database.entrance.host,
            "port": str(database.entrance.port),
            "name": database.name,
            "username": names.login,
            "password": password,
            **({READ_URL: read_url(lms, database, names.login, password)} if database.read_replica else {}),
        },
    }


def url(database: Database, username: str, password: str) -> str:
    """The database's URL for the application, every part percent-encoded."""
    login = f"{quote(username, safe='')}:{quote(password, safe='')}"
    return _url(database, database.entrance, login)


def read_url(lms: str, database: Database, username: str, password: str) -> str:
    """The URL that the application reads with: never past a pooler, through the Service of the replica."""
    replica = database.read_replica
    ssl_mode = (replica.ssl_mode if replica else None) or database.ssl_mode
    place = f"{service_name(lms)}:{database.port}"
    return _written(database, place, f"{quote(username, safe='')}:{quote(password, safe='')}", ssl_mode)


def server_url(database: Database, login: str) -> str:
    """The same past a pooler; ``login`` is put in as it is."""
    return _url(database, database, login)


def _url(database: Database, place: Database | Pooler, login: str) -> str:
    host = f"[{place.host}]" if ":" in place.host else place.host
    return _written(database, f"{host}:{place.port}", login, database.ssl_mode)


def _written(database: Database, place: str, login: str, ssl_mode: str) -> str:
    query = "" if ssl_mode == "disable" else "?" + urlencode({"sslmode": ssl_mode})
    return f"{database.url_scheme}://{login}@{place}/{quote(database.name, safe='')}{query}"


def made_for(secret: Object | None, uid: str) -> bool:
    """Whether a Secret was made here for this very AadaLms, and not given by somebody."""
    annotations = (secret or {}).get("metadata", {}).get("annotations") or {}
    return bool(annotations.get(ANNOTATION_MADE_FOR) == uid)


def login(secret: Object | None) -> str:
    """The role that a Secret names, empty when there is none."""
    try:
        return base64.b64decode(((secret or {}).get("data") or {}).get("username", "")).decode()
    except ValueError:
        return ""
