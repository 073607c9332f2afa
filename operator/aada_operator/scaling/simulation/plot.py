"""A replayed day as a picture: pods, their bounds and what the database bears above, load and what pods bear below.

Each series of an SVG is a group whose id is its name here.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from aada_operator.scaling.simulation.errors import Unusable
from aada_operator.scaling.simulation.replay import Step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".svg", ".png")


def check(out: Path) -> None:
    """Refuse early what cannot be drawn.

    Raises:
        Unusable: another ending, or matplotlib is not there.
    """
    if out.suffix not in FORMATS:
        raise Unusable(f"--out: {out.name!r} must end with {' or '.join(FORMATS)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise Unusable(
            "--out: a picture needs matplotlib: pip install 'aada-operator[simulate]', or leave --out away: what is "
            "printed needs nothing"
        ) from None


def draw(steps: Sequence[Step], budget: int | None, zone: ZoneInfo, title: str, out: Path) -> None:
    """Write the picture; the same day gives the same bytes.

    ``budget`` is how many pods the database bears, None when nobody asked.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # Ids of an SVG are random otherwise, letters would be drawn as paths, and short steps be left out.
    with mpl.rc_context({
        "svg.hashsalt": "aada-operator", "svg.fonttype": "none", "path.simplify": False, "date.converter": "concise",
    }):  # fmt: skip
        # The axis has the time zone of the times.
        kept = [replace(step, time=step.time.astimezone(zone)) for step in _changes(steps)]
        figure = Figure(figsize=(11, 6.5), layout="constrained")
        pods, load = figure.subplots(2, sharex=True)
        pods.set_title(title)
        _pods(pods, kept)
        if budget is not None:
            label = f"connection budget: {budget} pods"
            pods.axhline(budget, color="C3", linestyle="--", label=label, gid="budget")
        pods.set_ylim(bottom=0)
        pods.legend(loc="upper left")
        _load(load, kept)
        figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else {"Software": None})


def _changes(steps: Sequence[Step]) -> list[Step]:
    """All that is to be drawn: a day has thousands of steps, of which few differ from the one before."""
    drawn = [(step.load, step.pods, step.ready, step.bounds) for step in steps]
    last = len(steps) - 1
    return [step for n, step in enumerate(steps) if n in (0, last) or drawn[n] != drawn[n - 1]]


def _pods(axes: "Axes", steps: Sequence[Step]) -> None:
    times: Any = [step.time for step in steps]  # matplotlib draws datetimes, but its types do not know
    least, most = [step.bounds.min for step in steps], [step.bounds.max for step in steps]
    axes.fill_between(times, least, most, step="post", color="0.9", label="bounds (calendar, database)", gid="bounds")
    axes.step(times, [step.pods for step in steps], where="post", color="C0", label="pods", gid="pods")
    ready = [step.ready for step in steps]
    axes.step(times, ready, where="post", color="C0", linestyle=":", label="ready", gid="ready")
    axes.set_ylabel("pods")


def _load(axes: "Axes", steps: Sequence[Step]) -> None:
    times: Any = [step.time for step in steps]  # matplotlib draws datetimes, but its types do not know
    loads = [float("nan") if step.load is None else step.load for step in steps]
    borne = [step.borne for step in steps]
    over = [step.load is not None and step.load > step.borne for step in steps]
    axes.step(times, loads, where="post", color="C1", label="load", gid="load")
    axes.step(times, borne, where="post", color="0.5", label="what ready pods bear", gid="borne")
    label = "more than they bear"
    axes.fill_between(times, loads, borne, where=over, step="post", color="C3", alpha=0.4, label=label, gid="over")
    axes.set_ylabel("load")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left")
