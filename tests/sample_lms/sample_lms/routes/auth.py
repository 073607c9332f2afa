"""Signing in, staying signed in, and who one is."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from sample_lms import accounts
from sample_lms.context import CurrentSettings, Sessions, SignedIn
from sample_lms.models import User
from sample_lms.security import ACCESS_TOKEN_LIFE, Identity, access_token, password_matches
from sample_lms.settings import Settings

router = APIRouter()

Short = Annotated[str, Field(max_length=320)]


class Credentials(BaseModel):
    email: Short
    password: Short


class RefreshRequest(BaseModel):
    refresh_token: Short


class Tokens(BaseModel):
    access_token: str
    refresh_token: str
    token_type: str = "bearer"
    expires_in: int = int(ACCESS_TOKEN_LIFE.total_seconds())


class Profile(BaseModel):
    id: int
    email: str
    full_name: str
    role: str
    profile: dict[str, Any]


def _tokens(session: Session, settings: Settings, user: User) -> Tokens:
    return Tokens(
        access_token=access_token(settings, Identity(user.id, user.role)),
        refresh_token=accounts.issue_refresh_token(session, user.id),
    )


@router.post("/auth/login")
def login(credentials: Credentials, sessions: Sessions, settings: CurrentSettings) -> Tokens:
    with sessions.begin() as session:
        user = accounts.find_by_email(session, credentials.email, settings.encryption_key.get_secret_value())
        if user is None or not password_matches(user.password_hash, credentials.password):
            raise HTTPException(401, "wrong e-mail address or password")
        return _tokens(session, settings, user)


@router.post("/auth/refresh")
def refresh(body: RefreshRequest, sessions: Sessions, settings: CurrentSettings) -> Tokens:
    with sessions.begin() as session:
        user = accounts.redeem_refresh_token(session, body.refresh_token)
        if user is None:
            raise HTTPException(401, "the refresh token is unknown, used or expired")
        return _tokens(session, settings, user)


@router.get("/me")
def me(identity: SignedIn, sessions: Sessions, settings: CurrentSettings) -> Profile:
    email = accounts.decrypted(User.email_encrypted, settings.encryption_key.get_secret_value())
    with sessions() as session:
        row = session.execute(select(User, email).where(User.id == identity.user_id)).one_or_none()
    if row is None:
        raise HTTPException(401, "the account is gone")
    user, address = row
    return Profile(id=user.id, email=address, full_name=user.full_name, role=user.role, profile=user.profile)
