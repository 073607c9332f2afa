"""The plan of a Restore: what an approval approves, in a hash and in words; pure."""

import hashlib
import json
from collections.abc import Sequence

from aada_operator.api.lms import Database
from aada_operator.core.resources import Object
from aada_operator.restores.decide import Candidate, address
from aada_operator.restores.rebuild import Rebuild

HASH_LENGTH = 16
_LONGEST_SUMMARY, _MOST_NAMED = 4096, 5
_VERIFIED = {"True": "verified", "False": "its verification FAILED"}


def plan(
    candidate: Candidate,
    database: Database,
    name: str,
    old: str = "",
    tables: Sequence[str] = (),
    rebuild: Rebuild | None = None,
) -> Object:
    """``status.plan``: what an approval approves. Its hash changes with the backup's content, name and server.

    ``old`` is what the live database is called after a Cutover; empty: it is not touched. ``tables``: only these.
    ``rebuild`` is what is made on the way to a new server.
    """
    status = candidate.status
    facts = [candidate.name, status.manifest_sha256, name, database.host, database.port]
    facts += [database.name, old] if old else []
    facts += ["NewServer", *rebuild.references] if rebuild else []
    facts += [f"copy={candidate.copy}"] if candidate.copy else []
    facts += tables
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:HASH_LENGTH]
    planned = {
        "hash": digest,
        "backup": candidate.name,
        "lms": status.lms,
        "policy": candidate.policy,
        "database": name,
        "schemaRevision": status.schema_revision,
        "summary": _summary(candidate, database, name, old, tables, rebuild),
    }
    new_server: Object = {"makes": rebuild.makes, "keeps": rebuild.keeps} if rebuild else {}
    cutover = {"replaces": database.name, "oldDatabase": old, "address": address(database)} if old else {}
    point = {"recoveryPoint": status.recoverable_from} if status.recoverable_from else {}
    return planned | new_server | cutover | point


def _summary(
    candidate: Candidate, database: Database, name: str, old: str, chosen: Sequence[str], rebuild: Rebuild | None
) -> str:
    status = candidate.status
    tables = f"{status.tables.count} tables, {status.tables.rows} rows, " if status.tables else ""
    revision = f", schema revision {status.schema_revision}" if status.schema_revision else ""
    verified = _VERIFIED.get(candidate.verified, "not verified")
    moment = status.recoverable_from or "its snapshot"
    some = f"{', '.join(chosen[:_MOST_NAMED])}{_more(chosen)} of " if chosen else ""
    small = ", and LESS THAN HALF as large as the one before" if candidate.suspicious else ""
    facts = f"{tables}{status.size}{revision}; {verified}{small}{_where(candidate)}"
    content = f"{some}Backup {candidate.name} ({facts}), the content as of {moment}, "
    server = f"{database.host}:{database.port}"
    if rebuild:
        kept = f"; left as they are: {', '.join(rebuild.keeps)}" if rebuild.keeps else ""
        made = ", ".join(rebuild.makes) or "nothing in this namespace"
        roles = f"{len(rebuild.roles)} roles"
        return f"{content}goes to database {name} on {server} with {roles}; made: {made}{kept}"[:_LONGEST_SUMMARY]
    if not old:
        return f"{content}goes into the new database {name} on {server}; database {database.name} is not touched"
    return (
        f"{content}takes the place of database {database.name} on {server}: what was written after that moment is "
        f"in it no longer. The present one is kept as {old}. Every session is ended for a moment; an older schema "
        f"is then migrated forward by AadaLms {status.lms}"
    )


def _where(candidate: Candidate) -> str:
    """Which of its places is read, and which other ones there are."""
    if candidate.copy:
        return f"; read from its copy in {candidate.copy}"
    others = ", ".join(candidate.copied_to)
    return f"; source.copy would read it from {others}" if others else ""


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
