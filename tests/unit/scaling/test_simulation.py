"""A day is replayed with the bounds that the operator would set, and what it shows is counted."""

from __future__ import annotations

import builtins
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from aada_operator.__main__ import main
from aada_operator.core import capacity
from aada_operator.scaling.simulation.findings import Findings, changes, find
from aada_operator.scaling.simulation.recording import Sample
from aada_operator.scaling.simulation.replay import Day, Pod, Step, replay
from tests.unit.scaling.calendars import event, ics
from tests.unit.scaling.samples import SERVER, at, lms, spec

DOCS = Path(__file__).parents[3] / "docs"
EXAMPLES = DOCS / "examples"
(COMMAND,) = re.findall(r"^\$ aada-operator (simulate scaling .*)$", (DOCS / "scaling.md").read_text(), re.MULTILINE)
HOURS = {"days": ["TUE"], "from": "08:00", "to": "09:00", "minReplicas": 4}


def day(*loads: tuple[str, float | None], **patch: Any) -> Day:
    """Loads from times of 1 September on; a pod requests one, bears one, and takes half a minute."""
    samples = [Sample(at(f"2026-09-01T{time}Z"), load) for time, load in loads]
    budgeted = patch.pop("budgeted", None)
    return Day(
        spec(**patch), samples, Pod(1.0, 1.0, at("2026-09-01T00:00:30Z") - at("2026-09-01T00:00Z")), 0.7, budgeted
    )


def replayed(*loads: tuple[str, float | None], **patch: Any) -> tuple[list[Step], Findings]:
    steps = list(replay(day(*loads, **patch)))
    return steps, find(steps)


def size_at(steps: list[Step], time: str) -> tuple[int, int]:
    """Pods, and those of them that serve."""
    (step,) = [one for one in steps if one.time == at(f"2026-09-01T{time}Z")]
    return step.pods, step.ready


def test_a_load_that_grows_is_followed_up_at_once_and_down_after_five_minutes() -> None:
    steps, found = replayed(("08:00", 1.0), ("08:10", 2.0), ("08:11", 3.0), ("08:20", 1.0), ("08:40", 1.0))
    assert size_at(steps, "08:09:45") == (2, 2)
    assert size_at(steps, "08:11:30")[0] == 5
    assert size_at(steps, "08:24:00")[0] == 5
    assert size_at(steps, "08:27:00")[0] == 2, "one after another"
    assert (found.fewest_pods, found.most_pods, found.reversals) == (2, 5, 0)


def test_the_pods_are_ready_before_the_class_begins() -> None:
    steps, _ = replayed(("07:00", 0.5), ("10:00", 0.5), calendar={"classHours": [HOURS]})
    assert size_at(steps, "07:44:45") == (2, 2)
    assert size_at(steps, "07:45:15") == (4, 2)
    assert size_at(steps, "07:45:30") == (4, 4)
    assert steps[-1].pods == 2


def test_a_storm_at_the_beginning_of_class_is_borne_only_by_pods_that_are_there() -> None:
    storm = ("07:00", 0.5), ("08:00", 3.9), ("08:10", 0.5), ("09:30", 0.5)
    _, plain = replayed(*storm)
    _, warm = replayed(*storm, calendar={"classHours": [HOURS]})
    assert plain.minutes_overloaded > 0
    assert plain.unserved_percent > 0
    assert (warm.minutes_overloaded, warm.unserved_percent) == (0, 0)


def test_the_database_limits_the_pods_as_the_operator_would() -> None:
    bears = capacity.solve(lms().components, "backend", SERVER, 9)
    _, found = replayed(("08:00", 9.0), ("09:00", 9.0), maxReplicas=8, budgeted=bears)
    assert (bears.max_pods, found.most_pods) == (5, 5)
    assert found.minutes_at_connection_budget > 55
    assert found.minutes_at_max_replicas == 0
    _, free = replayed(("08:00", 9.0), ("09:00", 9.0), maxReplicas=8, budgeted=bears, connectionBudget="Warn")
    assert (free.most_pods, free.minutes_at_connection_budget) == (8, 0)
    assert free.minutes_at_max_replicas > 55


def test_a_metric_that_is_lost_leaves_the_size_as_it_is() -> None:
    steps, found = replayed(("08:00", 3.0), ("08:10", None), ("08:30", 0.1), ("08:33", 0.1))
    assert {step.pods for step in steps if step.load is None} == {5}
    assert found.minutes_without_metrics == 20
    assert steps[-1].pods == 2, "what was asked for before is too long ago"


def test_a_freeze_leaves_the_size_as_it_is() -> None:
    freeze = {"name": "visit", "from": "2026-09-01T08:05", "to": "2026-09-01T09:00"}
    steps, _ = replayed(("08:00", 3.0), ("08:06", 0.1), ("08:59", 0.1), calendar={"freezes": [freeze]})
    assert steps[-1].pods == 5


def test_a_size_that_goes_back_within_five_minutes_is_a_reversal() -> None:
    loads = [(f"08:{minute:02d}", 3.0 if minute % 4 < 2 else 0.5) for minute in range(40)]
    _, nervous = replayed(*loads, behavior={"scaleDownStabilization": "0s"})
    _, calm = replayed(*loads)
    assert nervous.reversals > 10
    assert calm.reversals == 0


def test_pod_hours_are_those_of_all_pods() -> None:
    _, found = replayed(("08:00", 0.1), ("09:59:45", 0.1))
    assert found.replica_hours == 4.0


# --- the command ----------------------------------------------------------------------------------------------------


def run(*options: str, **given: Path | str) -> int:
    """The command with the example's files, unless others are given."""
    files: dict[str, Path | str] = {
        "policy": EXAMPLES / "scalingpolicy.yaml", "lms": EXAMPLES / "lms.yaml", "from": EXAMPLES / "day.csv",
    }  # fmt: skip
    named = [text for name, value in (files | given).items() if value for text in (f"--{name}", str(value))]
    return main(["simulate", "scaling", *named, *options])


def test_the_documented_command_gives_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").symlink_to(DOCS)
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(COMMAND)) == 0
    printed = capsys.readouterr().out
    (shown,) = re.findall(r"^(replica hours .*?)…\n", (DOCS / "scaling.md").read_text(), re.MULTILINE | re.DOTALL)
    assert printed.startswith(shown)
    assert (tmp_path / "day.svg").exists(), "what is in it: test_simulation_picture.py"


def test_json_has_the_findings_and_every_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--max-connections=200", "--format=json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["findings"]["changes"] == len(said["changes"])
    assert said["changes"][0] == {"time": "2026-09-01T12:45:00Z", "from": 2, "to": 4, "calendar": "class hours"}


def test_without_matplotlib_numbers_are_printed_and_a_picture_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert run() == 0
    assert "replica hours" in capsys.readouterr().out
    assert run("--out", str(tmp_path / "day.svg")) == 2
    said = capsys.readouterr()
    assert said.err.startswith("--out: a picture needs matplotlib: pip install 'aada-operator[simulate]', or leave")
    assert said.out == ""


def test_another_unit_needs_no_lms(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--pod-bears=100", "--format=json", lms="") == 0
    assert json.loads(capsys.readouterr().out)["findings"]["most_pods"] == 4, "a hundred a pod: the calendar's floor"


def test_holidays_of_a_file_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, file = tmp_path / "policy.yaml", tmp_path / "school.ics"
    named = "    holidays: {configMapRef: {name: holidays, key: school.ics}}\n    timeZone:"
    policy.write_text((EXAMPLES / "scalingpolicy.yaml").read_text().replace("    timeZone:", named))
    file.write_text(ics(event("DTSTART;VALUE=DATE:20260901")))
    assert run("--pod-bears=100", "--format=json", policy=policy, holidays=file, lms="") == 0
    assert json.loads(capsys.readouterr().out)["findings"]["most_pods"] == 2
    assert run("--pod-bears=100", policy=policy, lms="") == 2
    assert capsys.readouterr().err.startswith("--holidays: the policy names school.ics of ConfigMap holidays: give")
    file.write_text("no calendar")
    assert run(policy=policy, holidays=file) == 2
    assert capsys.readouterr().err.startswith("--holidays: the file is no iCalendar file")


POLICY = (EXAMPLES / "scalingpolicy.yaml").read_text()
LMS = (EXAMPLES / "lms.yaml").read_text()


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("policy", None, "cannot be read: No such file or directory"),
        ("policy", "a: [", "is no YAML: while parsing"),
        ("policy", LMS, "has no object of kind ScalingPolicy"),
        ("policy", POLICY.replace("maxReplicas: 8", "maxReplicas: 1"), "maxReplicas: cannot be less than minReplicas"),
        ("policy", POLICY.replace("America/Chicago", "Europe/Atlantis"),
         "spec.calendar.timeZone: 'Europe/Atlantis' is not a time zone; example: Europe/Berlin"),
        ("policy", POLICY.replace("cpu: 70%", "memory: 70%"), "spec.metrics: the load stands for cpu"),
        ("policy", POLICY.replace("component: backend", "component: learn"), "--lms: spec.components: none is"),
        ("lms", LMS.replace("connections:", "env: [] #"), "--lms: components[].connections: say what a pod of backend"),
        ("lms", LMS.replace("resources:", "podTemplate:"), "--pod-bears: give it, or --lms with resources.requests"),
        ("from", "Time,cores\n2026-09-01,none\n", "--from, line 2: 'none' is not a number"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_with_the_way_out(
    option: str, text: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "given"
    if text is not None:
        file.write_text(text)
    assert run(**{option: file}) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.startswith("--")
    assert printed.out == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--pod-bears=0"], "--pod-bears: must be more than 0"),
        (["--pod-start=soon"], "--pod-start: 'soon' is not a duration such as 90s"),
        (["--out=day.pdf"], "--out: 'day.pdf' must end with .svg or .png"),
        (["--column=rps"], "--column: 'rps' is not in the file; it has cores"),
    ],
)
def test_an_option_that_makes_no_sense_is_told(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*options) == 2
    assert said in capsys.readouterr().err


def test_the_help_has_an_example_that_can_be_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["simulate", "scaling", "--help"])
    told = capsys.readouterr().out.replace("\\\n", " ")
    (command,) = re.findall(r"^ +aada-operator (simulate scaling --policy .*)$", told, re.MULTILINE)
    monkeypatch.chdir(EXAMPLES)
    assert main(shlex.split(command.replace("day.svg", str(tmp_path / "day.svg")))) == 0
    assert (tmp_path / "day.svg").exists()


def test_changes_have_the_size_before() -> None:
    steps, _ = replayed(("08:00", 0.1), ("08:01", 3.0), ("08:05", 3.0))
    assert [(before, step.pods) for step, before in changes(steps)] == [(2, 3), (3, 5)]
