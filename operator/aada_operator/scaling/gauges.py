"""A ScalingPolicy as metrics, read off the object alone."""

from aada_operator.core.clock import from_rfc3339
from aada_operator.core.conditions import condition_of
from aada_operator.core.metrics import Sample
from aada_operator.core.resources import Object

_NUMBERS = (
    ("min", "scaling_min_replicas", "Pods at least, now."),
    ("max", "scaling_max_replicas", "Pods at most, now."),
    ("desired", "scaling_desired_replicas", "Pods that should be there."),
    ("current", "scaling_current_replicas", "Pods that are there."),
)


def gauges(body: Object) -> list[Sample]:
    """The samples of one ScalingPolicy: bounds, size, connections, the next change."""
    target, status = (body.get("spec") or {}).get("target") or {}, body.get("status") or {}
    lms, component = (target.get("lmsRef") or {}).get("name", ""), target.get("component", "")
    labels = {"lms": str(lms), "component": str(component)}
    samples = [Sample(name, told, float(status[field]), labels) for field, name, told in _NUMBERS if field in status]
    for kind, name, told in (
        ("ScalingLimited", "scaling_limited", "1 when the load asks for a size outside of the bounds."),
        ("ConnectionBudgetExceeded", "scaling_budget_exceeded", "1 when the database bears less than is declared."),
        ("DatabaseBound", "scaling_database_bound", "1 while the database is the limit."),
        ("Fallback", "scaling_fallback", "1 while the fallback holds, since a metric is lost."),
    ):
        samples.append(Sample(name, told, float(condition_of(body, kind) == "True"), labels))
    lost = float(condition_of(body, "MetricsAvailable") == "False")
    samples.append(Sample("scaling_metrics_lost", "1 while something that is followed is not seen.", lost, labels))
    if budget := status.get("budget"):
        told = "Pods that the database has connections for."
        samples.append(Sample("scaling_budget_max_pods", told, float(budget.get("maxPods", 0)), labels))
    for metric in status.get("metrics") or ():
        if "pods" in metric:
            told, named = "Pods that a query asks for; absent while it is lost.", {"metric": str(metric["name"])}
            samples.append(Sample("scaling_metric_replicas", told, float(metric["pods"]), labels | named))
    if upcoming := status.get("nextTransition"):
        moment = from_rfc3339(upcoming["time"]).timestamp()
        samples.append(Sample("scaling_next_transition_timestamp_seconds", "When the bounds change.", moment, labels))
    return samples
