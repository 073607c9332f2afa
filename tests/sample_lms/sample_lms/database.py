"""The connection pool and the models' common base."""

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import DeclarativeBase

from sample_lms.settings import Settings


class Base(DeclarativeBase):
    """Tables are made by the migrations; the models only describe them."""


def create_pool(settings: Settings) -> Engine:
    """Return an engine that connects on first use, so that the API starts without its database."""
    return create_engine(
        settings.database_url.get_secret_value(),
        pool_size=settings.limits.pool_size,
        max_overflow=settings.limits.max_overflow,
        pool_pre_ping=True,
        # Statement parameters hold the encryption key; they must not reach a traceback.
        hide_parameters=True,
        connect_args={"connect_timeout": 5, "fallback_application_name": "sample-lms"},
    )
