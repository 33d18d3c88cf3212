"""Tests against foreign servers: Python's own, and nginx over TLS."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from interop_support import PATIENCE, Worker, certificate_file, client_context

import dugong
from dugong import BodyFollowing, ConnectionClosed, HTTPConnection

# Python's own server


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends its files, echoes content, and announces when it closes."""

    timeout = PATIENCE

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        size = int(self.path.rpartition('/')[2] or 0)
        if self.path.startswith('/error'):
            self.send_error(404)
        elif self.path.startswith('/chunked'):
            self.send_response(200)
            self.send_header('Transfer-Encoding', 'chunked')
            self.end_headers()
            for at in range(0, size, 1000):
                part = b'c' * min(1000, size - at)
                self.wfile.write(b'%x\r\n%s\r\n' % (len(part), part))
            self.wfile.write(b'0\r\nX-Sum: %d\r\n\r\n' % size)
        elif self.path.startswith('/close'):
            self.send_response(200)
            self.send_header('Connection', 'close')
            self.end_headers()
            self.wfile.write(b'x' * size)
        else:
            self.answer(b'x' * size)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header('Content-Length', '1000')
        self.end_headers()

    def do_PUT(self) -> None:
        if 'chunked' in self.headers.get('Transfer-Encoding', ''):
            body = b''
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                assert self.rfile.readline() == b'\r\n'
            while self.rfile.readline() != b'\r\n':
                pass
        else:
            body = self.rfile.read(int(self.headers['Content-Length']))
        self.answer(hashlib.sha256(body).hexdigest().encode())

    def do_DELETE(self) -> None:
        assert self.headers['Content-Length'] == '0'
        self.send_response(204)
        self.end_headers()

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class PythonServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, version: str, tls: bool, folder: Path | None = None) -> None:
        kind: Any = Handler if folder is None else http.server.SimpleHTTPRequestHandler

        class OfThisVersion(kind):  # type: ignore[misc]
            protocol_version = version

            def __init__(self, *args: Any) -> None:
                super().__init__(*args, **({} if folder is None else {'directory': str(folder)}))

            def log_message(self, *args: Any) -> None:
                pass

        super().__init__(('127.0.0.1', 0), OfThisVersion)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate_file())
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.tls = tls
        self.version = version
        self.errors: list[BaseException] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        exc = sys.exc_info()[1]
        assert exc is not None
        self.errors.append(exc)

    def __enter__(self) -> Self:
        self.worker = Worker(self.serve_forever, 0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.worker.result()
        self.server_close()

    def connection(self) -> HTTPConnection:
        conn = HTTPConnection('localhost', self.server_port, ssl_context=client_context() if self.tls else None)
        conn.timeout = PATIENCE
        return conn


@pytest.fixture(params=['HTTP/1.0', 'HTTP/1.1', 'HTTP/1.1 TLS'])
def python_server(request: pytest.FixtureRequest) -> Iterator[PythonServer]:
    version, _, tls = request.param.partition(' ')
    with PythonServer(version, bool(tls)) as server:
        yield server


def fetch(conn: HTTPConnection, method: str, path: str, **kwargs: Any) -> tuple[int, bytes]:
    conn.send_request(method, path, **kwargs)
    status = conn.read_response().status
    return status, conn.readall()


def test_http_server(python_server: PythonServer) -> None:
    with python_server.connection() as conn:

        def next_one() -> None:
            if python_server.version == 'HTTP/1.0':
                # 12.4: the server closes after each response, and the connection does not reconnect by itself (14.2).
                conn.send_request('GET', '/')
                with pytest.raises(ConnectionClosed):
                    conn.read_response()
                conn.disconnect()

        for size in 0, 1, 1000, 1_000_000:
            assert fetch(conn, 'GET', f'/{size}') == (200, b'x' * size)
            next_one()
        assert fetch(conn, 'HEAD', '/') == (200, b'')
        next_one()
        body = os.urandom(1_000_000)
        digest = hashlib.sha256(body).hexdigest().encode()
        assert fetch(conn, 'PUT', '/', body=body) == (200, digest)
        next_one()
        conn.send_request('PUT', '/', body=BodyFollowing(len(body)))
        for at in range(0, len(body), 100_000):
            conn.write(body[at : at + 100_000])
        conn.read_response()
        assert conn.readall() == digest
        next_one()
        assert fetch(conn, 'DELETE', '/') == (204, b'')
    assert python_server.errors == []


def test_http_server_closes(python_server: PythonServer) -> None:
    with python_server.connection() as conn:
        conn.send_request('GET', '/close/100000')
        response = conn.read_response()
        assert response.length is None
        if python_server.tls:
            # It closes TCP without close_notify, so the end of the content is unknown (12.8).
            with pytest.raises(ConnectionClosed):
                conn.readall()
        else:
            assert conn.readall() == b'x' * 100_000
        conn.disconnect()
        # The server's own error page has a length, and announces the close.
        conn.send_request('GET', '/error/0')
        response = conn.read_response()
        assert (response.status, response.reason) == (404, 'Not Found')
        assert response.headers['Connection'] == 'close'
        assert len(conn.readall()) == response.length
        conn.send_request('GET', '/0')
        with pytest.raises(ConnectionClosed):
            conn.read_response()


@pytest.fixture(params=['HTTP/1.1', 'HTTP/1.1 TLS'])
def persistent_server(request: pytest.FixtureRequest) -> Iterator[PythonServer]:
    with PythonServer('HTTP/1.1', request.param.endswith('TLS')) as server:
        yield server


def test_http_server_chunked(persistent_server: PythonServer) -> None:
    with persistent_server.connection() as conn:
        for size in 0, 1, 100_000:
            conn.send_request('GET', f'/chunked/{size}')
            response = conn.read_response()
            assert response.length is None
            assert conn.readall() == b'c' * size
            assert response.trailers['X-Sum'] == str(size)
        conn.send_request('PUT', '/', body=BodyFollowing())
        conn.write(b'hello')
        conn.write(b'world')
        conn.finish()
        conn.read_response()
        assert conn.readall() == hashlib.sha256(b'helloworld').hexdigest().encode()
    assert persistent_server.errors == []


def test_http_server_pipelined(persistent_server: PythonServer) -> None:
    with persistent_server.connection() as conn:
        for number in range(100):
            conn.send_request('GET', f'/{number}')
        for number in range(100):
            assert conn.read_response().path == f'/{number}'
            assert conn.readall() == b'x' * number
    assert persistent_server.errors == []


def test_http_server_continues(persistent_server: PythonServer) -> None:
    with persistent_server.connection() as conn:
        conn.send_request('PUT', '/', body=BodyFollowing(5), expect100=True)
        assert conn.read_response().status == 100
        conn.write(b'hello')
        assert conn.read_response().status == 200
        assert conn.readall() == hashlib.sha256(b'hello').hexdigest().encode()


def test_http_server_sends_files(tmp_path: Path) -> None:
    body = os.urandom(300_000)
    (tmp_path / 'file').write_bytes(body)
    (tmp_path / 'page.html').write_text('<p>\n'.join(map(str, range(1000))))
    with PythonServer('HTTP/1.1', False, tmp_path) as server, server.connection() as conn:
        assert fetch(conn, 'GET', '/file') == (200, body)
        conn.send_request('GET', '/page.html')
        assert conn.read_response().headers.get_content_type() == 'text/html'
        # 16.1: as a stream
        text = io.TextIOWrapper(conn, encoding='ascii')
        assert [line.strip() for line in text] == [*(f'{number}<p>' for number in range(999)), '999']
        text.detach()
        conn.send_request('GET', '/missing')
        assert conn.read_response().status == 404
        conn.discard()


# nginx

NGINX = shutil.which('nginx') or shutil.which('nginx', path='/usr/sbin:/usr/local/sbin')

CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 64; }}
http {{
    access_log off;
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 50m;
    keepalive_timeout 60s;
    server {{
        listen {host}:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
        root {folder}/files;
        location / {{ }}
        location /dav/ {{ {dav} }}
        location /few/ {{ keepalive_requests 3; alias {folder}/files/; }}
        location /small/ {{ client_max_body_size 10k; return 200; }}
        location = /status {{ return 418 "teapot\\n"; }}
        location = /gone {{ return 301 /file; }}
        location = /closed {{ return 444; }}
        location /chunked/ {{
            alias {folder}/files/;
            sub_filter_types *;
            sub_filter hello world;
            sub_filter_once off;
        }}
    }}
}}
"""


@pytest.fixture(scope='module')
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('nginx')
    (folder / 'files' / 'dav').mkdir(parents=True)
    (folder / 'files' / 'file').write_bytes(os.urandom(1 << 20))
    (folder / 'files' / 'hello').write_bytes(b'hello\n' * 20_000)
    for number in range(100):
        (folder / 'files' / str(number)).write_bytes(b'%d' % number * (number * 50))
    return folder


@pytest.fixture(scope='module')
def nginx(files: Path) -> Iterator[tuple[str, int]]:
    if NGINX is None:
        pytest.skip('nginx is not installed')
    # A host of our own, so that no other process takes this port between our choice and nginx's.
    pid = os.getpid()
    host = f'127.20.{pid >> 8 & 255}.{pid & 255}'
    with socket.create_server((host, 0)) as sock:
        port = sock.getsockname()[1]
    version = subprocess.run([NGINX, '-V'], capture_output=True, text=True, check=True).stderr
    dav = 'dav_methods PUT DELETE MOVE; create_full_put_path on;' if 'http_dav_module' in version else ''
    config = files / 'nginx.conf'
    settings = {'folder': files, 'host': host, 'port': port, 'certificate': certificate_file(), 'dav': dav}
    config.write_text(CONFIG.format(**settings))
    process = subprocess.Popen(
        [NGINX, '-p', str(files), '-e', str(files / 'error.log'), '-c', str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection((host, port), 1).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, (files / 'error.log').read_text()
                assert time.monotonic() < end
                time.sleep(0.01)
        yield host, port
    finally:
        process.terminate()
        process.wait(PATIENCE)


class OtherName:
    """A context that checks the certificate for this name, independently of the address (7.11)."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context

    def wrap_socket(self, sock: socket.socket, *, server_hostname: str) -> ssl.SSLSocket:
        assert server_hostname.startswith('127.')
        return self.context.wrap_socket(sock, server_hostname='localhost')


@pytest.fixture
def conn(nginx: tuple[str, int]) -> Iterator[HTTPConnection]:
    with HTTPConnection(*nginx, ssl_context=OtherName(client_context())) as conn:
        conn.timeout = PATIENCE
        yield conn


def test_nginx_files(conn: HTTPConnection, files: Path) -> None:
    body = (files / 'files' / 'file').read_bytes()
    conn.send_request('GET', '/file')
    response = conn.read_response()
    assert response.headers['Server'].startswith('nginx')
    assert response.headers['Date'].endswith(' GMT')  # 4.4
    assert response.length == len(body)
    assert conn.readall() == body
    conn.send_request('HEAD', '/file')
    response = conn.read_response()
    assert (response.length, response.headers['Content-Length']) == (0, str(len(body)))
    etag = response.headers['ETag']
    assert fetch(conn, 'GET', '/file', headers={'If-None-Match': etag}) == (304, b'')
    assert fetch(conn, 'GET', '/missing')[0] == 404
    assert fetch(conn, 'GET', '/status') == (418, b'teapot\n')
    assert fetch(conn, 'GET', '/gone')[0] == 301
    assert fetch(conn, 'DELETE', '/file')[0] in (403, 405)
    cipher = conn.get_ssl_cipher()
    assert cipher is not None
    assert cipher[1].startswith('TLS')


def test_nginx_ranges(conn: HTTPConnection, files: Path) -> None:
    body = (files / 'files' / 'file').read_bytes()
    ranges = [(0, 0), (0, 99), (1000, 200_000), (len(body) - 1, len(body) - 1)]
    for first, last in ranges:
        conn.send_request('GET', '/file', {'Range': f'bytes={first}-{last}'})
    for first, last in ranges:
        response = conn.read_response()
        assert (response.status, response.length) == (206, last - first + 1)
        assert response.headers['Content-Range'] == f'bytes {first}-{last}/{len(body)}'
        assert conn.readall() == body[first : last + 1]
    assert fetch(conn, 'GET', '/file', headers={'Range': f'bytes={len(body)}-'})[0] == 416
    conn.send_request('GET', '/file', {'Range': 'bytes=0-9,20-29'})
    assert conn.read_response().headers.get_content_type() == 'multipart/byteranges'
    assert body[20:30] in conn.readall()


def test_nginx_pipelined(conn: HTTPConnection) -> None:
    for _ in range(3):
        for number in range(100):
            conn.send_request('GET', f'/{number}')
        for number in range(100):
            response = conn.read_response()
            assert (response.path, response.status) == (f'/{number}', 200)
            assert conn.readall() == b'%d' % number * (number * 50)


def test_nginx_pipelined_by_two_threads(conn: HTTPConnection, files: Path) -> None:
    body = (files / 'files' / 'file').read_bytes()
    sent = threading.Semaphore(0)

    def send() -> None:
        for number in range(1000):  # the number of requests that nginx answers on one connection by default
            conn.send_request('GET', '/file' if number % 20 == 0 else f'/{number % 100}')
            sent.release()

    conn.connect()
    sender = Worker(send)
    for number in range(1000):
        assert sent.acquire(timeout=PATIENCE)
        assert conn.read_response().status == 200
        expected = body if number % 20 == 0 else b'%d' % (number % 100) * (number % 100 * 50)
        assert conn.readall() == expected
    sender.result()


def test_nginx_closes_after_some_requests(conn: HTTPConnection) -> None:
    """Statement 14.2: the last answer announces the close; later requests are lost, and the connection stays closed."""
    sent = 0
    with contextlib.suppress(ConnectionClosed):  # 14.3: if nginx has closed already
        for number in range(6):
            conn.send_request('GET', f'/few/{number}')
            sent += 1
    assert sent >= 3
    for number in range(3):
        response = conn.read_response()
        assert response.path == f'/few/{number}'
        assert response.headers['Connection'] == ('close' if number == 2 else 'keep-alive')
        assert conn.readall() == b'%d' % number * (number * 50)
    if sent == 3:
        conn.send_request('GET', '/few/3')
        sent += 1
    with pytest.raises(ConnectionClosed) as caught:
        conn.read_response()
    assert caught.value.unanswered == tuple(('GET', f'/few/{number}', True) for number in range(3, sent))  # 2.4
    conn.reset()
    assert fetch(conn, 'GET', '/few/1') == (200, b'1' * 50)


def test_nginx_chunked(conn: HTTPConnection) -> None:
    """A filter of nginx makes the length unknown."""
    for read in 'readall', 'read', 'readinto':
        conn.send_request('GET', '/chunked/hello')
        response = conn.read_response()
        assert response.length is None
        assert response.headers['Transfer-Encoding'] == 'chunked'
        if read == 'readall':
            got = conn.readall()
        elif read == 'read':
            got = b''.join(iter(lambda: bytes(conn.read(10_000)), b''))
        else:
            buf = bytearray(10_000)
            got = b''.join(iter(lambda: bytes(buf[: conn.readinto(buf)]), b''))  # noqa: B023
        assert got == b'world\n' * 20_000


def test_nginx_closes_without_an_answer(conn: HTTPConnection) -> None:
    conn.send_request('GET', '/closed')
    with pytest.raises(ConnectionClosed) as caught:
        conn.read_response()
    assert caught.value.unanswered == (('GET', '/closed', True),)


@pytest.fixture
def dav(nginx: tuple[str, int]) -> None:
    assert NGINX
    version = subprocess.run([NGINX, '-V'], capture_output=True, text=True, check=True).stderr
    if 'http_dav_module' not in version:
        pytest.skip('this nginx has no module for uploads')


@pytest.mark.usefixtures('dav')
def test_nginx_uploads(conn: HTTPConnection, files: Path) -> None:
    body = os.urandom(3_000_000)
    target = files / 'files' / 'dav' / 'new'
    assert fetch(conn, 'PUT', '/dav/new', body=body)[0] == 201
    assert target.read_bytes() == body
    # 204, and no further answer
    conn.send_request('PUT', '/dav/new', body=BodyFollowing(len(body)))
    for at in range(0, len(body), 99_999):
        conn.write(body[at : at + 99_999])
    assert conn.read_response().status == 204
    assert not conn.response_pending()
    conn.send_request('PUT', '/dav/new', body=BodyFollowing(5), expect100=True)
    assert conn.read_response().status == 100
    conn.write(b'hello')
    assert conn.read_response().status == 204
    assert target.read_bytes() == b'hello'
    conn.send_request('PUT', '/dav/chunked', body=BodyFollowing())
    conn.write(b'hello')
    conn.write(body)
    conn.finish()
    assert conn.read_response().status == 201
    conn.discard()
    assert (files / 'files' / 'dav' / 'chunked').read_bytes() == b'hello' + body
    assert fetch(conn, 'GET', '/dav/new') == (200, b'hello')
    assert fetch(conn, 'DELETE', '/dav/new')[0] == 204
    assert not target.exists()
    assert fetch(conn, 'PUT', '/dav/empty', body=b'')[0] == 201
    assert fetch(conn, 'GET', '/dav/empty') == (200, b'')


@pytest.mark.usefixtures('dav')
def test_nginx_refuses_an_upload(conn: HTTPConnection) -> None:
    """The server answers before it has all of the body, and closes. The answer can be read (9.7)."""
    conn.send_request('PUT', '/small/a', body=BodyFollowing(40 << 20))
    # It reads on for a while, and we write as long as it is fast enough.
    with contextlib.suppress(ConnectionClosed):
        for _ in range(40):
            conn.write(bytes(1 << 20))
    assert conn.read_response().status == 413
    assert b'413' in conn.readall()
    conn.disconnect()
    # 10.3: with an expectation, none of the body is sent.
    conn.send_request('PUT', '/small/a', body=BodyFollowing(40 << 20), expect100=True)
    assert conn.read_response().status == 413
    conn.discard()
    with pytest.raises(dugong.StateError):
        conn.write(b'x')
    assert fetch(conn, 'GET', '/1') == (200, b'1' * 50)
