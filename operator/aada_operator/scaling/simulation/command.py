"""``aada-operator simulate scaling``: files in, a table and a picture out, no cluster asked."""

import argparse
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import yaml
from pydantic import ValidationError

from aada_operator.adapters.kube import cores
from aada_operator.api.common import Model, seconds
from aada_operator.api.component import Component
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.api.scaling import ScalingPolicySpec
from aada_operator.core import capacity
from aada_operator.core.capacity import Budget
from aada_operator.core.controller import explain
from aada_operator.core.database import ConnectionLimits
from aada_operator.scaling.calendar import HORIZON
from aada_operator.scaling.ical import BadCalendar, closed_times
from aada_operator.scaling.simulation import plot, recording, text
from aada_operator.scaling.simulation.errors import Unusable
from aada_operator.scaling.simulation.findings import find
from aada_operator.scaling.simulation.recording import Sample
from aada_operator.scaling.simulation.replay import Day, Pod, replay
from aada_operator.scaling.wall import Interval

Spec = TypeVar("Spec", bound=Model)
# PostgreSQL's default of superuser_reserved_connections.
SUPERUSERS = 3
_TWO_DAYS = timedelta(days=2)


def main(chosen: argparse.Namespace) -> int:
    """Replay a day; returns the exit code: 2 when something that was given cannot be used."""
    try:
        sys.stdout.write(_simulated(chosen))
    except Unusable as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    return 0


def _simulated(chosen: argparse.Namespace) -> str:
    if chosen.out:
        plot.check(chosen.out)
    spec = _document("--policy", chosen.policy, "ScalingPolicy", ScalingPolicySpec)
    zone = ZoneInfo(spec.calendar.time_zone if spec.calendar else "Etc/UTC")
    day = _day(chosen, spec, zone)
    steps = list(replay(day))
    found = find(steps)
    if chosen.out:
        title = f"{chosen.policy.name}, {chosen.recording.name}"
        plot.draw(steps, day.budget.max_pods if day.budget else None, zone, title, chosen.out)
    return text.table(steps, found, zone) if chosen.format == "table" else text.as_json(steps, found)


def _day(chosen: argparse.Namespace, spec: ScalingPolicySpec, zone: ZoneInfo) -> Day:
    component, solved = None, None
    if chosen.lms:
        lms = _document("--lms", chosen.lms, "AadaLms", AadaLmsSpec)
        component = _component(lms, spec.target.component)
        solved = _budget(lms, spec, component, chosen.max_connections)
    samples = recording.read(_text("--from", chosen.recording), zone, chosen.column)
    pod = _pod(component, chosen.pod_bears, chosen.pod_start)
    return Day(spec, samples, pod, _target(spec), solved, _closed(chosen.holidays, spec, zone, samples))


def _target(spec: ScalingPolicySpec) -> float:
    percent = next((metric.percent for metric in spec.metrics if metric.resource == "cpu"), None)
    if percent is None:
        raise Unusable(
            "--policy: spec.metrics: the load stands for cpu, which is not followed: add {cpu: 70%} to a copy"
        )
    return percent / 100


def _component(lms: AadaLmsSpec, name: str) -> Component:
    found = next((one for one in lms.components if one.name == name), None)
    if found is None:
        raise Unusable(f"--lms: spec.components: none is called {name}, as target.component of the policy says")
    return found


def _budget(lms: AadaLmsSpec, spec: ScalingPolicySpec, component: Component, connections: int) -> Budget | None:
    """What a server of so many connections bears, by the operator's own sum."""
    if component.role != "api" or spec.connection_budget == "Off":
        return None
    if missing := capacity.undeclared(lms.components):
        raise Unusable(f"--lms: components[].connections: say what a pod of {', '.join(missing)} may open")
    server = ConnectionLimits(connections, SUPERUSERS)
    return capacity.solve(lms.components, component.name, server, spec.reserved_connections)


def _pod(component: Component | None, bears: float | None, start: str) -> Pod:
    try:
        delay = timedelta(seconds=seconds(start))
    except ValueError as error:
        raise Unusable(f"--pod-start: {error}") from None
    if bears is not None:
        if bears <= 0:
            raise Unusable("--pod-bears: must be more than 0")
        return Pod(bears, bears, delay)
    resources = component.resources if component else {}
    limit = (resources.get("limits") or {}).get("cpu")
    request = (resources.get("requests") or {}).get("cpu", limit)
    if request is None:
        raise Unusable("--pod-bears: give it, or --lms with resources.requests.cpu of the component")
    return Pod(cores(request), cores(limit if limit is not None else request), delay)


def _closed(file: Path | None, spec: ScalingPolicySpec, zone: ZoneInfo, samples: list[Sample]) -> tuple[Interval, ...]:
    named = spec.calendar.holidays.config_map_ref if spec.calendar and spec.calendar.holidays else None
    if named and not file:
        raise Unusable(f"--holidays: the policy names {named.key} of ConfigMap {named.name}: give that file")
    if not file:
        return ()
    first = samples[0].time.astimezone(zone).date() - _TWO_DAYS
    try:
        return tuple(closed_times(_text("--holidays", file), zone, first, first + HORIZON))
    except BadCalendar as bad:
        raise Unusable(f"--holidays: {bad}") from None


def _document(option: str, file: Path, kind: str, model: type[Spec]) -> Spec:
    """The spec of the first object of a kind in a file."""
    try:
        bodies: list[Any] = list(yaml.safe_load_all(_text(option, file)))
        body = next((one for one in bodies if isinstance(one, dict) and one.get("kind") == kind), None)
        if body is None:
            raise Unusable(f"{option}: {file} has no object of kind {kind}")
        return model.model_validate(body.get("spec") or {})
    except yaml.YAMLError as error:
        raise Unusable(f"{option}: {file} is no YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise Unusable(f"{option}: {file}: {explain(error)}") from None


def _text(option: str, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Unusable(f"{option}: {file} cannot be read: {said}") from None
