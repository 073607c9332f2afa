"""Gauges about objects come and go with the objects."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from aada_operator.core.metrics import ObjectGauges, Sample
from aada_operator.core.workqueue import Key

MONDAY = Key("backups", "school", "monday")
TUESDAY = Key("backups", "school", "tuesday")


def exposed(gauges: ObjectGauges) -> dict[tuple[str, ...], float]:
    """What Prometheus would read, by metric name and label values."""
    registry = CollectorRegistry()
    registry.register(gauges)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def size(value: float, **labels: str) -> Sample:
    return Sample("backup_size_bytes", "Bytes of a backup.", value, labels)


def test_a_sample_carries_namespace_and_name_of_its_object() -> None:
    gauges = ObjectGauges()
    gauges.set(MONDAY, [size(300, kind="stored")])
    expected = ("aada_operator_backup_size_bytes", "kind=stored", "name=monday", "namespace=school")
    assert exposed(gauges) == {expected: 300}


def test_a_new_visit_replaces_what_an_earlier_one_said() -> None:
    gauges = ObjectGauges()
    gauges.set(MONDAY, [size(300, kind="stored"), size(1000, kind="database")])
    gauges.set(MONDAY, [size(301, kind="stored")])
    assert list(exposed(gauges).values()) == [301]


def test_series_go_with_their_object_and_others_stay() -> None:
    gauges = ObjectGauges()
    gauges.set(MONDAY, [size(300, kind="stored")])
    gauges.set(TUESDAY, [size(400, kind="stored")])
    gauges.forget(MONDAY)
    gauges.forget(MONDAY)
    assert list(exposed(gauges).values()) == [400]


def test_without_objects_there_are_no_series() -> None:
    assert exposed(ObjectGauges()) == {}


def test_labels_in_another_order_keep_their_values() -> None:
    gauges = ObjectGauges()
    gauges.set(MONDAY, [size(1, kind="stored", lms="a")])
    gauges.set(TUESDAY, [size(2, lms="b", kind="database")])
    assert exposed(gauges) == {
        ("aada_operator_backup_size_bytes", "kind=stored", "lms=a", "name=monday", "namespace=school"): 1,
        ("aada_operator_backup_size_bytes", "kind=database", "lms=b", "name=tuesday", "namespace=school"): 2,
    }
