"""The command line: ``aada-operator run | worker | crds | keygen | simulate``."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from pythonjsonlogger.json import JsonFormatter

from aada_operator import __version__
from aada_operator.scaling.simulation import arguments

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    chosen = _parser().parse_args(arguments)
    code: int = chosen.command(chosen)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aada-operator", description="The AADA LMS operator.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run the operator (settings: environment variables AADA_…)")
    run.set_defaults(command=_run)
    worker = commands.add_parser("worker", help="do one task inside a Job (task: AADA_TASK)")
    worker.add_argument(
        "task", choices=["backup", "verify", "restore", "collect", "copy", "uploads", "uploads-restore"]
    )
    worker.set_defaults(command=_worker)
    crds = commands.add_parser("crds", help="print or write the CustomResourceDefinitions")
    crds.add_argument("--out", type=Path, help="folder to write one file per kind to; default: print all")
    crds.set_defaults(command=_crds)
    keygen = commands.add_parser("keygen", help="make an age key pair for encrypted backups")
    keygen.add_argument("--out", type=Path, help="file for the private key (mode 0600); default: print it")
    keygen.set_defaults(command=_keygen)
    simulate = commands.add_parser("simulate", help="replay what was recorded, without a cluster")
    scaling = simulate.add_subparsers(required=True, metavar="WHAT").add_parser(
        "scaling", help="how many pods a ScalingPolicy would have had", description="Replay a day of a ScalingPolicy."
    )
    arguments.add(scaling)
    scaling.set_defaults(command=_simulate_scaling)
    return parser


def _run(_: argparse.Namespace) -> int:
    import uvloop

    from aada_operator import app
    from aada_operator.adapters.leader import LeadershipLost
    from aada_operator.settings import Settings

    settings = Settings()
    configure_logging(settings.log_format, settings.log_level)
    try:
        uvloop.run(app.run(settings))
    except asyncio.CancelledError:
        return 0
    except LeadershipLost:
        logger.error("ending: the Lease was lost")  # noqa: TRY400 - the traceback says nothing
        return 1
    return 0


def _worker(chosen: argparse.Namespace) -> int:
    from aada_operator import worker

    configure_logging("json", "INFO")
    return worker.main([chosen.task])


def _crds(chosen: argparse.Namespace) -> int:
    # Here and not above: a worker, which starts anew for every backup, needs none of the kinds' models.
    from aada_operator.api.registry import documents

    found = documents()
    if chosen.out is None:
        sys.stdout.write("---\n".join(found.values()))
        return 0
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name, text in found.items():
        (chosen.out / name).write_text(text)
    return 0


def _keygen(chosen: argparse.Namespace) -> int:
    from aada_operator.worker import keys

    return keys.main(chosen.out)


def _simulate_scaling(chosen: argparse.Namespace) -> int:
    from aada_operator.scaling.simulation import command

    return command.main(chosen)


def configure_logging(form: str, level: str) -> None:
    """Log to standard output, as JSON for machines or as text for people."""
    handler = logging.StreamHandler(sys.stdout)
    if form == "json":
        handler.setFormatter(
            JsonFormatter(
                "{asctime}{levelname}{name}{message}",
                style="{",
                rename_fields={"asctime": "ts", "levelname": "level", "name": "logger", "message": "msg"},
            )
        )
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Client libraries put bodies, headers and addresses into their messages: only our own words are logged.
    for library in ("kubernetes", "aiohttp", "botocore", "boto3", "urllib3", "psycopg"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    logging.getLogger("kopf").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
