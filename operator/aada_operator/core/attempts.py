"""When an attempt that failed is tried again; pure."""

from datetime import datetime, timedelta

from aada_operator.core.clock import from_rfc3339
from aada_operator.core.worker_jobs import JobState

# Seconds between attempts: doubled from the first to the longest.
FIRST_RETRY, LONGEST_RETRY = 10.0, 300.0


def until(moment: str | None, now: datetime) -> float:
    """Seconds until a moment of the status; 0 when it has come, or there is none."""
    return max(0.0, (from_rfc3339(moment) - now).total_seconds()) if moment else 0.0


def retry_at(state: JobState, deadline: datetime, now: datetime, delay: float) -> datetime | None:
    """When a failed attempt is tried again, None when that is no use or would be too late."""
    moment = now + timedelta(seconds=delay)
    return moment if state.retryable and moment <= deadline else None
