"""Specs of a SecretRotation that must be accepted or refused: words, whether, by whom, and what differs."""

from __future__ import annotations

from typing import Any, Literal

MEGABYTE = "x" * 2**20
_MONTHLY: dict[str, Any] = {"schedule": "0 4 1 * *"}
_GENERIC: dict[str, Any] = {"type": "Generic", "secretRef": {"name": "mail", "key": "password"}}
_STORE = {"awsSecretsManager": {"secretId": "school/database", "credentialsSecretRef": {"name": "aws"}}}
_CONSUMERS = [{"kind": "Deployment", "name": "reports"}, {"kind": "StatefulSet", "name": "search"}]

ROTATIONS: tuple[tuple[str, bool, Literal["both", "operator"], dict[str, Any]], ...] = (
    ("the data key", True, "both", {"type": "DataEncryptionKey"}),
    ("a credential that is none", False, "both", {"type": "JwtKey"}),
    ("the signing key", True, "both",
     {"type": "JwtSigningKey", "jwt": {"variable": "KEY", "acceptedVariable": "KEYS"}}),
    ("a variable with a blank", False, "both", {"type": "JwtSigningKey", "jwt": {"variable": "MY KEY"}}),
    ("the signing key of an application that knows one only", True, "both",
     {"type": "JwtSigningKey", "strategy": "BlueGreen"}),
    ("the strategy that a type has anyway", True, "both", {"strategy": "AlternatingRoles"}),
    ("a strategy of another type", False, "both", {"strategy": "BlueGreen"}),
    ("a strategy for the data key", False, "both", {"type": "DataEncryptionKey", "strategy": "ThreePhase"}),
    ("a strategy that is none", False, "both", {"type": "JwtSigningKey", "strategy": "Canary"}),
    ("a login that leaked", True, "both", {"emergency": True}),
    ("a key that leaked, with tokens to be revoked", True, "both",
     {"type": "JwtSigningKey", "emergency": True, "jwt": {"revokeSql": "DELETE FROM refresh_tokens"}}),
    ("an emergency of a type without an overlap", False, "both", _GENERIC | {"emergency": True}),
    ("no emergency of a type without an overlap", True, "both", _GENERIC | {"emergency": False}),
    ("tokens to be revoked of another type", False, "both", {"jwt": {"revokeSql": "DELETE FROM refresh_tokens"}}),
    ("tokens to be revoked by nothing", False, "both", {"type": "JwtSigningKey", "jwt": {"revokeSql": ""}}),
    ("any key", True, "both", _GENERIC),
    ("any key, made and asked for", True, "both",
     _GENERIC | {"generator": {"length": 64, "alphabet": "hex"}, "verify": {"component": "backend", "path": "/ready"}}),
    ("no key", False, "both", {"type": "Generic"}),
    ("a key of another type", False, "both", {"secretRef": {"name": "mail", "key": "password"}}),
    ("a request of another type", False, "both", {"verify": {"component": "backend"}}),
    ("a request to no path", False, "both", _GENERIC | {"verify": {"component": "backend", "path": "ready"}}),
    ("a value that is short", False, "both", _GENERIC | {"generator": {"length": 8}}),
    ("characters that are none", False, "both", _GENERIC | {"generator": {"alphabet": "emoji"}}),
    ("a store", True, "both", {"store": _STORE}),
    ("a store of another type", False, "both", {"type": "JwtSigningKey", "store": _STORE}),
    ("a store without keys", False, "both", {"store": {"awsSecretsManager": {"secretId": "school/database"}}}),
    ("no store", False, "both", {"store": {}}),
    ("a schedule", True, "both", _MONTHLY | {"timeZone": "Europe/Berlin"}),
    ("a schedule of four fields", False, "both", {"schedule": "0 4 1 *"}),
    ("a schedule with a minute 61", False, "operator", {"schedule": "61 4 1 * *"}),
    ("a time zone that is none", False, "operator", _MONTHLY | {"timeZone": "Europe/Atlantis"}),
    ("a highest age", True, "both", {"maxAge": "30d"}),
    ("a highest age of forever", False, "both", {"maxAge": "forever"}),
    ("two clocks", False, "both", _MONTHLY | {"maxAge": "30d"}),
    ("no canary", True, "both", {"canary": False}),
    ("consumers", True, "both", {"consumers": _CONSUMERS}),
    ("a consumer that reads anew by itself", False, "both", {"consumers": [{"kind": "CronJob", "name": "nightly"}]}),
    ("a consumer without a name", False, "both", {"consumers": [{"kind": "Deployment"}]}),
    ("a consumer whose name is none", False, "both", {"consumers": [{"kind": "Deployment", "name": "Reports!"}]}),
    ("twenty-one consumers", False, "both", {"consumers": _CONSUMERS[:1] * 21}),
    ("other times", True, "both", {"drainTimeout": "30m", "gracePeriod": "26h"}),
    ("a grace period in words", False, "both", {"gracePeriod": "a day"}),
    ("a drain timeout of a megabyte", False, "both", {"drainTimeout": MEGABYTE}),
    ("a long history", True, "both", {"historyLimit": 20}),
    ("a history of none", False, "both", {"historyLimit": 0}),
    ("a history too long", False, "both", {"historyLimit": 21}),
    ("suspended", True, "both", {"suspend": True}),
)  # fmt: skip
