"""Runs the Python examples of the documentation: their output has to be the output that the page shows.

The blocks of a page share one namespace and run in order. Their output has to be the ```text block that follows
them. The names of the pages lead to an origin of this file at any port, and port 8080 of this machine leads to
`dugong.testserver`. A block below `<!-- not run: REASON -->` is only compiled, one below `<!-- needs: MODULE -->` is
left out without that module.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import importlib.util
import io
import json
import logging
import re
import signal
import socket
import socketserver
import ssl
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import trustme

import dugong
from dugong import _session, _sessions, testserver
from dugong._dugong import SessionCore

DOCS = Path(__file__).parents[3] / 'docs'
PAGES = sorted(path for path in DOCS.rglob('*.md') if '_build' not in path.parts and '```python' in path.read_text())


@dataclass
class Block:
    line: int
    language: str
    text: str
    marks: dict[str, str]


def blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page, each with the marks in the comments just above it."""
    marks: dict[str, str] = {}
    lines = iter(enumerate(page.splitlines(), 1))
    for number, line in lines:
        if mark := re.fullmatch(r'<!-- (not run|needs): (\S.*) -->', line):
            marks[mark[1]] = mark[2]
        elif fence := re.fullmatch(r'```(\S*)', line):
            inside = []
            for _, line in lines:
                if line == '```':
                    break
                inside.append(line + '\n')
            yield Block(number, fence[1], ''.join(inside), marks)
            marks = {}
        elif line:
            assert not line.lstrip().startswith('```'), f'line {number}: a block that is not understood here'
            assert not marks, f'line {number}: a mark that belongs to no block'


@pytest.fixture
def limit() -> Iterator[None]:
    """Interrupt an example that does not end."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise AssertionError('the example takes too long')

    old = signal.signal(signal.SIGALRM, stop)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Undoes what an example sets: with a logger at DEBUG, pytest keeps the arguments of all later calls."""
    level, handlers = dugong.log.level, logging.root.handlers[:]
    yield
    dugong.log.setLevel(level)
    logging.root.handlers[:] = handlers


@pytest.mark.usefixtures('limit', 'origin', 'logging_as_before')
@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_examples_of_page(page: Path) -> None:
    namespace: dict[str, Any] = {'__name__': '__main__'}
    output: str | None = None
    is_left_out = False
    where = page.name
    for block in blocks(page.read_text()):
        if block.language == 'text' and is_left_out:
            is_left_out = False
        elif block.language == 'text':
            assert output is not None, f'{page.name}:{block.line}: there is no example that prints this'
            assert output == block.text, f'{where} prints something else'
            output = None
        elif block.language == 'python':
            assert not output, f'{where} prints what the page does not show: {output}'
            where = f'{page.name}:{block.line}'
            code = compile('\n' * block.line + block.text, str(page), 'exec')
            is_left_out = 'needs' in block.marks and not is_there(block.marks['needs'])
            if 'not run' in block.marks or is_left_out:
                output = None
                continue
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(code, namespace)
            output = printed.getvalue()
    assert not output, f'{where} prints what the page does not show: {output}'


def is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def test_there_are_pages() -> None:
    assert len(PAGES) >= 10


def test_reference_has_all_names() -> None:
    """The methods are listed one by one, in an order that makes sense. This finds a forgotten one."""
    reference = (DOCS / 'api.md').read_text()
    conn = dugong.HTTPConnection('www.example.org')
    members = [name for name in dir(conn) if not name.startswith('_') and hasattr(conn, name)]
    wanted = [*dugong.__all__, *(f'HTTPConnection.{name}' for name in members)]
    assert [name for name in wanted if not re.search(rf'\b{re.escape(name)}\b', reference)] == []


# The world of the examples

POEM = """\
Weiß ist der Schnee,
schwarz ist der See.
"""

PAGE = """\
<!DOCTYPE html>
<title>Example</title>
<p>Welcome. There is <a href="/poem.txt">a poem</a>.
"""

DOCUMENTS = {
    '/': ('text/html; charset=utf-8', PAGE.encode()),
    '/poem.txt': ('text/plain; charset=utf-8', POEM.encode()),
    '/archive.tar': ('application/x-tar', bytes(range(256)) * 4096),
    '/log': ('text/plain', b''.join(b'%05d something happened\n' % i for i in range(1000))),
    **{f'/doc/{i}': ('text/plain', b'This is document %d.\n' % i) for i in range(1, 1001)},
}


class Origin(http.server.BaseHTTPRequestHandler):
    """Answers as the host that is asked for: www, docs, storage, slow, flaky, old or proxy."""

    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    timeout = 10
    server: Listener
    answered = 0

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    @property
    def host(self) -> str:
        return self.headers['Host'].partition('.')[0]

    def answer(self, status: int, body: bytes = b'', kind: str = 'text/plain', **fields: str) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header('Content-Type', kind)
            self.send_header('Content-Length', str(len(body)))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def body(self) -> bytes:
        if 'chunked' not in self.headers.get('Transfer-Encoding', ''):
            return self.rfile.read(int(self.headers.get('Content-Length', '0')))
        body = b''
        while size := int(self.rfile.readline().split(b';')[0], 16):
            body += self.rfile.read(size)
            assert self.rfile.readline() == b'\r\n'
        while self.rfile.readline() != b'\r\n':
            pass
        return body

    def parse_request(self) -> bool:
        """Parse a head; a proxy gets whole URLs."""
        self.is_expecting = False
        if not super().parse_request():
            return False
        if self.path.startswith('http://'):
            self.path = '/' + self.path.split('/', 3)[3]
        return not self.is_expecting or self.answer_expectation()

    def handle_expect_100(self) -> bool:
        self.is_expecting = True  # the path is not known yet
        return True

    def do_GET(self) -> None:
        self.body()
        getattr(self, f'get_from_{self.host}')()

    def do_HEAD(self) -> None:
        self.do_GET()

    def get_from_www(self) -> None:
        if self.path == '/report':
            self.send_in_chunks(b'one line\n', b'another line\n')
        elif self.path.startswith('/search?'):
            query = dict(urllib.parse.parse_qsl(self.path.partition('?')[2]))
            self.answer(200, json.dumps({**query, 'hits': 2}).encode(), 'application/json')
        elif self.path in DOCUMENTS:
            kind, body = DOCUMENTS[self.path]
            self.answer(200, body, kind)
        elif self.path == '/moved':
            self.answer(302, Location='http://docs.example.net/doc/1')
        else:
            self.answer(404, b'There is no such document.\n')

    get_from_docs = get_from_www

    def send_in_chunks(self, *chunks: bytes) -> None:
        self.send_response(200)
        self.send_header('Content-Type', 'text/plain')
        self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(b'%x\r\n%b\r\n' % (len(chunk), chunk))
        digest = hashlib.sha256(b''.join(chunks)).hexdigest()
        self.wfile.write(b'0\r\nContent-SHA256: %b\r\n\r\n' % digest.encode())

    def get_from_storage(self) -> None:
        if self.path in self.server.stored:
            self.answer(200, self.server.stored[self.path], 'application/octet-stream')
        else:
            self.answer(404, b'not here\n')

    def get_from_slow(self) -> None:
        """Answer late, or never."""
        if self.path == '/never':
            self.rfile.read(1)  # until the client gives up
            self.close_connection = True
            return
        time.sleep(0.2)
        self.answer(200, b'done at last\n')

    def get_from_flaky(self) -> None:
        """Answers two requests of each connection, and hangs up at the third."""
        if self.answered < 2:
            self.get_from_www()
            self.answered += 1
        else:
            self.hang_up()

    def hang_up(self) -> None:
        """Close in order. If data is left unread, the system discards the answer."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_WR)
        while self.rfile.read(1):
            pass

    def get_from_old(self) -> None:
        """A server that announces neither a length nor the end of the connection."""
        self.wfile.write(b'HTTP/1.1 200 OK\r\n\r\nas in the old days\n')
        self.close_connection = True

    def do_PUT(self) -> None:
        body = self.body()
        self.server.stored[self.path] = body
        self.answer(201, b'stored %d bytes\n' % len(body), ETag=f'"{hashlib.md5(body).hexdigest()}"')

    def do_POST(self) -> None:
        if self.host == 'flaky':
            self.hang_up()
            return
        self.answer(200, b'got %d bytes\n' % len(self.body()))

    def do_DELETE(self) -> None:
        self.body()
        self.answer(204 if self.server.stored.pop(self.path, None) is not None else 404)

    def answer_expectation(self) -> bool:
        if self.path.startswith('/read-only/'):
            self.answer(403, b'this folder is read-only\n', Connection='close')
            self.close_connection = True
            return False
        if self.path.startswith('/silent/'):
            return True
        self.send_response_only(100)
        self.end_headers()
        return True

    def do_CONNECT(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with self.server.tls.wrap_socket(self.connection, server_side=True) as inside:
            Origin(inside, self.client_address, self.server)


class Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    stored: dict[str, bytes]
    tls: ssl.SSLContext

    def __init__(self, *, encrypted: bool) -> None:
        super().__init__(('127.0.0.1', 0), Origin)
        self.encrypted = encrypted
        self.failures: list[BaseException] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        sock, address = super().get_request()
        if self.encrypted:
            sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return sock, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        exc = sys.exception()
        # Clients go away, and refuse some certificates.
        if exc and not isinstance(exc, (ConnectionError, TimeoutError, ssl.SSLError)):
            self.failures.append(exc)


@pytest.fixture
def origin(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Serve the hosts of the examples, resolve their names to this machine, and trust our certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert('*.example.org').configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / 'ca.pem'))
    monkeypatch.setenv('SSL_CERT_FILE', str(tmp_path / 'ca.pem'))
    monkeypatch.chdir(tmp_path)

    stored: dict[str, bytes] = {}
    with Listener(encrypted=False) as plain, Listener(encrypted=True) as encrypted, testserver.Server() as own:
        ports = {80: plain, 443: encrypted, 3128: plain}

        def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
            if host.endswith('.invalid'):
                raise socket.gaierror(socket.EAI_NONAME, 'Name or service not known')
            if (host, port) in (('localhost', 8080), ('127.0.0.1', 8080)):
                return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, '', own.server_address)]
            known = host.endswith(('.example.org', '.example.net')) or (host, port) in dugong.DNS_TEST_HOSTNAMES
            assert known, f'{host} is not a name for examples'
            address = ports.get(port, plain).server_address
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, '', address)]

        def core(origin: str, settings: dict[str, Any]) -> SessionCore:
            """Lead a session to the servers of this file: it looks names up by itself, or lets a proxy do that."""
            url = urllib.parse.urlsplit(origin)
            if url.netloc in ('localhost:8080', '127.0.0.1:8080'):
                origin = f'http://127.0.0.1:{own.server_address[1]}'
            elif url.hostname and url.hostname.endswith(('.example.org', '.example.net')):
                settings = {**settings, 'proxy': f'http://127.0.0.1:{plain.server_address[1]}'}
                if url.scheme == 'https' and 'tls' not in settings and 'ssl_context' not in settings:
                    # The platform's certificates are read once, perhaps by an earlier test.
                    settings['tls'] = (authority.cert_pem.bytes(), None, None)
            return SessionCore(origin, settings)

        monkeypatch.setattr(socket, 'getaddrinfo', getaddrinfo)
        for module in _session, _sessions:
            monkeypatch.setattr(module, 'SessionCore', core)
        threads = []
        for listener in plain, encrypted:
            listener.stored = stored
            listener.tls = context
        for server in plain, encrypted, own:
            threads.append(threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.05}))
            threads[-1].start()
        yield
        for server in plain, encrypted, own:
            server.shutdown()
        for thread in threads:
            thread.join(10)
        failures = plain.failures + encrypted.failures
    if failures:
        raise failures[0]
