"""The API: gunicorn calls create_app in every worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from sqlalchemy.orm import Session, sessionmaker

from sample_lms import audit
from sample_lms.database import create_pool
from sample_lms.release import RELEASES, current_version
from sample_lms.routes import announcements, auth, courses, enrolments, health
from sample_lms.settings import Settings, settings_from_environment

HEALTH_ROUTES = {"full": [health.full], "shallow": [health.shallow], "none": []}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # As many requests at once as there are connections; anyio's default of 40 would leave some unused.
    settings: Settings = app.state.settings
    current_default_thread_limiter().total_tokens = settings.limits.connections_per_worker
    yield
    app.state.sessions.kw["bind"].dispose()


def create_app() -> FastAPI:
    """Return the API of this release; RuntimeError for the release that cannot start."""
    version = current_version()
    release = RELEASES[version]
    if not release.starts:
        raise RuntimeError(f"{version} does not start: the payment gateway is not configured")
    settings = settings_from_environment()
    app = FastAPI(title="Sample LMS", version=version, lifespan=lifespan)
    app.state.settings = settings
    app.state.sessions = sessionmaker(create_pool(settings), class_=Session, expire_on_commit=False)
    audit.install(app)
    for routes in (auth, courses, enrolments):
        app.include_router(routes.router)
    for router in HEALTH_ROUTES[settings.health]:
        app.include_router(router)
    if release.announcements:
        app.include_router(announcements.router)
    return app
