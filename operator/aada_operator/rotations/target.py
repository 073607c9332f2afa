"""Which Secret a SecretRotation changes, and which of its keys; pure."""

from dataclasses import dataclass

from aada_operator.api.lms import AadaLmsSpec
from aada_operator.api.rotation import SecretRotationSpec
from aada_operator.core.errors import Stalled

LOGIN_KEYS = ("username", "password")


@dataclass(frozen=True)
class Target:
    """``keys`` are those whose values say which revision a Secret has; what else is in it is not ours."""

    secret: str
    keys: tuple[str, ...]


def target(spec: SecretRotationSpec, lms: AadaLmsSpec, name: str) -> Target:
    """The Secret of a SecretRotation of the AadaLms ``name``.

    Raises:
        Stalled: NoSigningKey, NoAcceptedKeys.
    """
    match spec.type:
        case "JwtSigningKey":
            return _signing(spec, lms)
        case "Generic":
            assert spec.secret_ref, "the model demands it"  # noqa: S101
            return Target(spec.secret_ref.name, (spec.secret_ref.key,))
        case _:
            return Target(lms.database.app_secret(name), LOGIN_KEYS)


def _signing(spec: SecretRotationSpec, lms: AadaLmsSpec) -> Target:
    """The key that signs, and the further ones that verify: two keys of one Secret."""
    named = {variable.name: variable.secret_ref for variable in lms.secrets}
    signing, accepted = named.get(spec.jwt.variable), named.get(spec.jwt.accepted_variable)
    if signing is None:
        message = f"the AadaLms has no variable {spec.jwt.variable} in spec.secrets: add it, or set jwt.variable"
        raise Stalled("NoSigningKey", message)
    if accepted is None or accepted.name != signing.name:
        message = (
            f"the application must accept two keys at once: give the AadaLms a variable {spec.jwt.accepted_variable} "
            f"in spec.secrets from another key of Secret {signing.name} (empty at first)"
        )
        raise Stalled("NoAcceptedKeys", message)
    return Target(signing.name, (signing.key, accepted.key))
