"""An HTTP server that stores files, and lists directories, for tests of file systems."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class FileServer(ThreadingHTTPServer):
    """Stores what it gets by PUT. A PUT of a path with a slash at its end makes a directory."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.directories = {'/'}
        self.requests: list[tuple[str, str]] = []
        self.connections = 0
        self.guard = threading.Lock()

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self.server_address[1]}'

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients end connections."""

    def make_parents(self, path: str) -> None:
        parts = path.split('/')[:-1]
        self.directories |= {'/'.join(parts[: count + 1]) + '/' for count in range(len(parts))}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    # A response leaves in one piece, and at once.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: FileServer

    def log_message(self, *_arguments: Any) -> None:
        pass

    def parse_request(self) -> bool:
        is_good = super().parse_request()
        if is_good:
            with self.server.guard:
                self.server.requests.append((self.command, self.path))
        return is_good

    def answer(self, status: int, content: bytes = b'', **fields: str) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace('_', '-'), value)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(content)

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        files = self.server.files
        if path.startswith('/moved/'):
            self.answer(302, Location=self.path.removeprefix('/moved'))
        elif path == '/secret':
            self.answer(403)
        elif path == '/broken':
            self.answer(500)
        elif path in self.server.directories:
            self.answer(200, self.listing(path), Content_Type='text/html; charset=utf-8')
        elif path + '/' in self.server.directories:
            self.answer(301, Location=path + '/')
        elif path not in files:
            self.answer(404)
        else:
            self.answer_file(files[path])

    do_HEAD = do_GET  # noqa: N815

    def answer_file(self, content: bytes) -> None:
        asked = self.headers['Range']
        if asked is None:
            self.answer(200, content, Content_Type='application/octet-stream', Accept_Ranges='bytes')
            return
        first, _, last = asked.removeprefix('bytes=').partition('-')
        start = int(first) if first else max(len(content) - int(last), 0)
        end = min(int(last) + 1, len(content)) if first and last else len(content)
        if start >= len(content):
            self.answer(416, Content_Range=f'bytes */{len(content)}')
            return
        self.answer(206, content[start:end], Content_Range=f'bytes {start}-{end - 1}/{len(content)}')

    def listing(self, path: str) -> bytes:
        everything = {*self.server.files, *self.server.directories} - {path}
        names = {name.removeprefix(path) for name in everything if name.startswith(path)}
        names = {name.partition('/')[0] + ('/' if '/' in name else '') for name in names}
        links = [f'<li><a href="{escape(name)}">{escape(name)}</a></li>' for name in sorted(names)]
        return f'<a href="?C=M">Age</a> <a href="../">Up</a><ul>{"".join(links)}</ul>'.encode()

    def do_PUT(self) -> None:
        content = self.content()
        server = self.server
        with server.guard:
            is_there = self.path in server.files or self.path in server.directories
            if is_there and self.headers['If-None-Match'] == '*':
                self.answer(412)
                return
            server.make_parents(self.path)
            if self.path.endswith('/'):
                server.directories.add(self.path)
            else:
                server.files[self.path] = content
        self.answer(201)

    do_POST = do_PUT  # noqa: N815

    def content(self) -> bytes:
        if self.headers['Transfer-Encoding'] != 'chunked':
            return self.rfile.read(int(self.headers['Content-Length'] or 0))
        pieces: list[bytes] = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b''.join(pieces)

    def do_DELETE(self) -> None:
        server = self.server
        with server.guard:
            if self.path in server.files:
                del server.files[self.path]
                self.answer(204)
            elif self.path in server.directories:
                server.directories.remove(self.path)
                self.answer(204)
            else:
                self.answer(404)


@contextlib.contextmanager
def serving() -> Iterator[FileServer]:
    """Run the server in a thread."""
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
