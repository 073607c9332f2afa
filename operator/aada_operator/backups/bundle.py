"""What the bundle of a backup is to hold, read from the cluster when its Job is about to start."""

from collections.abc import Iterable

from aada_operator.adapters.kube import Kube
from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.bundle import BundleOrder
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.core import bundle
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, SECRETS, Object


async def bundle_order(kube: Kube, namespace: str, policy: BackupPolicySpec, lms: AadaLmsSpec) -> BundleOrder:
    """The AadaLms, its policies, and all Secrets that these name; of a Secret only its name and type are kept."""
    name = policy.lms_ref.name
    policies = [body for body in await kube.list(BACKUP_POLICIES, namespace) if _is_of(name, body)]
    body = await kube.get(AADA_LMS, namespace, name)
    objects = [*([body] if body else []), *policies]
    wanted = _secrets(objects, name, lms)
    encrypted = policy.encryption.mode == "Age"
    found = {secret: await kube.get(SECRETS, namespace, secret) for secret in wanted} if encrypted else {}
    missed = {secret: live for secret, live in found.items() if live or wanted[secret]}
    return bundle.order(objects, missed, encrypted=encrypted)


def _secrets(objects: Iterable[Object], name: str, lms: AadaLmsSpec) -> dict[str, bool]:
    """The Secrets that are named, and those whose names are defaults; True: their absence is told."""
    certificates = [c.tls_secret_name or f"{name}-{c.name}-tls" for c in lms.components if c.host]
    found = dict.fromkeys(certificates, False)
    found |= bundle.secrets_named([body["spec"] for body in objects])
    return found | {lms.database.app_secret(name): True, bundle.chunk_key_name(name): True}


def _is_of(lms: str, policy: Object) -> bool:
    return bool(((policy.get("spec") or {}).get("lmsRef") or {}).get("name") == lms)
