"""Passwords, access tokens and refresh tokens."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from sample_lms.settings import Settings

ACCESS_TOKEN_LIFE = timedelta(minutes=15)
REFRESH_TOKEN_LIFE = timedelta(days=14)
ALGORITHM = "HS256"

# OWASP's smallest recommended memory: with argon2's default of 64 MiB, a class that logs in at once kills the pod.
_passwords = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@dataclass(frozen=True)
class Identity:
    """Who a request comes from, as its access token says."""

    user_id: int
    role: str


def password_matches(password_hash: str, password: str) -> bool:
    """Compare with the cost that the hash itself carries."""
    try:
        return _passwords.verify(password_hash, password)
    except VerifyMismatchError:
        return False


def access_token(settings: Settings, identity: Identity) -> str:
    """Return a token that any process with the same key accepts for 15 minutes."""
    now = datetime.now(UTC)
    claims = {
        "sub": str(identity.user_id),
        "role": identity.role,
        "jti": uuid4().hex,
        "iat": now,
        "exp": now + ACCESS_TOKEN_LIFE,
    }
    return jwt.encode(claims, settings.jwt_secret_key.get_secret_value(), ALGORITHM)


def identify(settings: Settings, token: str) -> Identity | None:
    """Return whose token this is; None when it has expired or no accepted key signed it."""
    for key in settings.verification_keys():
        try:
            claims = jwt.decode(token, key, [ALGORITHM], options={"require": ["sub", "exp"]})
        except jwt.InvalidTokenError:
            continue
        return Identity(int(claims["sub"]), claims["role"])
    return None


def new_refresh_token() -> str:
    return secrets.token_urlsafe(32)


def refresh_token_digest(token: str) -> bytes:
    """What the database keeps of a refresh token; the token is random, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).digest()
