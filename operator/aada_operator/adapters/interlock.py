"""The claims on an AadaLms, kept on a Lease of its own: every change is compare-and-swap.

``kubectl get leases`` shows who works. The Lease is not renewed: a claim lasts as long as its object exists and has not
ended, and who is kept out looks for that. It goes with the AadaLms.
"""

import json
from contextlib import suppress

from pydantic import TypeAdapter, ValidationError

from aada_operator.adapters.kube import Kube
from aada_operator.api.common import GROUP, LABEL_LMS
from aada_operator.core.errors import Waiting
from aada_operator.core.interlock import OPERATION_IN_PROGRESS, Answer, Claim, ask, disruptive, without
from aada_operator.core.resources import AADA_LMS, LEASES, OWN, Object, owner_reference

ANNOTATION_CLAIMS = f"{GROUP}/claims"
# Seconds until somebody who waits asks again.
RETRY = 10.0
_ENDED = ("Completed", "Failed")
_CLAIMS = TypeAdapter(tuple[Claim, ...])


def lease_name(lms: str) -> str:
    """The Lease with the claims on an AadaLms."""
    return f"{lms}-operations"


async def claim(kube: Kube, namespace: str, lms: str, wanted: Claim) -> None:
    """Hold a claim; one that is held already costs one read.

    Raises:
        Waiting: OperationInProgress, somebody else is at work or was there first; Conflict, the list changed meanwhile;
            AadaLmsNotFound; ClaimsUnreadable.
    """
    lease = await _lease(kube, namespace, lms)
    before = _claims_of(lease)
    answer = await _ask(kube, namespace, before, wanted)
    if answer.claims != before:
        await _keep(kube, lease, answer.claims)
    if answer.blockers:
        raise Waiting(OPERATION_IN_PROGRESS, f"waits for {', '.join(map(str, answer.blockers[:3]))}", RETRY)


async def release(kube: Kube, namespace: str, lms: str, uid: str) -> None:
    """Give back what an object claims, or waits for; without a claim this costs a read.

    Where the server does not answer now, or the list changed meanwhile, the claim stays until `tidied` or somebody who
    is kept out finds that its object has ended.
    """
    with suppress(Waiting):
        if (lease := await kube.get(LEASES, namespace, lease_name(lms))) is None:
            return
        before = _claims_of(lease)
        after = without(before, lambda one: one.uid == uid)
        if after != before:
            await _keep(kube, lease, after)


async def tidied(kube: Kube, namespace: str, lms: str) -> tuple[Claim, ...]:
    """All claims on an AadaLms; those of objects that are gone or have ended are dropped.

    Raises:
        Waiting: ClaimsUnreadable; Conflict, the list changed meanwhile.
    """
    lease = await kube.get(LEASES, namespace, lease_name(lms))
    if lease is None:
        return ()
    claims = _claims_of(lease)
    over = [one for one in claims if await _is_over(kube, namespace, one)]
    if not over:
        return claims
    left = without(claims, over.__contains__)
    await _keep(kube, lease, left)
    return left


async def held(kube: Kube, namespace: str, lms: str) -> tuple[Claim, ...]:
    """The claims under which somebody works on an AadaLms now; nothing is changed.

    Raises:
        Waiting: ClaimsUnreadable.
    """
    lease = await kube.get(LEASES, namespace, lease_name(lms))
    claims = [one for one in _claims_of(lease) if one.held] if lease else []
    return tuple([one for one in claims if not await _is_over(kube, namespace, one)])


async def _ask(kube: Kube, namespace: str, claims: tuple[Claim, ...], wanted: Claim) -> Answer:
    """Ask, without those in the way whose object is gone or has ended."""
    while True:
        answer = ask(claims, wanted)
        over = [one for one in answer.blockers if await _is_over(kube, namespace, one)]
        if not over:
            return answer
        claims = without(claims, over.__contains__)


async def _is_over(kube: Kube, namespace: str, one: Claim) -> bool:
    body = await kube.get(OWN[one.kind], namespace, one.name)
    if body is None or body["metadata"]["uid"] != one.uid:
        return True
    return one.kind != AADA_LMS.kind and (body.get("status") or {}).get("phase") in _ENDED


async def _lease(kube: Kube, namespace: str, lms: str) -> Object:
    """The Lease of an AadaLms, made when it is not there yet."""
    name = lease_name(lms)
    if found := await kube.get(LEASES, namespace, name):
        return found
    owner = await kube.get(AADA_LMS, namespace, lms)
    if owner is None:
        raise Waiting("AadaLmsNotFound", f"AadaLms {lms} does not exist: create it")
    body = {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {LABEL_LMS: lms},
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": {},
    }
    if made := await kube.create(LEASES, body):
        return made
    raise Waiting("Conflict", "somebody else made the Lease meanwhile", 1.0)


def _claims_of(lease: Object) -> tuple[Claim, ...]:
    text = (lease["metadata"].get("annotations") or {}).get(ANNOTATION_CLAIMS, "[]")
    try:
        return _CLAIMS.validate_json(text)
    except ValidationError:
        name = lease["metadata"]["name"]
        fix = f"when nothing runs, remove it: kubectl annotate lease {name} {ANNOTATION_CLAIMS}-"
        message = f"annotation {ANNOTATION_CLAIMS} of Lease {name} cannot be read: {fix}"
        raise Waiting("ClaimsUnreadable", message, 30.0) from None


async def _keep(kube: Kube, lease: Object, claims: tuple[Claim, ...]) -> None:
    said = json.dumps([one.model_dump(by_alias=True, exclude_defaults=True) for one in claims])
    holder = disruptive(claims)
    patch = {
        "metadata": {"annotations": {ANNOTATION_CLAIMS: said}},
        "spec": {"holderIdentity": f"{holder.kind}/{holder.name}" if holder else None},
    }
    if await kube.patch(LEASES, lease, patch) is None:
        raise Waiting("Conflict", "the Lease is gone meanwhile", 1.0)
