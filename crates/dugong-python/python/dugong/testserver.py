"""A small HTTP/1.1 server on loopback, to try the examples of the documentation: `python -m dugong.testserver`.

It serves HTTP/1.1 with keep-alive, pipelining and `Expect: 100-continue`, without TLS, to this machine alone. It is not
made for anything else.

    GET /doc/N         a line of text, for N from 1 to 1000
    GET /bytes/N       N bytes, for N up to 10,000,000; also a range of them
    GET /json?a=b      the query as a JSON object
    GET /delay/S       an answer after S seconds, at most 10
    GET /cut           half of the content that the head announces, then the end of the connection
    POST, PUT ...      the content of the request, sent back; below /read-only/ it is refused before it is read
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import time
import urllib.parse
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ['Handler', 'Server', 'main']


class Server(ThreadingHTTPServer):
    """Listens at *port* of 127.0.0.1; at any free one if that is 0. `server_port` is the one it got."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(('127.0.0.1', port), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Report errors, but not clients that go away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection in order."""

    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    close_connection: bool

    def do_GET(self) -> None:
        """Answer with the document that the path names."""
        path, _, query = self.path.partition('?')
        if (number := numbered('/doc/', path, 1000)) is not None and number > 0:
            self.answer(200, b'This is document %d.\n' % number)
        elif (size := numbered('/bytes/', path, 10_000_000)) is not None:
            self.answer_range(bytes(range(256)) * (size // 256) + bytes(range(size % 256)))
        elif (seconds := numbered('/delay/', path, 10)) is not None:
            time.sleep(seconds)
            self.answer(200, b'done at last\n')
        elif path == '/json':
            self.answer(200, json.dumps(dict(urllib.parse.parse_qsl(query))).encode(), 'application/json')
        elif path == '/cut':
            self.close_connection = True
            self.answer(200, b'half of it\n', length=22)
        elif path == '/':
            self.answer(200, (__doc__ or '').encode())
        else:
            self.answer(404, b'There is no such document; / lists what there is.\n')

    def do_HEAD(self) -> None:
        """Answer as to GET, without content."""
        self.do_GET()

    def do_POST(self) -> None:
        """Send the content of the request back."""
        self.answer(200, self.content(), self.headers.get('Content-Type', 'application/octet-stream'))

    def do_PUT(self) -> None:
        """Send the content of the request back."""
        self.do_POST()

    def answer(self, status: int, content: bytes, kind: str = 'text/plain', *, length: int | None = None) -> None:
        """Send a response; *length* is announced instead of that of *content*."""
        self.send_response(status)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(content) if length is None else length))
        if self.close_connection:
            self.send_header('Connection', 'close')
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(content)

    def answer_range(self, content: bytes) -> None:
        """Send *content*, or the part of it that `Range: bytes=FIRST-` or `bytes=FIRST-LAST` asks for."""
        wanted = re.fullmatch(r'bytes=(\d{1,10})-(\d{0,10})', self.headers.get('Range', ''))
        size = len(content)
        first = int(wanted[1]) if wanted else 0
        last = min(int(wanted[2] or size), size - 1) if wanted else size - 1
        if wanted and first > last:
            self.answer(416, b'The document ends before that.\n')
            return
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header('Content-Range', f'bytes {first}-{last}/{size}')
        self.send_header('ETag', f'"{size}"')
        self.send_header('Content-Type', 'application/octet-stream')
        self.send_header('Content-Length', str(last + 1 - first))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(content[first : last + 1])

    def content(self) -> bytes:
        """Read the content of the request."""
        if 'Transfer-Encoding' not in self.headers:
            return self.rfile.read(int(self.headers.get('Content-Length', '0')))
        content = b''
        while size := int(self.rfile.readline().partition(b';')[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return content

    def handle_expect_100(self) -> bool:
        """Ask for the content, or refuse it and close."""
        if self.path.startswith('/read-only/'):
            self.close_connection = True
            self.answer(403, b'This folder is read-only.\n')
            return False
        return super().handle_expect_100()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Write no log."""


def numbered(prefix: str, path: str, most: int) -> int | None:
    """Return the number behind *prefix*, or None if the path is another one or the number is larger than *most*."""
    found = re.fullmatch(re.escape(prefix) + '([0-9]{1,8})', path)
    return int(found[1]) if found and int(found[1]) <= most else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog='python -m dugong.testserver', description='Serves documents to try Dugong.')
    parser.add_argument('--port', type=int, default=8080, help='where to listen on 127.0.0.1 (default: 8080; 0: any)')
    with Server(parser.parse_args(arguments).port) as server:
        print(f'listening on http://127.0.0.1:{server.server_port}, until Ctrl-C', flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == '__main__':
    main()
