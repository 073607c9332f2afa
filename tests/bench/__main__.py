"""The command line of the benchmark: `python -m tests.bench --help`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from tests.bench.run import Options, run
from tests.testbed.shell import TestbedError, say

DESCRIPTION = """Measures the operator beside a no-op operator (kopf, an event handler, a queue) on one real API server.

A cluster of its own is brought up and removed again. docs/benchmarks.md says what the figures mean."""


def sizes(text: str) -> tuple[int, ...]:
    """Numbers of objects, as `0,100,1000`."""
    found = tuple(sorted({int(number) for number in text.split(",")}))
    if found[0] < 0 or not 0 < found[-1] <= 5000:
        raise argparse.ArgumentTypeError("numbers of objects are 0 to 5000, and not all of them 0")
    return found


def positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def options() -> argparse.Namespace:
    known = Options()
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=sizes, default=known.sizes, help="numbers of objects (0,100,1000)")
    parser.add_argument("--rounds", type=positive, default=known.rounds, help="rounds that count (5), after a warm-up")
    parser.add_argument("--no-warm-up", action="store_true", help="leave out the round that is discarded")
    parser.add_argument("--edits", type=positive, default=known.edits, help="paced edits among the most objects (200)")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), help="JSON file (build/bench.json)")
    return parser.parse_args()


def main() -> int:
    if os.geteuid() != 0:
        os.execvp("sudo", ["sudo", "--preserve-env", sys.executable, "-m", "tests.bench", *sys.argv[1:]])
    chosen = options()
    # A run that is told to end leaves no operator and no cluster behind, whoever tells it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    try:
        document = asyncio.run(run(Options(chosen.objects, chosen.rounds, not chosen.no_warm_up, chosen.edits)))
    except TestbedError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; nothing is left behind")
        return 130
    print(document.pop("table"))
    for name in ("machine", "versions"):
        print(f"\n{name}: " + ", ".join(f"{key} {value}" for key, value in document[name].items()))
    print(f"{document['options']['rounds']} rounds in {document['seconds']} s, load average before "
          f"{document['load_average_before'][0]:.2f}")  # fmt: skip
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(document, indent=2) + "\n")
    say(f"written to {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
