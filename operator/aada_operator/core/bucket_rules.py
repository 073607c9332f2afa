"""Whether the bucket's own rules leave backups and users' files alone: pure.

A rule that removes old objects knows nothing of backups: an incremental one names chunks that may be a year old, and
only `spec.retention` knows which of them are needed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from aada_operator.core.conditions import Truth

# Objects there must be asked for hours before they can be read (S3 storage classes).
_ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")


def verdict(
    lifecycle: Sequence[Mapping[str, Any]] | None, versioned: bool | None, folder: str
) -> tuple[Truth, str, str]:
    """Status, reason and message of the condition, for the backups below ``folder``."""
    if lifecycle is None:
        return "Unknown", "NotTold", "the server or its key does not tell lifecycle rules: look at them yourself"
    if harmful := harmful_rules(lifecycle, folder):
        named = ", ".join(harmful[:3])
        message = f"lifecycle rule {named} deletes or archives objects below {folder}: remove it; use spec.retention"
        return "False", "LifecycleDeletes", message
    advice = "" if versioned is not False else "; with versioning on, a deletion by mistake could be undone"
    return "True", "LeftAlone", f"no lifecycle rule touches the backups{advice}"


def harmful_rules(lifecycle: Sequence[Mapping[str, Any]], folder: str, *, old_versions: bool = False) -> list[str]:
    """Names of the rules that delete or archive objects below ``folder``; ``old_versions``: or old versions of them."""
    harmful = [rule for rule in lifecycle if _harms(rule, folder) or (old_versions and _thins(rule, folder))]
    return [str(rule.get("ID") or "without a name")[:64] for rule in harmful]


def _harms(rule: Mapping[str, Any], folder: str) -> bool:
    if not _speaks_of(rule, folder):
        return False
    expiration = rule.get("Expiration") or {}
    archived = any(one.get("StorageClass") in _ARCHIVES for one in rule.get("Transitions") or ())
    return "Days" in expiration or "Date" in expiration or archived


def _thins(rule: Mapping[str, Any], folder: str) -> bool:
    moved = rule.get("NoncurrentVersionTransitions") or ()
    archived = any(one.get("StorageClass") in _ARCHIVES for one in moved)
    return _speaks_of(rule, folder) and (bool(rule.get("NoncurrentVersionExpiration")) or archived)


def _speaks_of(rule: Mapping[str, Any], folder: str) -> bool:
    return rule.get("Status") == "Enabled" and _covers(rule, f"{folder}/")


def _covers(rule: Mapping[str, Any], folder: str) -> bool:
    """Whether a rule may speak of an object below the folder; ours have no tags."""
    chosen = rule.get("Filter") or {}
    both = chosen.get("And") or {}
    if "Tag" in chosen or both.get("Tags"):
        return False
    prefix = both.get("Prefix") or chosen.get("Prefix") or rule.get("Prefix") or ""
    return folder.startswith(prefix) or prefix.startswith(folder)
