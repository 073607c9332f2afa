"""Accounts in the database: encrypted e-mail addresses, and refresh tokens as rows."""

from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import ColumnElement, Text, func, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from sample_lms.models import RefreshToken, User
from sample_lms.security import REFRESH_TOKEN_LIFE, new_refresh_token, refresh_token_digest


def decrypted(column: InstrumentedAttribute[bytes], key: str) -> ColumnElement[str]:
    return func.pgp_sym_decrypt(column, key, type_=Text)


def find_by_email(session: Session, email: str, key: str) -> User | None:
    """Decrypt every user's address to find one: no index can serve this, and one row under another key fails it."""
    return session.scalars(select(User).where(decrypted(User.email_encrypted, key) == email)).one_or_none()


def issue_refresh_token(session: Session, user_id: int) -> str:
    """Store a new refresh token's digest, and return the token."""
    token = new_refresh_token()
    now = datetime.now(UTC)
    session.add(
        RefreshToken(
            id=uuid4(),
            user_id=user_id,
            token_sha256=refresh_token_digest(token),
            issued_at=now,
            expires_at=now + REFRESH_TOKEN_LIFE,
        )
    )
    return token


def redeem_refresh_token(session: Session, token: str) -> User | None:
    """Revoke a live token and return its user, once: of two requests with the same token, one gets None."""
    now = datetime.now(UTC)
    revoke = (
        update(RefreshToken)
        .where(RefreshToken.token_sha256 == refresh_token_digest(token))
        .where(RefreshToken.revoked_at.is_(None), RefreshToken.expires_at > now)
        .values(revoked_at=now)
        .returning(RefreshToken.user_id)
    )
    user_id = session.scalar(revoke)
    return session.get(User, user_id) if user_id is not None else None
