"""Users' files in a claim: written and read through a pod that mounts it, as the application would."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.cluster import builders
from tests.cluster.servers import Bucket
from tests.cluster.testbed_pods import pod
from tests.cluster.workspace import Object, Workspace
from tests.testbed.services import S3_SECRET, make_bucket

# A name that is no ASCII, one with blanks and a quote, and one file that is empty.
FIRST: dict[str, str] = {
    "documents/contract.pdf": "signed by Ada\n" * 1000,
    "photos/Zoë's class, 2026.jpg": "JFIF" * 500,
    "empty": "",
}
_WRITE = """
import json, pathlib, sys
for name, text in json.load(sys.stdin).items():
    path = pathlib.Path("/data", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True) if text is None else path.write_text(text)
"""
_READ = """
import json, pathlib
found = [path for path in pathlib.Path("/data").rglob("*") if path.is_file()]
print(json.dumps({str(path.relative_to("/data")): path.read_text() for path in found}))
"""


@dataclass(frozen=True)
class Claim:
    """A claim, made with the pod that looks into it."""

    workspace: Workspace
    name: str

    @classmethod
    def make(cls, workspace: Workspace, name: str) -> Claim:
        """The claim, and a pod that mounts it as long as the namespace lives."""
        workspace.apply(builders.claim(name))
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": name}}
        workspace.apply(json.loads(pod(f"look-into-{name}", "sleep", "infinity", volumes=[volume])))
        workspace.kubectl("wait", "--for=condition=Ready", f"pod/look-into-{name}", "--timeout=90s")
        return cls(workspace, name)

    def write(self, files: dict[str, str | None]) -> None:
        """Files by path; None removes one."""
        self._python(_WRITE, json.dumps(files))

    def read(self) -> dict[str, str]:
        """All files."""
        return dict(json.loads(self._python(_READ, "")))

    def _python(self, program: str, text: str) -> str:
        command = ("exec", "--stdin", f"pod/look-into-{self.name}", "--", "python3", "-c", program)
        return self.workspace.kubectl(*command, input=text)


def copied_to(s3: Bucket, name: str) -> Object:
    """The policy's ``uploads``: a new bucket with versions."""
    make_bucket(s3.workspace.cluster, s3.server, name, versioning=True)
    place = {"bucket": name, "endpoint": s3.endpoint, "credentialsSecretRef": {"name": S3_SECRET}}
    return {"s3": place, "interval": "1m"}
