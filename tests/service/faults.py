"""Faults between a worker of a service test and what it needs: a proxy before S3, a small disk, a flipped bit."""

from __future__ import annotations

import http.client
import itertools
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from tests.service.servers import S3Server

# A fault answers instead of the server: status and S3's code; None lets the request through.
Answer = tuple[int, str]


class Request(NamedTuple):
    """A request at the proxy: the how-manieth, its method and its path."""

    number: int
    method: str
    path: str


Fault = Callable[[Request], Answer | None]


class FaultyS3:
    """A proxy before a real S3 server; ``fault`` is asked about each request.

    The next ``broken`` answers with a body break off in its middle.
    """

    def __init__(self, s3: S3Server) -> None:
        self.fault: Fault = lambda _: None
        self.asked = 0
        self.broken = 0
        proxy, numbers = self, itertools.count(1)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                proxy.asked = next(numbers)
                if answer := proxy.fault(Request(proxy.asked, self.command, self.path)):
                    self.refuse(*answer)
                else:
                    self.forward(body)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815 - the names that the base calls

            def refuse(self, status: int, code: str) -> None:
                text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(text)

            def forward(self, body: bytes) -> None:
                connection = http.client.HTTPConnection("127.0.0.1", s3.port)
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    connection.putheader(name, value)
                connection.endheaders(body or None)
                answer = connection.getresponse()
                data = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
                self.send_header("Content-Length", length or "0")
                self.end_headers()
                connection.close()
                sent = proxy.cut(data)
                self.close_connection = len(sent) < len(data)
                self.wfile.write(sent)

            def log_message(self, *_: object) -> None:
                """Nothing: the worker's own log tells."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def cut(self, body: bytes) -> bytes:
        """What is sent of the body of an answer."""
        if not body or not self.broken:
            return body
        self.broken -= 1
        return body[: len(body) // 2]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyS3:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A file system in memory that is full soon; root alone may mount one."""
    folder = Path(tempfile.mkdtemp(prefix="aada-small-"))
    options = f"size={megabytes}m,mode=0777"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        shutil.rmtree(folder)


def flip(file: Path, position: int | None = None) -> None:
    """One bit of a file is another one: in the byte at a position, else in the middle."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2 if position is None else position] ^= 1
    file.write_bytes(data)
