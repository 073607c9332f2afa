"""The options of ``aada-operator simulate scaling``; nothing is imported that other commands do not need."""

import argparse
from pathlib import Path

_EXAMPLE = """\
example, with the files of docs/examples:
  aada-operator simulate scaling --policy scalingpolicy.yaml --lms lms.yaml --from day.csv \\
      --max-connections 200 --out day.svg

The CSV file has a time and a number in each line, as Grafana exports a panel ("Inspect", "Data", "Download CSV"):
  Time,cores
  2026-09-01T08:00:00-05:00,1.73

The load is that of all pods together, in cores, or in another unit with --pod-bears. A query for it:
  sum(rate(container_cpu_usage_seconds_total{namespace="school", pod=~"aada-backend-.*", container!=""}[2m]))
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLE
    parser.add_argument("--policy", type=Path, required=True, metavar="FILE", help="the ScalingPolicy, as YAML")
    parser.add_argument("--from", type=Path, required=True, metavar="FILE", dest="recording", help="the load, as CSV")
    parser.add_argument("--column", default="", metavar="NAME", help="column of the load; default: the second")
    parser.add_argument("--lms", type=Path, metavar="FILE", help="the AadaLms, as YAML: for connections and requests")
    parser.add_argument(
        "--max-connections", type=int, default=100, metavar="N", help="of the database server; default: 100"
    )
    parser.add_argument(
        "--pod-bears", type=float, metavar="LOAD",
        help="load of one pod at 100%%; default: limits.cpu, or requests.cpu, of the component",
    )  # fmt: skip
    parser.add_argument("--pod-start", default="30s", metavar="TIME", help="until a pod is ready; default: 30s")
    parser.add_argument("--holidays", type=Path, metavar="FILE", help="the iCalendar file that the policy names")
    parser.add_argument("--format", choices=["table", "json"], default="table", help="what is printed")
    parser.add_argument("--out", type=Path, metavar="FILE", help="picture to write, .svg or .png (needs matplotlib)")
