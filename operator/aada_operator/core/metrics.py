"""Prometheus metrics of the operator, ``aada_operator_<noun>_<unit>``.

Gauges about objects are computed from the objects at every visit and kept by key: they are right after a restart
as soon as the object was seen, and their series go when the object goes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from aada_operator.core.workqueue import Key

PREFIX = "aada_operator_"
REGISTRY = CollectorRegistry()

RECONCILE_SECONDS = Histogram(
    f"{PREFIX}reconcile_seconds", "Time of one visit to an object.", ["kind"], registry=REGISTRY
)
RECONCILE_ERRORS = Counter(
    f"{PREFIX}reconcile_errors", "Visits that ended in an unexpected error.", ["kind"], registry=REGISTRY
)
WRITES = Counter(f"{PREFIX}api_writes", "Write requests to the API server.", ["resource", "verb"], registry=REGISTRY)
QUEUE_DEPTH = Gauge(f"{PREFIX}queue_depth", "Objects that wait for a visit.", registry=REGISTRY)
LEADER = Gauge(f"{PREFIX}leader", "1 when this process is the leader.", registry=REGISTRY)


@dataclass(frozen=True)
class Sample:
    """One gauge value of one object; labels without namespace and name, which every sample gets."""

    name: str
    help: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)


class ObjectGauges(Collector):
    """The samples of all objects, by key."""

    def __init__(self) -> None:
        self._samples: dict[Key, list[Sample]] = {}

    def set(self, key: Key, samples: Iterable[Sample]) -> None:
        """Replace what is known of an object."""
        self._samples[key] = list(samples)

    def forget(self, key: Key) -> None:
        """Drop the series of an object that is gone."""
        self._samples.pop(key, None)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families: dict[str, GaugeMetricFamily] = {}
        for key, samples in sorted(self._samples.items()):
            for sample in samples:
                labels = dict(sorted(({"namespace": key.namespace, "name": key.name} | sample.labels).items()))
                name = PREFIX + sample.name
                family = families.setdefault(name, GaugeMetricFamily(name, sample.help, labels=list(labels)))
                family.add_metric(list(labels.values()), sample.value)
        yield from families.values()


OBJECTS = ObjectGauges()
REGISTRY.register(OBJECTS)
