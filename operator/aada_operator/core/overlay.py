"""Merging a user's overlay into a pod template: objects merge deeply, named lists by name, other values replace."""

from typing import Any


def merged(base: Any, over: Any) -> Any:
    """``base`` with ``over`` on top; neither is changed."""
    if isinstance(base, dict) and isinstance(over, dict):
        shared = {name: merged(base[name], value) if name in base else value for name, value in over.items()}
        return base | shared
    if isinstance(base, list) and isinstance(over, list) and _named(base) and _named(over):
        return _merged_by_name(base, over)
    return over


def _named(items: list[Any]) -> bool:
    return all(isinstance(item, dict) and "name" in item for item in items)


def _merged_by_name(base: list[Any], over: list[Any]) -> list[Any]:
    by_name = {item["name"]: item for item in over}
    kept = [merged(item, by_name.pop(item["name"])) if item["name"] in by_name else item for item in base]
    return kept + list(by_name.values())
