"""The chart, rendered: what a value changes, what nonsense is refused, and how narrow the permissions are."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from typing import Any

import pytest
import yaml

from aada_operator import __version__
from aada_operator.api.common import GROUP
from aada_operator.app import WATCHED_CHILDREN
from aada_operator.core import resources
from aada_operator.core.names import qualified
from aada_operator.core.resources import ApiResource
from aada_operator.settings import Settings
from tests.testbed.layout import CHECKOUT
from tests.unit.install.generated import CHART, rendered

Object = dict[str, Any]
NAMESPACED = "--set=watch.namespaces={north,south}"


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    return [body for body in objects if body["kind"] == kind]


def container(objects: list[Object]) -> Object:
    (deployment,) = of_kind(objects, "Deployment")
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(objects: list[Object]) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "from-the-pod") for entry in container(objects)["env"]}


def test_crds_are_kept_when_the_release_goes() -> None:
    crds = of_kind(rendered(), "CustomResourceDefinition")
    assert {crd["metadata"]["annotations"]["helm.sh/resource-policy"] for crd in crds} == {"keep"}
    for crd in crds:
        del crd["metadata"]["annotations"]
    files = [yaml.safe_load(path.read_text()) for path in (CHECKOUT / "crds").iterdir()]
    assert sorted(crds, key=name) == sorted(files, key=name)


def test_chart_and_operator_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


def name(body: Object) -> str:
    return str(body["metadata"]["name"])


def test_crds_can_be_left_to_others() -> None:
    assert not of_kind(rendered("--set=crds.enabled=false"), "CustomResourceDefinition")


def test_values_reach_the_settings_of_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    values = ["operator.workers=7", "operator.logLevel=DEBUG", "operator.stuckAfter=12", "operator.logFormat=text"]
    variables = environment(rendered(NAMESPACED, *(f"--set={value}" for value in values)))
    assert {variable.removeprefix("AADA_").lower() for variable in variables} <= Settings.model_fields.keys()
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    settings = Settings()
    assert (settings.workers, settings.log_level, settings.stuck_after, settings.log_format) == (
        7,
        "DEBUG",
        12,
        "text",
    )
    assert settings.namespace_list() == ["north", "south"]


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ([], "aada-operator:0.1.0"),
        (["image.repository=r.example/op", "image.tag=v2"], "r.example/op:v2"),
        (["image.tag=v2", f"image.digest=sha256:{'a' * 64}"], f"aada-operator@sha256:{'a' * 64}"),
    ],
)
def test_jobs_run_the_image_of_the_operator(values: list[str], image: str) -> None:
    objects = rendered(*(f"--set={value}" for value in values))
    assert container(objects)["image"] == environment(objects)["AADA_WORKER_IMAGE"] == image


@pytest.mark.parametrize("options", [(), (NAMESPACED,)], ids=["everywhere", "in two namespaces"])
def test_no_permission_is_a_wildcard(options: tuple[str, ...]) -> None:
    rules = [rule for body in roles(rendered(*options)) for rule in body["rules"]]
    words = {word for rule in rules for words in rule.values() for word in words}
    assert words
    assert not any("*" in word for word in words)


def roles(objects: list[Object]) -> list[Object]:
    return [*of_kind(objects, "Role"), *of_kind(objects, "ClusterRole")]


def test_named_namespaces_get_roles_and_nothing_is_cluster_wide() -> None:
    everywhere, here = rendered(), rendered(NAMESPACED)
    assert not of_kind(here, "ClusterRole")
    assert not of_kind(here, "ClusterRoleBinding")
    granted = {body["metadata"]["namespace"]: body["rules"] for body in of_kind(here, "Role")}
    (all_rules,) = (body["rules"] for body in of_kind(everywhere, "ClusterRole"))
    assert granted["north"] == granted["south"] == all_rules
    assert granted.keys() == {"north", "south", "aada-system"}


@pytest.mark.parametrize("options", [(), (NAMESPACED,)], ids=["everywhere", "in two namespaces"])
def test_every_role_is_bound_to_the_operator_where_it_counts(options: tuple[str, ...]) -> None:
    objects = rendered(*options, "--set=serviceAccount.name=somebody")
    bindings = [*of_kind(objects, "RoleBinding"), *of_kind(objects, "ClusterRoleBinding")]
    bound = {(b["roleRef"]["kind"], b["roleRef"]["name"], b["metadata"].get("namespace")) for b in bindings}
    assert bound == {(r["kind"], name(r), r["metadata"].get("namespace")) for r in roles(objects)}
    subjects = [subject for binding in bindings for subject in binding["subjects"]]
    wanted = {"kind": "ServiceAccount", "name": "somebody", "namespace": "aada-system"}
    assert all(subject == wanted for subject in subjects)


def test_what_the_operator_watches_it_may_list_and_watch() -> None:
    granted = permissions()
    for resource in (*WATCHED_CHILDREN, *resources.OWN.values()):
        assert {"get", "list", "watch"} <= granted[group_of(resource), resource.plural], resource
    own = {plural for group, plural in granted if group == GROUP and "/" not in plural}
    assert own == {resource.plural for resource in resources.OWN.values()}


def permissions() -> dict[tuple[str, str], set[str]]:
    (role,) = of_kind(rendered(), "ClusterRole")
    granted: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        for group, plural in itertools.product(rule["apiGroups"], rule["resources"]):
            granted.setdefault((group, plural), set()).update(rule["verbs"])
    return granted


def group_of(resource: ApiResource) -> str:
    return resource.api_version.rpartition("/")[0]


def test_one_pod_has_no_disruption_budget_and_two_prefer_different_nodes() -> None:
    one, two = rendered(), rendered("--set=replicas=2")
    assert not of_kind(one, "PodDisruptionBudget")
    (budget,) = of_kind(two, "PodDisruptionBudget")
    (deployment,) = of_kind(two, "Deployment")
    template = deployment["spec"]["template"]
    (term,) = template["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    selected = [budget["spec"]["selector"], deployment["spec"]["selector"], term["podAffinityTerm"]["labelSelector"]]
    assert all(selector["matchLabels"].items() <= template["metadata"]["labels"].items() for selector in selected)


def test_full_names_are_looked_up_as_they_are_and_names_in_the_cluster_are_completed() -> None:
    """The resolver tries a name with so many dots first as it is."""
    (deployment,) = of_kind(rendered(), "Deployment")
    options = {one["name"]: one["value"] for one in deployment["spec"]["template"]["spec"]["dnsConfig"]["options"]}
    full = ("postgres.school.svc.cluster.local", "s3.eu-central-1.amazonaws.com")
    assert qualified("postgres", "school").count(".") < int(options["ndots"]) <= min(name.count(".") for name in full)


def test_prometheus_objects_are_made_on_request_only() -> None:
    assert not [body for body in rendered() if "monitoring" in body["apiVersion"]]
    wanted = ("serviceMonitor.enabled=true", "prometheusRule.enabled=true", "serviceMonitor.labels.release=mine")
    objects = rendered(*(f"--set=metrics.{value}" for value in wanted))
    (monitor,) = of_kind(objects, "ServiceMonitor")
    (service,) = of_kind(objects, "Service")
    assert monitor["metadata"]["labels"]["release"] == "mine"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]


def test_alerts_are_on_metrics_that_the_operator_has() -> None:
    (rule,) = of_kind(rendered("--set=metrics.prometheusRule.enabled=true"), "PrometheusRule")
    expressions = " ".join(alert["expr"] for group in rule["spec"]["groups"] for alert in group["rules"])
    names = set(re.findall(r"aada_operator_(\w+?)(?:_total)?\b", expressions))
    source = "".join(path.read_text() for path in (CHECKOUT / "operator").rglob("*.py"))
    assert len(names) > 4
    assert [metric for metric in names if not re.search(rf'["}}]{metric}(_total)?"', source)] == []


NONSENSE = {
    "replicas=-1": "/replicas",
    "replicas=1000000": "/replicas",
    "replicas=two": "/replicas",
    "replica=2": "replica",
    "image.repository=": "/image/repository",
    "image.tag=a b": "/image/tag",
    "image.digest=sha256:abc": "/image/digest",
    "image.pullPolicy=Sometimes": "/image/pullPolicy",
    "watch.namespaces={North}": "/watch/namespaces/0",
    "watch.namespaces=north": "/watch/namespaces",
    "crds.enabled=maybe": "/crds/enabled",
    "operator.workers=0": "/operator/workers",
    "operator.logLevel=LOUD": "/operator/logLevel",
    "metrics.serviceMonitor.interval=often": "/metrics/serviceMonitor/interval",
    "metrics.dashboard.namespace=North": "/metrics/dashboard/namespace",
    "resources.limits.memory=lots": "/resources/limits/memory",
    f"nameOverride={'x' * 64}": "/nameOverride",
}


@pytest.mark.parametrize(("value", "named"), NONSENSE.items(), ids=[value[:40] for value in NONSENSE])
def test_nonsense_is_refused_by_its_name(value: str, named: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rendered(f"--set={value}")
    assert named in refused.value.stderr


def test_the_schema_knows_the_values_and_no_others() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    schema["properties"].pop("global")
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert strict_properties(schema) == keys(values, schema)


def strict_properties(schema: Object) -> Object:
    """The tree of the properties that the schema names; below free maps there is nothing."""
    if "properties" not in schema:
        return {}
    assert schema["additionalProperties"] is False
    return {key: strict_properties(child) for key, child in schema["properties"].items()}


def keys(values: Any, schema: Object) -> Object:
    if "properties" not in schema:
        return {}
    return {key: keys(child, schema["properties"].get(key, {})) for key, child in values.items()}
