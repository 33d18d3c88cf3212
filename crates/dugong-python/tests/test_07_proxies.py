"""Statements 7.9 and 7.10: proxies and tunnels."""

from __future__ import annotations

import ssl

import pytest
import trustme
from peers import LIMIT, Peer, Serve, Server, answer_all, get
from tunnels import Tunnel, resolve

from dugong import (
    BodyFollowing,
    eval_coroutine,
)


def test_7_9_requests_to_a_proxy_carry_the_absolute_url(monkeypatch: pytest.MonkeyPatch, serve_plain: Serve) -> None:
    hosts: list[str] = []

    def proxy(peer: Peer) -> None:
        for _ in range(3):
            got = peer.request()
            hosts.extend(got.values('Host'))
            peer.answer(f'{got.method} {got.target} {got.version}'.encode())

    conn = serve_plain(proxy)
    conn.hostname, port, conn.port = 'www.example.org', conn.port, 8080
    conn.proxy = ('proxy.example.org', port)
    asked = resolve(monkeypatch, {'proxy.example.org': [('127.0.0.1', port)]})
    for method, path in ('GET', '/a?b=c'), ('PUT', '/'):
        conn.send_request(method, path)
        resp = conn.read_response()
        assert (resp.method, resp.path) == (method, path)
        assert conn.readall() == f'{method} http://www.example.org:8080{path} HTTP/1.1'.encode()
    conn.port = 80
    assert get(conn, '/a') == b'GET http://www.example.org/a HTTP/1.1'
    assert hosts == ['www.example.org:8080', 'www.example.org:8080', 'www.example.org']
    assert asked == ['proxy.example.org']  # and no other name


def test_7_9_ipv6(serve_plain: Serve) -> None:
    conn = serve_plain(answer_all)
    conn.proxy = ('127.0.0.1', conn.port)
    conn.hostname, conn.port = '::1', 8080
    assert get(conn, '/a') == b'http://[::1]:8080/a'


def test_7_9_the_host_of_the_caller_has_no_effect(serve_plain: Serve) -> None:
    conn = serve_plain(answer_all, hostname='www.example.org')
    port, conn.proxy = conn.port, ('127.0.0.1', conn.port)
    conn.send_request('GET', '/a', headers={'host': 'elsewhere.example.org'})
    conn.read_response()
    assert conn.readall() == f'http://www.example.org:{port}/a'.encode()


def test_7_9_names_that_are_no_names_are_not_sent(serve_plain: Serve) -> None:
    """CR and LF in a host name would become fields and requests."""
    conn = serve_plain(answer_all)
    conn.proxy = ('127.0.0.1', conn.port)
    for name in 'x\r\nInjected: y', 'x HTTP/1.1\r\n\r\nGET /wrong', 'x y', 'x\n', 'x\0':
        conn.hostname = name
        with pytest.raises(ValueError):  # noqa: PT011
            conn.send_request('GET', '/wrong')
    conn.hostname, conn.port = 'www.example.org', 80
    assert get(conn, '/a') == b'http://www.example.org/a'


@pytest.mark.parametrize('path', ['x', '@evil.example/', 'http://other.example/', ':1/', '.evil.example/', '?/', '*'])
def test_7_9_and_8_11_a_path_is_not_a_part_of_the_name_of_the_host(serve_plain: Serve, path: str) -> None:
    heads: list[bytes] = []

    def proxy(peer: Peer) -> None:
        heads.append(peer.request().raw)
        peer.answer()
        assert peer.rest() == b''

    conn = serve_plain(proxy, hostname='www.example.org')
    conn.proxy, conn.port = ('127.0.0.1', conn.port), 80
    for is_connected in False, True:
        if is_connected:
            conn.connect()
        for body in None, b'secret', BodyFollowing(5):
            with pytest.raises(ValueError, match='/'):
                conn.send_request('PUT', path, body=body)
            with pytest.raises(ValueError, match='/'):
                eval_coroutine(conn.co_send_request('PUT', path, body=body), LIMIT)
        assert not conn.response_pending()
        assert not conn._out_remaining
    conn.send_request('GET', '/a')
    assert conn.read_response().status == 200
    [head] = heads
    assert head.startswith(b'GET http://www.example.org/a HTTP/1.1\r\n')


def test_7_9_body_and_pipelining(serve_plain: Serve) -> None:
    bodies: list[bytes] = []

    def proxy(peer: Peer) -> None:
        got = [peer.request() for _ in range(3)]
        bodies.extend(one.body for one in got)
        for one in got:
            peer.answer(one.target.encode())

    conn = serve_plain(proxy, hostname='www.example.org')
    url, conn.proxy = f'http://www.example.org:{conn.port}', ('127.0.0.1', conn.port)
    conn.send_request('GET', '/a')
    conn.send_request('PUT', '/b', body=b'12345')
    conn.send_request('PUT', '/c', body=BodyFollowing(3))
    conn.write(b'678')
    for path in '/a', '/b', '/c':
        assert conn.read_response().path == path
        assert conn.readall() == f'{url}{path}'.encode()
    assert bodies == [b'', b'12345', b'678']


# 7.10


def test_7_10_tunnel(monkeypatch: pytest.MonkeyPatch, tunnel: Tunnel) -> None:
    names: list[str | None] = []
    requests: list[tuple[str, list[str]]] = []

    def proxy(peer: Peer) -> None:
        got = peer.head()
        assert (got.method, got.target, got.version) == ('CONNECT', 'localhost:443', 'HTTP/1.1')
        assert got.values('Host') == ['localhost:443']
        assert got.values('Content-Length') in ([], ['0'])
        assert not got.values('Transfer-Encoding')
        peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        peer.start_tls(tunnel.server_tls)
        names.append(peer.server_name)
        for _ in range(2):
            got = peer.request()
            requests.append((got.target, got.values('Host')))
            peer.answer(got.target.encode())
        assert peer.rest() == b''

    with Server(proxy) as server, tunnel.conn(server) as conn:
        conn.proxy = ('proxy.example.org', server.port)
        asked = resolve(monkeypatch, {'proxy.example.org': [('127.0.0.1', server.port)]})
        for path in '/a', '/b':
            conn.send_request('GET', path)
            assert conn.read_response().path == path
            assert conn.readall() == path.encode()
        assert asked == ['proxy.example.org']
    assert names == ['localhost']
    assert requests == [('/a', ['localhost']), ('/b', ['localhost'])]


def test_7_10_other_ports(tunnel: Tunnel) -> None:
    def proxy(peer: Peer) -> None:
        got = peer.head()
        assert got.target == 'localhost:8443'
        assert got.values('Host') == ['localhost:8443']
        peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        peer.start_tls(tunnel.server_tls)
        got = peer.request()
        assert (got.target, got.values('Host')) == ('/a', ['localhost:8443'])
        peer.answer(b'x')

    with Server(proxy) as server, tunnel.conn(server) as conn:
        conn.port = 8443
        assert get(conn, '/a') == b'x'


@pytest.mark.parametrize(
    'answer',
    [
        b'HTTP/1.1 200 OK\r\n\r\n',
        b'HTTP/1.0 200 Connection established\r\n\r\n',
        b'HTTP/1.1 200\r\n\r\n',
        b'HTTP/1.1 200 OK\r\nProxy-Agent: x\r\nVia: y\r\n\r\n',
        b'HTTP/1.1 200 OK\r\nX: ' + b'x' * 60000 + b'\r\n\r\n',
        b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n',  # RFC 9110 §9.3.6: such fields are ignored
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
        b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n',
        b'HTTP/1.1 201 Created\r\n\r\n',
        b'HTTP/1.1 204 No Content\r\n\r\n',
        b'HTTP/1.1 299 Odd\r\n\r\n',
    ],
    ids=['plain', '1.0', 'reason', 'headers', 'big', 'length', 'chunked', 'close', '201', '204', '299'],
)
@pytest.mark.parametrize('cut', [None, 1, 10, -1])
def test_7_10_answers_that_open_the_tunnel(tunnel: Tunnel, answer: bytes, cut: int | None) -> None:
    def proxy(peer: Peer) -> None:
        peer.head()
        if cut is not None:
            peer.send(answer[:cut])
            peer.send(answer[cut:])
        else:
            peer.send(answer)
        peer.start_tls(tunnel.server_tls)
        answer_all(peer)

    with Server(proxy) as server, tunnel.conn(server) as conn:
        assert get(conn, '/a') == b'/a'


@pytest.mark.parametrize(
    ('status', 'reason'),
    [
        (301, 'Moved Permanently'),
        (400, 'Bad Request'),
        (403, 'Forbidden'),
        (407, 'Proxy Authentication Required'),
        (502, 'Bad Gateway'),
        (999, 'Strange'),
    ],
)
def test_7_10_other_answers_are_a_connection_error(tunnel: Tunnel, status: int, reason: str) -> None:
    def proxy(peer: Peer) -> None:
        peer.head()
        peer.answer(b'a page with the details', f'{status} {reason}', [('Proxy-Authenticate', 'Basic realm="x"')])
        assert peer.rest() == b''

    with Server(proxy) as server, tunnel.conn(server) as conn:
        with pytest.raises(ConnectionError) as caught:
            conn.connect()
        assert str(status) in str(caught.value)
        assert reason in str(caught.value)


def test_7_10_ipv6_is_put_in_brackets(tunnel: Tunnel) -> None:
    def proxy(peer: Peer) -> None:
        got = peer.head()
        assert got.target == '[::1]:8443'
        assert got.values('Host') == ['[::1]:8443']
        peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        peer.start_tls(tunnel.server_tls)
        assert peer.request().values('Host') == ['[::1]:8443']
        peer.answer(b'x')

    with Server(proxy) as server, tunnel.conn(server) as conn:
        conn.hostname, conn.port = '::1', 8443
        assert get(conn, '/a') == b'x'


def test_7_10_the_certificate_is_that_of_the_server(authority: trustme.CA, tunnel: Tunnel) -> None:
    """The certificate has to be for the server's name, not for the proxy's."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert('127.0.0.1').configure_cert(tls)

    def proxy(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        with pytest.raises((ssl.SSLError, EOFError, ConnectionError)):
            peer.start_tls(tls)
            peer.exactly(1)

    with Server(proxy) as server, tunnel.conn(server) as conn, pytest.raises(ssl.SSLCertVerificationError):
        conn.send_request('GET', '/')


def test_7_10_names_that_are_no_names_are_not_sent(tunnel: Tunnel) -> None:
    """CR and LF in a host name would become requests to the proxy."""

    def proxy(peer: Peer) -> None:
        assert b'secret' not in peer.rest()

    with Server(*[proxy] * 3) as server:
        for name in 'localhost:443 HTTP/1.1\r\nX-secret: x\r\n\r\n', 'local secret', 'x\nsecret':
            with tunnel.conn(server) as conn:
                conn.hostname = name
                with pytest.raises(ValueError):  # noqa: PT011
                    conn.connect()
