"""What a bundle makes of an LMS on another server: its roles and objects, led to the new address; pure."""

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from aada_operator.api.bundle import Bundle, DatabaseDefinition, RoleDefinition
from aada_operator.api.data_key import DataKey
from aada_operator.api.lms import Database, Schema
from aada_operator.api.read_replica import READ_URL
from aada_operator.api.restore import ANNOTATION_RESTORED_BY
from aada_operator.api.restore_places import TargetServer
from aada_operator.core.bundle import chunk_key_name, secrets_named
from aada_operator.core.database import DatabaseProperties, Grant, ServerRole, Setting
from aada_operator.core.resources import Object

SCHEMA = Schema()
LMS, POLICY, SECRET = "AadaLms", "BackupPolicy", "Secret"


@dataclass(frozen=True)
class Rebuild:
    """All that is made beside the database.

    ``present`` are references of the objects that are there already, ``required`` names of Secrets that the LMS cannot
    do without, ``username`` is whom the application logs in as by its Secret in the backup.
    """

    server: Database
    lms: str
    roles: tuple[RoleDefinition, ...]
    properties: DatabaseProperties
    secrets: tuple[Object, ...]
    objects: tuple[Object, ...]
    required: tuple[str, ...]
    username: str = ""
    revision_table: str = SCHEMA.revision_table
    present: frozenset[str] = frozenset()

    @property
    def references(self) -> tuple[str, ...]:
        """All objects, as Kind/name, in the order in which they are made."""
        return tuple(map(reference, (*self.secrets, *self.objects)))

    @property
    def makes(self) -> list[str]:
        return [name for name in self.references if name not in self.present]

    @property
    def keeps(self) -> list[str]:
        return [name for name in self.references if name in self.present]

    @property
    def absent_secrets(self) -> list[str]:
        """Secrets that the LMS cannot do without, and that are neither here nor in the backup."""
        return [name for name in self.required if f"{SECRET}/{name}" not in {*self.references, *self.present}]


def reference(body: Object) -> str:
    """An object as Kind/name."""
    return f"{body['kind']}/{body['metadata']['name']}"


def rebuild(bundle: Bundle, server: Database, lms: str, namespace: str, uid: str) -> Rebuild:
    """Everything, before it was looked what is there; ``uid`` is that of the Restore."""
    policies = [_marked(body, namespace, uid) for body in bundle.objects(POLICY)]
    applications = [
        _marked(_on(server, body), namespace, uid) for body in bundle.objects(LMS) if body["metadata"]["name"] == lms
    ]
    # The AadaLms last: once it is there, nothing of what it needs is changed any more.
    objects = [*policies, *applications]
    needed = _needed(objects, server, lms)
    login = server.app_secret(lms)
    secrets = [
        _placed(_to(server, body) if body["metadata"]["name"] == login else body, namespace)
        for body in bundle.objects(SECRET)
        if body["metadata"]["name"] in {*needed, chunk_key_name(lms)}
    ]
    required = [name for name, must in needed.items() if must]
    return Rebuild(
        server=server,
        lms=lms,
        roles=tuple(_harmless(bundle.roles)),
        properties=_properties(bundle.database),
        secrets=tuple(secrets),
        objects=tuple(objects),
        required=tuple(required),
        username=_username(bundle, login),
        revision_table=_revision_table(applications),
    )


def _username(bundle: Bundle, secret: str) -> str:
    found: Iterator[Object] = (b["data"] for b in bundle.objects(SECRET) if b["metadata"]["name"] == secret)
    return base64.b64decode(next(found, {}).get("username", "")).decode(errors="replace")


def _revision_table(applications: list[Object]) -> str:
    schema = next((body["spec"].get("schema") for body in applications), None) or {}
    return str(schema.get("revisionTable", SCHEMA.revision_table))


def database(bundle: Bundle, target: TargetServer, name: str, lms: str) -> Database:
    """The database on the new server, under its own name; its application's Secret is called as the AadaLms says."""
    own = next((body for body in bundle.objects(LMS) if body["metadata"]["name"] == lms), {})
    before = (own.get("spec") or {}).get("database") or {}
    # Not validated: the name is that of a database which was there, whatever names a new one may have.
    return Database.model_construct(
        host=target.host,
        port=target.port,
        name=name,
        ssl_mode=target.ssl_mode,
        ca_secret_ref=target.ca_secret_ref,
        admin_secret_ref=target.admin_secret_ref,
        app_secret_name=before.get("appSecretName"),
        data_key=DataKey.model_validate(before["dataKey"]) if before.get("dataKey") else None,
    )


def _needed(objects: Iterable[Object], server: Database, lms: str) -> dict[str, bool]:
    """The Secrets that the objects name; True: they cannot do without. Certificates may be made later."""
    applications = [body["spec"] for body in objects if body["kind"] == LMS]
    certificates = {
        component.get("tlsSecretName") or f"{lms}-{component.get('name')}-tls"
        for spec in applications
        for component in spec.get("components") or []
    }
    named = secrets_named([body["spec"] for body in objects]) | {server.app_secret(lms): True}
    return dict.fromkeys(certificates, False) | {n: must and n not in certificates for n, must in named.items()}


def _harmless(roles: Iterable[RoleDefinition]) -> list[RoleDefinition]:
    """Without superusers, and without what reaches beyond the database."""
    made = [role for role in roles if not role.superuser]
    names = {role.name for role in made}
    return [
        role.model_copy(
            update={
                "replication": False,
                "bypass_rls": False,
                "member_of": [m for m in role.member_of if m.role in names or m.role.startswith("pg_")],
            }
        )
        for role in made
    ]


def _properties(database: DatabaseDefinition) -> DatabaseProperties:
    return DatabaseProperties(
        owner=database.owner,
        connection_limit=database.connection_limit,
        grants=frozenset(Grant(one.grantee, one.privilege, one.grantable) for one in database.grants),
        settings=frozenset(Setting(one.role, one.name, one.value) for one in database.settings),
    )


def _marked(body: Object, namespace: str, uid: str) -> Object:
    """With a note of who made it, in the namespace of the Restore."""
    placed = _placed(body, namespace)
    annotations = (placed["metadata"].get("annotations") or {}) | {ANNOTATION_RESTORED_BY: uid}
    return placed | {"metadata": placed["metadata"] | {"annotations": annotations}}


def _placed(body: Object, namespace: str) -> Object:
    return body | {"metadata": body["metadata"] | {"namespace": namespace}}


def _on(server: Database, body: Object) -> Object:
    """The AadaLms with the address of the new server, and no pooler before the lost one; the rest stays."""
    address = server.model_dump(by_alias=True, mode="json", include=set(_ADDRESS), exclude_none=True)
    kept = {k: v for k, v in (body["spec"].get("database") or {}).items() if k not in ("caSecretRef", "pooler")}
    # The lost replica stays declared, so that the Service is there which the application's URL names.
    if replica := kept.get("readReplica"):
        kept |= {"readReplica": {k: v for k, v in replica.items() if k != "sslMode"}}
    return body | {"spec": body["spec"] | {"database": kept | address}}


_ADDRESS = ("host", "port", "ssl_mode", "ca_secret_ref", "admin_secret_ref")


def _to(server: Database, secret: Object) -> Object:
    """The application's Secret with the address of the new server; user and password stay."""
    data = {key: base64.b64decode(value).decode(errors="replace") for key, value in secret["data"].items()}
    led = {
        "host": server.host,
        "port": str(server.port),
        "url": _led(data.get("url", ""), server, server.host),
        READ_URL: _led(data.get(READ_URL, ""), server, ""),
    }
    changed = {key: value for key, value in led.items() if key in data}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in changed.items()}
    return secret | {"data": secret["data"] | encoded}


def _led(url: str, server: Database, host: str) -> str:
    """A database's URL with another port and sslmode, and another host if one is given; what is none stays as it is."""
    parts = urlsplit(url)
    if not parts.netloc:
        return url
    host = host or parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    user, at, _ = parts.netloc.rpartition("@")
    options = [(name, value) for name, value in parse_qsl(parts.query) if name != "sslmode"]
    options += [] if server.ssl_mode == "disable" else [("sslmode", server.ssl_mode)]
    return urlunsplit(parts._replace(netloc=f"{user}{at}{host}:{server.port}", query=urlencode(options)))


def roles_to_make(wanted: Iterable[RoleDefinition], there: Mapping[str, ServerRole], mark: str) -> list[RoleDefinition]:
    """Those that are missing, and those of this ``mark`` that are not as wanted; others belong to somebody else."""
    return [
        role
        for role in wanted
        if role.name not in there
        or (there[role.name].comment == mark and not _is_as(role, there[role.name].definition))
    ]


def _is_as(wanted: RoleDefinition, found: RoleDefinition) -> bool:
    """Whether a role has all attributes, memberships and settings; more of the latter two do no harm."""
    lists: Object = {"member_of": [], "settings": []}
    same = wanted.model_copy(update=lists) == found.model_copy(update=lists)
    joined = all(membership in found.member_of for membership in wanted.member_of)
    return same and joined and all(setting in found.settings for setting in wanted.settings)
