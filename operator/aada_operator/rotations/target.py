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


def target(spec: SecretRotationSpec, strategy: str, lms: AadaLmsSpec, name: str) -> Target:
    """The Secret of a SecretRotation of the AadaLms ``name``.

    Raises:
        Stalled: NoSigningKey, NoAcceptedKeys.
    """
    match spec.type:
        case "JwtSigningKey":
            return _signing(spec, strategy, lms)
        case "Generic":
            assert spec.secret_ref, "the model demands it"  # noqa: S101
            return Target(spec.secret_ref.name, (spec.secret_ref.key,))
        case _:
            return Target(lms.database.app_secret(name), LOGIN_KEYS)


def _signing(spec: SecretRotationSpec, strategy: str, lms: AadaLmsSpec) -> Target:
    """The key that signs, and the further ones that verify: two keys of one Secret, or one for BlueGreen."""
    named = {variable.name: variable.secret_ref for variable in lms.secrets}
    signing, accepted = named.get(spec.jwt.variable), named.get(spec.jwt.accepted_variable)
    if signing is None:
        message = f"the AadaLms has no variable {spec.jwt.variable} in spec.secrets: add it, or set jwt.variable"
        raise Stalled("NoSigningKey", message)
    if accepted and accepted.name == signing.name:
        return Target(signing.name, (signing.key, accepted.key))
    if strategy == "BlueGreen":
        return Target(signing.name, (signing.key,))
    message = (
        f"the application must accept two keys at once: give the AadaLms a variable {spec.jwt.accepted_variable} in "
        f"spec.secrets from another key of Secret {signing.name} (empty at first); or, if it knows one key only, set "
        "strategy: BlueGreen, and all users log in again once at each rotation"
    )
    raise Stalled("NoAcceptedKeys", message)
