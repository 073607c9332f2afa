"""The user's page knows every reason that the code can give."""

import re
from pathlib import Path

import aada_operator.lms
from aada_operator.adapters import postgres_errors

PACKAGE = Path(aada_operator.lms.__file__).parent
PAGE = (Path(__file__).parents[3] / "docs" / "aadalms.md").read_text()
# CamelCase words of the code that are no reasons of ours: conditions, kinds, and what Kubernetes and its pods say.
OTHERS = {
    *("DatabaseReachable", "SchemaCurrent", "RolloutHealthy", "SecretsFresh", "CapacitySafe", "BackupFresh"),
    *("PersistentVolumeClaim", "ReadWriteMany", "RollingUpdate", "ClusterIP", "AlwaysAllow", "RuntimeDefault"),
    *(
        "DisruptionTarget",
        "DeadlineExceeded",
        "NewReplicaSetAvailable",
        "PodScheduled",
        "NotNeeded",
        "CrashLoopBackOff",
    ),
    *("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "InvalidImageName", "ErrImageNeverPull"),
    *("ImageInspectError", "SignatureValidationFailed", "CreateContainerConfigError", "CreateContainerError"),
    *("RunContainerError",),
    # phases and the reason of a condition that is False because all is well
    *("RollingOut", "UpToDate"),
}


def test_every_reason_of_the_code_is_explained() -> None:
    code = "".join(path.read_text() for path in sorted(PACKAGE.glob("*.py")))
    words = set(re.findall(r'"((?:[A-Z][a-z]+){2,})"', code)) - OTHERS
    words |= {value for name, value in vars(postgres_errors).items() if name.isupper() and name[0] != "_"}
    assert len(words) > 30
    assert {word for word in words if not re.search(rf"\b{word}\b", PAGE)} == set()
