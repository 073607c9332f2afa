"""What every request handler may ask for."""

from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session, sessionmaker

from sample_lms.security import Identity, identify
from sample_lms.settings import Settings

_bearer = HTTPBearer(auto_error=False)


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _sessions(request: Request) -> sessionmaker[Session]:
    sessions: sessionmaker[Session] = request.app.state.sessions
    return sessions


CurrentSettings = Annotated[Settings, Depends(_settings)]
# Handlers open a session only around their queries. One held until the answer is sent
# would keep a second connection beside the audit row's.
Sessions = Annotated[sessionmaker[Session], Depends(_sessions)]


def _identity(
    request: Request,
    settings: CurrentSettings,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Identity:
    identity = identify(settings, credentials.credentials) if credentials else None
    if identity is None:
        raise HTTPException(401, "not signed in", {"WWW-Authenticate": "Bearer"})
    request.state.user_id = identity.user_id
    return identity


SignedIn = Annotated[Identity, Depends(_identity)]


def _teacher(identity: SignedIn) -> Identity:
    if identity.role not in ("admin", "instructor"):
        raise HTTPException(403, "only instructors may do this")
    return identity


Teacher = Annotated[Identity, Depends(_teacher)]
