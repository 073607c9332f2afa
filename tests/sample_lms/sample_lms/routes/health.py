"""The health check as the runbook has it, and the two lesser kinds that schools run."""

from datetime import UTC, datetime

from fastapi import APIRouter, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from sample_lms.context import Sessions

full = APIRouter()
shallow = APIRouter()


def _timestamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@full.get("/health")
def health(sessions: Sessions, response: Response) -> dict[str, str]:
    try:
        with sessions() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError:
        response.status_code = 503
        return {"status": "unhealthy", "database": "disconnected", "timestamp": _timestamp()}
    return {"status": "healthy", "database": "connected", "timestamp": _timestamp()}


@shallow.get("/health")
def process_health() -> dict[str, str]:
    return {"status": "healthy", "timestamp": _timestamp()}
