"""Statements 7.11 and 7.12: TLS by an `ssl.SSLContext` or another object."""

from __future__ import annotations

import contextlib
import gc
import re
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from peers import LIMIT, Peer, Serve, Server, answer_all, get
from tunnels import Only, Plain, Tunnel, Wrapping, drive

from dugong import (
    POLLIN,
    BodyFollowing,
    HTTPConnection,
    eval_coroutine,
)


@pytest.mark.parametrize('proxied', [False, True])
def test_7_11_any_object_with_wrap_socket(tunnel: Tunnel, proxied: bool) -> None:
    up, down = b'up' * 500_000, b'down' * 500_000

    def script(peer: Peer) -> None:
        if proxied:
            peer.head()
            peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        peer.start_tls(tunnel.server_tls)
        assert peer.server_name == 'localhost'
        for _ in range(2):
            assert peer.request().body == up
            peer.answer(down)
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nend')

    context: Any = Wrapping(tunnel.client_tls)
    with Server(script) as server:
        with HTTPConnection('localhost', server.port, context) as conn:
            if proxied:
                conn.proxy = ('127.0.0.1', server.port)
            conn.timeout = LIMIT
            conn.send_request('PUT', '/', body=up)
            conn.read_response()
            assert conn.readall() == down
            conn.send_request('PUT', '/', body=BodyFollowing(len(up)))
            conn.write(up)
            conn.read_response()
            got = bytearray()
            while part := conn.read(1000):
                got += part
            assert got == down
            conn.send_request('GET', '/')
            conn.read_response()
            buf = bytearray(10)
            assert conn.readinto(buf) == 3
            assert conn.readinto(buf) == 0
        assert 'close' in context.made[0].called
    [((sock, *rest), kwargs)] = context.calls
    assert rest == []
    assert kwargs == {'server_hostname': 'localhost'}
    assert isinstance(sock, socket.socket)


def test_7_11_a_context_without_encryption() -> None:
    """An object other than a TLS socket raises `BlockingIOError` when it would wait."""
    up, down = b'up' * 500_000, b'down' * 500_000

    def script(peer: Peer) -> None:
        assert peer.request().body == up
        peer.answer(down)

    context: Any = Plain()
    with Server(script) as server, HTTPConnection('127.0.0.1', server.port, context) as conn:
        conn.timeout = LIMIT
        conn.send_request('PUT', '/', body=up)
        assert conn.read_response().length == len(down)
        assert conn.readall() == down
        assert context.made[0].called.count('close') == 0
    assert 'close' in context.made[0].called
    assert context.calls[0][1] == {'server_hostname': '127.0.0.1'}


def test_7_11_reading_and_writing_by_coroutines() -> None:
    down = b'down' * 500_000
    sent = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        assert sent.wait(LIMIT)
        peer.answer(down)

    context: Any = Plain()
    with Server(script) as server, HTTPConnection('127.0.0.1', server.port, context) as conn:
        drive(conn.co_send_request('GET', '/'), [])
        crt = conn.co_read_response()
        need = next(crt)
        assert need.mask == POLLIN
        assert need.fd == context.calls[0][0][0].fileno()
        sent.set()
        drive(crt, [])
        assert eval_coroutine(conn.co_readall(), LIMIT) == down


class Lying(Only):
    """A socket that claims to have received more than it was asked for."""

    def __init__(self, sock: socket.socket) -> None:
        def recv(size: int) -> bytes:
            return sock.recv(size) + (bytes(size) if self.lies else b'')

        def recv_into(buf: Any, *size: int) -> int:
            return sock.recv_into(buf, *size) + (len(buf) if self.lies else 0)

        super().__init__(sock)
        self.lies = False
        self._methods.update(recv=recv, recv_into=recv_into)


@pytest.mark.parametrize('method', ['read_response', 'readall', 'readinto', 'discard'])
def test_7_11_more_received_than_asked_for(method: str) -> None:
    calls: dict[str, Callable[[], object]] = {
        'read_response': lambda: conn.read_response(),
        'readall': lambda: conn.readall(),
        'readinto': lambda: conn.readinto(bytearray(1 << 20)),
        'discard': lambda: conn.discard(),
    }
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n')
        assert go_on.wait(LIMIT)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client reads a part, and goes
            peer.send(bytes(1_000_000))

    class Context(Plain):
        def wrap_socket(self, *args: Any, **kwargs: Any) -> Any:
            self.made.append(Lying(args[0]))
            return self.made[-1]

    context: Any = Context()
    with Server(script, answer_all) as server, HTTPConnection('127.0.0.1', server.port, context) as conn:
        conn.timeout = LIMIT
        conn.send_request('GET', '/')
        if method != 'read_response':
            conn.read_response()
        context.made[0].lies = True
        go_on.set()
        with pytest.raises(OSError, match='asked') as caught:
            calls[method]()
        assert not isinstance(caught.value, BlockingIOError)
        conn.disconnect()
        assert get(conn, '/a') == b'/a'


def test_7_11_a_context_of_a_subclass(server_tls: ssl.SSLContext, authority: trustme.CA) -> None:
    class Mine(ssl.SSLContext):
        pass

    context = Mine(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    with Server(answer_all, tls=server_tls) as server, HTTPConnection('localhost', server.port, context) as conn:
        assert get(conn, '/a') == b'/a'


@pytest.mark.parametrize('hostname', ['localhost', '127.0.0.1'])
@pytest.mark.parametrize('wrapped', [False, True])
def test_7_11_whether_names_are_checked_is_up_to_the_context(
    authority: trustme.CA, hostname: str, wrapped: bool
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert('elsewhere.example.org').configure_cert(tls)
    names: list[str | None] = []

    def lenient(peer: Peer) -> None:
        peer.start_tls(tls)
        names.append(peer.server_name)
        answer_all(peer)

    def strict(peer: Peer) -> None:
        with pytest.raises((ssl.SSLError, EOFError, ConnectionError)):
            peer.start_tls(tls)
            peer.exactly(1)

    real = ssl.create_default_context()
    authority.configure_trust(real)
    context: Any = Wrapping(real) if wrapped else real
    with Server(strict, lenient) as server, HTTPConnection(hostname, server.port, context) as conn:
        with pytest.raises(ssl.SSLCertVerificationError):
            conn.connect()
        real.check_hostname = False
        assert get(conn, '/a') == b'/a'
    assert names == [None if hostname == '127.0.0.1' else hostname]
    if wrapped:
        assert [kwargs for _, kwargs in context.calls] == [{'server_hostname': hostname}] * 2


@pytest.mark.parametrize('wrapped', [False, True])
def test_7_11_whether_certificates_are_checked_is_up_to_the_context(wrapped: bool) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert('localhost').configure_cert(tls)

    def script(peer: Peer) -> None:
        peer.start_tls(tls)
        answer_all(peer)

    real = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    real.check_hostname = False
    real.verify_mode = ssl.CERT_NONE
    context: Any = Wrapping(real) if wrapped else real
    with Server(script) as server, HTTPConnection('localhost', server.port, context) as conn:
        assert get(conn, '/a') == b'/a'


@pytest.mark.parametrize('name', ['connect', 'get_ssl_cipher', 'get_ssl_peercert'])
def test_7_11_a_failed_check_is_raised_by_the_call_that_connects(server_tls: ssl.SSLContext, name: str) -> None:
    def script(peer: Peer) -> None:
        with pytest.raises((ssl.SSLError, EOFError, ConnectionError)):
            peer.start_tls(server_tls)
            peer.exactly(1)

    with Server(script) as server:
        conn = HTTPConnection('localhost', server.port, ssl.create_default_context())
        with pytest.raises(ssl.SSLCertVerificationError, match=re.escape('CERTIFICATE_VERIFY_FAILED')):
            getattr(conn, name)()
    gc.collect()


def test_7_11_tickets_of_the_session_are_no_data(serve_tls: Serve) -> None:
    """Servers with TLS 1.3 send tickets at once, which make the socket readable without a response."""
    conn = serve_tls(answer_all)
    conn.connect()
    for path in '/a', '/b':
        assert get(conn, path) == path.encode()


@pytest.mark.parametrize('version', [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_7_11_versions_of_tls(authority: trustme.CA, client_tls: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = tls.maximum_version = version
    authority.issue_cert('localhost').configure_cert(tls)
    with Server(answer_all, tls=tls) as server, HTTPConnection('localhost', server.port, client_tls) as conn:
        assert get(conn, '/a') == b'/a'
        cipher = conn.get_ssl_cipher()
        assert cipher is not None
        assert len(cipher) == 3


# 7.12


def test_7_12_without_tls(serve_plain: Serve) -> None:
    conn = serve_plain(answer_all)
    for _ in range(2):
        assert conn.get_ssl_peercert() is None
        assert conn.get_ssl_peercert(binary_form=True) is None
        assert conn.get_ssl_cipher() is None
        get(conn, '/a')


def test_7_12_certificate(serve_tls: Serve, authority: trustme.CA) -> None:
    conn = serve_tls(answer_all)
    cert: Any = conn.get_ssl_peercert()
    assert ('DNS', 'localhost') in cert['subjectAltName']
    assert conn.get_ssl_peercert(False) == cert
    assert conn.get_ssl_peercert(binary_form=False) == cert
    get(conn, '/a')
    assert conn.get_ssl_peercert() == cert


def test_7_12_binary_form(serve_tls: Serve, client_tls: ssl.SSLContext) -> None:
    conn = serve_tls(answer_all, answer_all)
    der: Any = conn.get_ssl_peercert(binary_form=True)
    assert isinstance(der, bytes)
    assert conn.get_ssl_peercert(True) == der
    with (
        socket.create_connection(('127.0.0.1', conn.port), timeout=LIMIT) as sock,
        client_tls.wrap_socket(sock, server_hostname='localhost') as tls,
    ):
        assert tls.getpeercert(binary_form=True) == der


def test_7_12_cipher(serve_tls: Serve) -> None:
    conn = serve_tls(answer_all)
    cipher = conn.get_ssl_cipher()
    assert cipher is not None
    name, protocol, bits = cipher
    assert isinstance(name, str)
    assert protocol.startswith('TLSv1')
    assert bits >= 128


def test_7_12_an_unchecked_certificate(serve_tls: Serve) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    conn = serve_tls(answer_all)
    conn.ssl_context = context
    assert conn.get_ssl_peercert() == {}
    assert isinstance(conn.get_ssl_peercert(binary_form=True), bytes)


def test_7_12_any_result_of_the_socket_is_returned() -> None:
    class Socket(Only):
        asked: list[bool] = []

        def getpeercert(self, binary_form: bool = False) -> Any:
            self.asked.append(binary_form)
            return ['my', 'certificate']

        def cipher(self) -> Any:
            return 'my cipher'

    class Context:
        def wrap_socket(self, sock: socket.socket, server_hostname: str) -> Any:
            return Socket(sock)

    context: Any = Context()
    with Server(answer_all) as server, HTTPConnection('127.0.0.1', server.port, context) as conn:
        cert: Any = conn.get_ssl_peercert()
        assert cert == ['my', 'certificate']
        cert = conn.get_ssl_peercert(binary_form=True)
        assert cert == ['my', 'certificate']
        cipher: Any = conn.get_ssl_cipher()
        assert cipher == 'my cipher'
        assert Socket.asked == [False, True]
