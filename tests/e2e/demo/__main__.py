"""``make demo``: tells the story on this checkout's cluster, then says what to try."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from tests.e2e.demo.story import Story
from tests.testbed.provider import open_cluster
from tests.testbed.shell import TestbedError, say

NEXT = """
What to try next (`make cluster-down` removes everything):

  export KUBECONFIG={kubeconfig}
  kubectl config set-context --current --namespace={namespace}

  kubectl get aada                                     # everything that the operator looks after
  kubectl describe lms aada                            # conditions: what holds, and the way out where it does not
  kubectl scale deploy/aada-backend --replicas=0       # drift: put right at once
  kubectl create -f manifests/samples/backup.yaml      # a backup now; watch it with: kubectl get lmsb -w
  kubectl patch lms aada --type=merge -p '{{"spec":{{"version":"v1.2.3"}}}}'    # an older image: see why it is refused

docs/your-own-application.md says how to point it at your own application."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--namespace", default="school", help="namespace of the school (default: school)")
    parser.add_argument("--size", default="40MB", help="size of the school's database (default: 40MB)")
    chosen = parser.parse_args()
    started = time.monotonic()
    story = Story(open_cluster(), chosen.namespace, chosen.size)
    try:
        story.tell()
    except (TestbedError, AssertionError) as error:
        say(f"the demo stopped: {error}")
        return 1
    except subprocess.CalledProcessError as error:
        say(f"the demo stopped: {error}\n{error.stderr or ''}")
        return 1
    sys.stdout.write(f"\n{story.overview()}")
    here = {"namespace": chosen.namespace, "kubeconfig": story.cluster.kubeconfig_path}
    sys.stdout.write(NEXT.format(**here) + "\n")
    say(f"\ndone in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
