"""Specs of a ScalingPolicy that must be accepted or refused: words, whether, by whom, and what differs."""

from __future__ import annotations

from typing import Any, Literal

_HOURS: dict[str, Any] = {"from": "08:00", "to": "15:30", "minReplicas": 3}
_EXAM: dict[str, Any] = {"name": "finals", "from": "2026-12-14T08:00", "to": "2026-12-14T12:00", "minReplicas": 5}
_FREEZE: dict[str, Any] = {"name": "visit", "from": "2026-10-05T06:00", "to": "2026-10-06T06:00"}
_FILE: dict[str, Any] = {"name": "holidays", "key": "school.ics"}


_REQUESTS: dict[str, Any] = {"name": "requests", "query": "sum(rate(http_requests_total[2m]))", "target": 50}
_PROMETHEUS: dict[str, Any] = {"url": "http://prometheus.monitoring.svc:9090"}


def _query(*others: dict[str, Any], prometheus: dict[str, Any] | None = None) -> dict[str, Any]:
    """A query with other metrics."""
    return {"prometheus": _PROMETHEUS, "metrics": [*others, {"prometheus": _REQUESTS | (prometheus or {})}]}


def _server(**patch: Any) -> dict[str, Any]:
    return {"prometheus": _PROMETHEUS | patch}


def _calendar(**patch: Any) -> dict[str, Any]:
    return {"calendar": patch}


def _hours(**patch: Any) -> dict[str, Any]:
    return _calendar(classHours=[_HOURS | patch])


SCALINGS: tuple[tuple[str, bool, Literal["both", "operator"], dict[str, Any]], ...] = (
    ("two to five pods", True, "both", {"minReplicas": 2, "maxReplicas": 5}),
    ("as many at least as at most", True, "both", {"minReplicas": 4, "maxReplicas": 4}),
    ("more at least than at most", False, "both", {"minReplicas": 6, "maxReplicas": 5}),
    ("no pods at least", False, "both", {"minReplicas": 0}),
    ("a hundred and one pods", False, "both", {"maxReplicas": 101}),
    ("a component that is no name", False, "both", {"target": {"lmsRef": {"name": "aada"}, "component": "Back end"}}),
    ("no component", False, "both", {"target": {"lmsRef": {"name": "aada"}}}),
    ("both metrics", True, "both", {"metrics": [{"cpu": "70%"}, {"memory": "80%"}]}),
    ("more than is requested", True, "both", {"metrics": [{"cpu": "150%"}]}),
    ("two metrics in one entry", False, "both", {"metrics": [{"cpu": "70%", "memory": "80%"}]}),
    ("an entry without a metric", False, "both", {"metrics": [{}]}),
    ("no metric", False, "both", {"metrics": []}),
    ("one metric twice", False, "operator", {"metrics": [{"cpu": "70%"}, {"cpu": "80%"}]}),
    ("a metric without a percentage", False, "both", {"metrics": [{"cpu": "0.7"}]}),
    ("a metric of nothing", False, "both", {"metrics": [{"cpu": "0%"}]}),
    ("a query and the CPU", True, "both", _query({"cpu": "70%"})),
    ("a query alone", True, "both", _query()),
    ("a query without a server", False, "both", {"metrics": [{"prometheus": _REQUESTS}]}),
    ("a query and the CPU in one entry", False, "both",
     _query() | {"metrics": [{"cpu": "70%", "prometheus": _REQUESTS}]}),
    ("two queries of one name", False, "operator", _query({"prometheus": _REQUESTS})),
    ("a query of which a pod bears nothing", False, "operator", _query(prometheus={"target": 0})),
    ("a query of nothing", False, "both", _query(prometheus={"query": ""})),
    ("a fraction of a session for each pod", True, "both", _query(prometheus={"target": 0.5})),
    ("a fallback", True, "both", {"fallback": {"replicas": 4, "after": "90s"}}),
    ("a fallback to no pods", False, "both", {"fallback": {"replicas": 0}}),
    ("a fallback without pods", False, "both", {"fallback": {"after": "90s"}}),
    ("a fallback to more pods than there may be", False, "both", {"fallback": {"replicas": 6}}),
    ("a fallback after a day", False, "operator", {"fallback": {"replicas": 3, "after": "1d"}}),
    ("the cores of the database", True, "both", {"databaseBound": {"action": "Warn", "cores": 4}}),
    ("a database of no cores", False, "both", {"databaseBound": {"cores": 0}}),
    ("an action that is none", False, "both", {"databaseBound": {"action": "Pray"}}),
    ("the CPU of the database by a query", True, "both", _server() | {"databaseBound": {"cpuQuery": "avg(cpu)"}}),
    ("the CPU of the database of nobody asked", False, "both", {"databaseBound": {"cpuQuery": "avg(cpu)"}}),
    ("a server with a token and a CA", True, "both", _server(
        url="https://prometheus.monitoring.svc:9090/prometheus", timeout="2s",
        bearerTokenSecretRef={"name": "prometheus", "key": "token"}, caSecretRef={"name": "ca", "key": "ca.crt"})),
    ("a password in the address", False, "both", _server(url="https://me:secret@prometheus:9090")),
    ("an address with a query", False, "both", _server(url="http://prometheus:9090/api?query=up")),
    ("an address of another protocol", False, "both", _server(url="ftp://prometheus")),
    ("an answer within a minute", False, "operator", _server(timeout="1m")),
    ("an answer in no time", False, "operator", _server(timeout="0s")),
    ("ten minutes before it goes back", True, "both", {"behavior": {"scaleDownStabilization": "10m"}}),
    ("a day before it goes back", False, "operator", {"behavior": {"scaleDownStabilization": "1d"}}),
    ("every mode of the budget", True, "both", {"connectionBudget": "Warn"}),
    ("a mode of the budget that is none", False, "both", {"connectionBudget": "Hope"}),
    ("connections for others", True, "both", {"reservedConnections": 40}),
    ("fewer connections for others than the operator needs", False, "both", {"reservedConnections": 2}),
    ("paused", True, "both", {"suspend": True}),
    ("class hours", True, "both", _hours(days=["MON", "FRI"])),
    ("class hours that nobody has", False, "both", _hours(days=[])),
    ("a day that is none", False, "both", _hours(days=["MONDAY"])),
    ("hours over midnight", False, "both", _hours(**{"from": "22:00", "to": "02:00"})),
    ("an hour that is none", False, "both", _hours(to="24:00")),
    ("class hours for more pods than there may be", False, "operator", _hours(minReplicas=6)),
    ("class hours for no pods", False, "both", _hours(minReplicas=0)),
    ("a term", True, "both", _calendar(terms=[{"from": "2026-09-01", "to": "2026-12-18"}])),
    ("a term of one day", True, "both", _calendar(terms=[{"from": "2026-09-01", "to": "2026-09-01"}])),
    ("a term that ends before it begins", False, "both", _calendar(terms=[{"from": "2026-09-01", "to": "2026-08-31"}])),
    ("a term from 30 February", False, "operator", _calendar(terms=[{"from": "2026-02-30", "to": "2026-08-31"}])),
    ("a term in words", False, "both", _calendar(terms=[{"from": "autumn", "to": "winter"}])),
    ("exams", True, "both", _calendar(examWindows=[_EXAM])),
    ("two exams of one name", False, "both", _calendar(examWindows=[_EXAM, _EXAM])),
    ("exams that end before they begin", False, "both", _calendar(examWindows=[_EXAM | {"to": "2026-12-14T07:00"}])),
    ("exams on 31 November", False, "operator", _calendar(examWindows=[_EXAM | {"from": "2026-11-31T08:00"}])),
    ("a freeze", True, "both", _calendar(freezes=[_FREEZE])),
    ("a freeze with a floor", False, "both", _calendar(freezes=[_FREEZE | {"minReplicas": 3}])),
    ("two freezes of one name", False, "both", _calendar(freezes=[_FREEZE, _FREEZE])),
    ("public holidays", True, "both", _calendar(holidays={"country": "US", "subdivision": "IL"})),
    ("holidays of no country", False, "operator", _calendar(holidays={"country": "XX"})),
    ("holidays of another country's state", False, "operator",
     _calendar(holidays={"country": "US", "subdivision": "BY"})),
    ("holidays of a country in words", False, "both", _calendar(holidays={"country": "Illinois"})),
    ("holidays of a file", True, "both", _calendar(holidays={"configMapRef": _FILE})),
    ("holidays of a country and of a file", True, "both", _calendar(holidays={"country": "US", "configMapRef": _FILE})),
    ("holidays of nobody", False, "both", _calendar(holidays={})),
    ("holidays of a state without a country", False, "both",
     _calendar(holidays={"subdivision": "IL", "configMapRef": _FILE})),
    ("a file without its key", False, "both", _calendar(holidays={"configMapRef": {"name": "holidays"}})),
    ("a time zone", True, "both", _calendar(timeZone="America/Chicago")),
    ("a clock that is none", False, "operator", _calendar(timeZone="Europe/Atlantis")),
    ("an hour ahead", True, "both", _calendar(prewarm="1h")),
    ("two days ahead", False, "operator", _calendar(prewarm="2d")),
)  # fmt: skip
