"""Files that are made from others: `make generate` writes them, a test says when one is stale.

The models of the API make the CRDs, the chart makes the plain manifests, the chart's values and permissions make the
tables of docs/install.md.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from aada_operator.__main__ import main as aada_operator
from tests.testbed.layout import CHECKOUT, Layout
from tests.testbed.programs import build_programs
from tests.testbed.versions import HELM

CHART = CHECKOUT / "chart"
GUIDE = CHECKOUT / "docs" / "install.md"
HEADER = "# Rendered from chart/ by `make generate`; not to be edited.\n"


def helm_template(*options: str) -> str:
    """The chart rendered as release ``aada-operator`` in ``aada-system``.

    Raises subprocess.CalledProcessError, whose stderr says why, when values are refused.
    """
    layout = Layout.current()
    build_programs(layout, [HELM])
    argv = [str(layout.program(HELM)), "template", "aada-operator", str(CHART), "--namespace=aada-system", *options]
    return subprocess.run(argv, capture_output=True, encoding="utf-8", check=True).stdout


def rendered(*options: str) -> list[dict[str, Any]]:
    """The chart's objects."""
    return [body for body in yaml.safe_load_all(helm_template(*options)) if body]


def install_manifest() -> str:
    """All objects of a plain installation, CRDs too."""
    return HEADER + helm_template()


def guide() -> str:
    """docs/install.md with its tables made anew; the text around them stays."""
    text = GUIDE.read_text()
    for name, table in {"values": values_table, "permissions": permissions_table}.items():
        begin, end = f"<!-- {name}: made by `make generate` -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        text = before + begin + table() + end + rest.partition(end)[2]
    return text


def values_table() -> str:
    """Every value of the chart with its default and the comment above it."""
    rows = (f"| `{path}` | `{default}` | {text} |" for path, default, text in documented_values())
    return "\n".join(["| value | default | what it does |", "|---|---|---|", *rows, ""])


def documented_values() -> Iterator[tuple[str, str, str]]:
    """(path, default, description) of each value in values.yaml: a comment that begins with ``--`` and a key below."""
    parents: list[str] = []
    comment: list[str] = []
    for line in (CHART / "values.yaml").read_text().splitlines():
        if match := re.match(r" *# (?:-- )?(.*)", line):
            comment = [match[1]] if "# -- " in line else [*comment, match[1]] if comment else []
        elif match := re.match(r"( *)(\w+):", line):
            parents = [*parents[: len(match[1]) // 2], match[2]]
            if comment:
                yield ".".join(parents), _default(parents), " ".join(comment)
            comment = []


def _default(path: list[str]) -> str:
    value = yaml.safe_load((CHART / "values.yaml").read_text())
    for key in path:
        value = value[key]
    return yaml.dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def permissions_table() -> str:
    """What the operator may do, where, and why."""
    permissions = yaml.safe_load((CHART / "files" / "permissions.yaml").read_text())
    rows = [
        f"| {where} | {', '.join(f'`{name}`' for name in rule['resources'])} ({rule['group'] or 'core'})"
        f"{' named ' + ', '.join(f'`{name}`' for name in rule['names']) if 'names' in rule else ''}"
        f" | {', '.join(rule['verbs'])} | {rule['why']} |"
        for where, rules in (("served namespaces", permissions["served"]), ("its own namespace", permissions["own"]))
        for rule in rules
    ]
    return "\n".join(["| where | resources | verbs | what for |", "|---|---|---|---|", *rows, ""])


# In this order: the manifests hold the CRDs.
TEXTS: dict[Path, Callable[[], str]] = {
    CHECKOUT / "manifests" / "install.yaml": install_manifest,
    GUIDE: guide,
}
CRD_FOLDERS = (CHECKOUT / "crds", CHART / "files" / "crds")


def write() -> None:
    """Write every generated file."""
    for folder in CRD_FOLDERS:
        aada_operator(["crds", "--out", str(folder)])
    for path, text in TEXTS.items():
        path.write_text(text())


if __name__ == "__main__":
    write()
