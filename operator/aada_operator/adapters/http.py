"""A request to the application inside the cluster, of which only the status counts."""

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=10)


async def status_of(url: str) -> int | None:
    """The status that a GET is answered with, redirects not followed; None when there is no answer."""
    # The environment's proxy has no say inside the cluster.
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            return answer.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None
