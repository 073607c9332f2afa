"""The table of accepted and refused specs, held against the models and the generated schemas."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from aada_operator.api.registry import KINDS, structural_schema
from aada_operator.core.controller import explain
from tests.unit.api.cases import CASES, Case
from tests.unit.api.rotation_cases import MEGABYTE

SPECS = {kind.resource.kind: kind.spec for kind in KINDS}
SCHEMAS = {kind.resource.kind: structural_schema(kind.spec) for kind in KINDS}
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=str)


def problem(case: Case) -> ValidationError | None:
    try:
        SPECS[case.kind].model_validate(case.spec)
    except ValidationError as error:
        return error
    return None


@EVERY_CASE
def test_the_model_accepts_or_refuses(case: Case) -> None:
    assert (problem(case) is None) == case.accepted


REFUSED = [case for case in CASES if not case.accepted]


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_refusal_names_a_field_and_does_not_repeat_what_was_written(case: Case) -> None:
    error = problem(case)
    assert error is not None
    message = explain(error)
    named = ("components", "full", "schedule", "storage", "target", "tables", "type", "secretRef", "verify", "store")
    scaling = ("maxReplicas", "metrics", "calendar", "fallback", "databaseBound")
    rotating = ("strategy", "windowsFrom", "jwt", "emergency", "restart")
    fields = (*named, *scaling, *rotating)
    assert message.startswith(("spec.", *(f"spec: {name}: " for name in fields)))
    assert MEGABYTE[:100] not in message


@EVERY_CASE
def test_the_schema_refuses_nothing_that_the_table_accepts(case: Case) -> None:
    """Rules in CEL and names in maps are the server's own; here the schema alone must not be too strict."""
    if case.accepted_by_server:
        jsonschema.validate(case.spec, SCHEMAS[case.kind], cls=jsonschema.Draft202012Validator)


# What only a rule in CEL, the map by name or the server's strict mode refuses: a cluster test holds them against it.
NOT_BY_SCHEMA = (
    "SecretRotation: no key",
    "a key of another type",
    "a request of another type",
    "a command of another type",
    "a request and a command",
    "a status of a command",
    "a store of another type",
    "a new password at any time",
    "a login in three phases",
    "a signing key in place",
    "any key with two roles",
    "a strategy of another type",
    "a login that nobody is restarted for",
    "a strategy for the data key",
    "an emergency of a type without an overlap",
    "tokens to be revoked of another type",
    "Backup: nothing",
    "Backup: without policyRef",
    "an import from nowhere",
    "an import for a policy",
    "a full backup from elsewhere",
    "an unknown field",
    "a web component only",
    "two of one name",
    "two names for one bucket",
    "another folder of the same bucket",
    "a second bucket under the same name",
    "encryption without a recipient",
    "encryption by nobody said",
    "no encryption for a recipient",
    "no source",
    "incremental without full",
    "retention that says nothing",
    "retention of a count alone",
    "a policy without latest",
    "latest of nothing",
    "latest: false",
    "both sources",
    "a name and latest",
    "a name and latest: false",
    "a cutover that names a database",
    "a cutover's fields without one",
    "a cutover of some tables",
    "a safety backup of what is not replaced",
    "a new server that nobody names",
    "a server for a database beside the live one",
    "a server for a cutover",
    "a new server and another database",
    "a safety backup on a new server",
    "no backup in a bucket",
    "latest: false in a bucket",
    "a name and latest in a bucket",
    "a bucket and a Backup",
    "a bucket and a policy",
    "a bucket and a copy",
    "a cutover from a bucket",
    "a read replica that is nowhere",
    "a read replica in two places",
    "two clocks",
    "more at least than at most",
    "two metrics in one entry",
    "an entry without a metric",
    "a query without a server",
    "the CPU of the database of nobody asked",
    "a fallback to more pods than there may be",
    "a query and the CPU in one entry",
    "hours over midnight",
    "a term that ends before it begins",
    "two exams of one name",
    "exams that end before they begin",
    "two freezes of one name",
    "a freeze with a floor",
    "holidays of nobody",
    "holidays of a state without a country",
)


@pytest.mark.parametrize(
    "case", [c for c in CASES if not c.accepted_by_server and not {c.words, str(c)} & {*NOT_BY_SCHEMA}], ids=str
)
def test_the_schema_refuses_the_rest(case: Case) -> None:
    schema: dict[str, Any] = SCHEMAS[case.kind]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(case.spec, schema, cls=jsonschema.Draft202012Validator)


def test_every_kind_is_in_the_table() -> None:
    assert {case.kind for case in CASES} == SPECS.keys()


def test_every_case_is_another_one() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)
