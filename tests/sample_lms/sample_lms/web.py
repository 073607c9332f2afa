"""The two portals as static pages: `python -m sample_lms.web admin --port 8080`."""

import argparse

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from sample_lms.release import current_version

PORTALS = {"admin": "Administration", "learn": "Learning"}

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>AADA {title}</title></head>
<body><h1>AADA {title}</h1><p>Portal <code>{portal}</code>, release <code>{version}</code>.</p></body>
</html>
"""


def portal_app(portal: str) -> Starlette:
    """Return the site of one portal: one page at /."""
    page = PAGE.format(portal=portal, title=PORTALS[portal], version=current_version())

    def index(_request: Request) -> HTMLResponse:
        return HTMLResponse(page)

    return Starlette(routes=[Route("/", index)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sample_lms.web", description=__doc__)
    parser.add_argument("portal", choices=PORTALS)
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    uvicorn.run(portal_app(options.portal), host=options.host, port=options.port, timeout_graceful_shutdown=30)


if __name__ == "__main__":
    main()
