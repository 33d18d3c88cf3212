"""Statement 7.5b: hosts in `Host`, CONNECT, SNI and lookups."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest
import trustme
from peers import LIMIT, Peer, Serve

import dugong
from dugong import HTTPConnection, eval_coroutine, httpio

#: The host as given, and its A-labels by IDNA 2008. By IDNA 2003, as in Python, the second is `fass.de`.
NAMES = [('bücher.example', 'xn--bcher-kva.example'), ('faß.de', 'xn--fa-hia.de')]

names = pytest.mark.parametrize(('given', 'ascii_'), NAMES)


def resolver(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Resolve every name to 127.0.0.1, and return a list that grows by the names."""
    asked: list[str] = []
    usual = socket.getaddrinfo

    def getaddrinfo(host: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        return usual('127.0.0.1', *args, **kwargs)

    monkeypatch.setattr(socket, 'getaddrinfo', getaddrinfo)
    return asked


def answers_one(heads: list[Any]) -> Any:
    def script(peer: Peer) -> None:
        heads.append(peer.request())
        peer.answer(b'hello')
        peer.rest()

    return script


@names
@pytest.mark.parametrize('driven', [False, True])
def test_7_5b_names_beyond_ascii(
    monkeypatch: pytest.MonkeyPatch, serve_plain: Serve, given: str, ascii_: str, driven: bool
) -> None:
    asked = resolver(monkeypatch)
    heads: list[Any] = []
    port = serve_plain(answers_one(heads)).port
    conn = HTTPConnection(given, port)
    conn.timeout = LIMIT
    with conn:
        if driven:
            eval_coroutine(conn.co_send_request('GET', '/'))
        else:
            conn.send_request('GET', '/')
        assert conn.read_response().status == 200
        assert conn.readall() == b'hello'
        assert conn.hostname == given
    assert asked == [ascii_]
    assert heads[0].values('Host') == [f'{ascii_}:{port}']


@names
def test_7_5b_names_beyond_ascii_in_httpio(
    monkeypatch: pytest.MonkeyPatch, serve_plain: Serve, given: str, ascii_: str
) -> None:
    asked = resolver(monkeypatch)
    heads: list[Any] = []
    with httpio.HTTPConnection(given, serve_plain(answers_one(heads)).port) as conn:
        conn.timeout = LIMIT
        conn.send_request('GET', '/')
        assert conn.read_response()[2] == 200
        assert conn.readall() == b'hello'
    assert asked == [ascii_]
    assert heads[0].values('Host')[0].startswith(ascii_)


@names
def test_7_5b_names_beyond_ascii_over_tls(
    monkeypatch: pytest.MonkeyPatch, authority: trustme.CA, client_tls: ssl.SSLContext, given: str, ascii_: str
) -> None:
    def script(peer: Peer) -> None:
        named.append(peer.server_name)
        peer.request()
        peer.answer(b'hello')
        peer.rest()

    named: list[str | None] = []
    resolver(monkeypatch)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(ascii_).configure_cert(context)
    serve = Serve(context, client_tls)
    conn = HTTPConnection(given, serve(script).port, client_tls)
    conn.timeout = LIMIT
    with conn:
        conn.send_request('GET', '/')
        assert conn.read_response().status == 200
        assert conn.readall() == b'hello'
    serve.finish(False)
    assert named == [ascii_]


@names
def test_7_5b_names_beyond_ascii_of_and_for_a_proxy(
    monkeypatch: pytest.MonkeyPatch, serve_plain: Serve, client_tls: ssl.SSLContext, given: str, ascii_: str
) -> None:
    def refuse(peer: Peer) -> None:
        heads.append(peer.head())
        peer.answer(b'', '403 Forbidden')

    asked = resolver(monkeypatch)
    heads: list[Any] = []
    proxy = (given, serve_plain(answers_one(heads), refuse).port)
    with HTTPConnection(given, proxy=proxy) as conn:
        conn.timeout = LIMIT
        conn.send_request('GET', '/a')
        assert conn.read_response().status == 200
        assert conn.readall() == b'hello'
    with HTTPConnection(given, ssl_context=client_tls, proxy=proxy) as conn, pytest.raises(ConnectionError):
        conn.timeout = LIMIT
        conn.connect()
    assert asked == [ascii_, ascii_]
    assert [head.target for head in heads] == [f'http://{ascii_}/a', f'{ascii_}:443']


@names
def test_7_5b_create_socket_asks_for_the_same(
    monkeypatch: pytest.MonkeyPatch, serve_plain: Serve, given: str, ascii_: str
) -> None:
    asked = resolver(monkeypatch)
    dugong.create_socket((given, serve_plain(lambda peer: None).port)).close()
    assert asked == [ascii_]


def test_7_5b_errors_name_the_host_as_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, 'no')

    monkeypatch.setattr(socket, 'getaddrinfo', getaddrinfo)
    with pytest.raises(dugong.DNSUnavailable) as caught:
        HTTPConnection('bücher.example').connect()
    assert caught.value.name == 'bücher.example'


@pytest.mark.parametrize('host', ['fe80::1%lo', 'fe80::1%25lo', '[fe80::1%25lo]'])
def test_7_5b_a_zone_is_not_sent(serve_plain: Serve, client_tls: ssl.SSLContext, host: str) -> None:
    def refuse(peer: Peer) -> None:
        heads.append(peer.head())
        peer.answer(b'', '403 Forbidden')

    heads: list[Any] = []
    proxy = ('127.0.0.1', serve_plain(refuse, answers_one(heads)).port)
    with HTTPConnection(host, ssl_context=client_tls, proxy=proxy) as conn, pytest.raises(ConnectionError):
        conn.timeout = LIMIT
        conn.connect()
    with HTTPConnection(host, proxy=proxy) as conn:
        conn.timeout = LIMIT
        conn.send_request('GET', '/a')
        conn.read_response()
        conn.discard()
    assert [head.target for head in heads] == ['[fe80::1]:443', 'http://[fe80::1]/a']
    assert [head.values('Host') for head in heads] == [['[fe80::1]:443'], ['[fe80::1]']]


@pytest.mark.parametrize('host', ['localhost.', '::1%lo', '[::1]'])
def test_7_5b_tls_knows_a_host_without_zone_brackets_and_final_dot(
    monkeypatch: pytest.MonkeyPatch, serve_tls: Serve, host: str
) -> None:
    def script(peer: Peer) -> None:
        named.append(peer.server_name)
        peer.request()
        peer.answer(b'hello')
        peer.rest()

    named: list[str | None] = []
    resolver(monkeypatch)
    conn = HTTPConnection(host, serve_tls(script).port, serve_tls.client_tls)
    conn.timeout = LIMIT
    with conn:
        conn.send_request('GET', '/')
        assert conn.read_response().status == 200
        assert conn.readall() == b'hello'
    assert named == ['localhost' if host == 'localhost.' else None]


BAD = [
    '',
    ' localhost',
    'localhost ',
    'a b',
    'a\nb',
    'a\0b',
    'http://h',
    'https://h/',
    'h:80',
    '127.0.0.1:80',
    '[::1]:80',
    'h/',
    'user@h',
    'a..b',
    '.',
    'a' * 64,
    'bücher example',
    '\ufffd.example',
]


@pytest.mark.parametrize('host', BAD)
def test_7_5b_a_text_that_cannot_be_a_host_is_refused_at_once(host: str) -> None:
    for make in (
        lambda: HTTPConnection(host),
        lambda: HTTPConnection('localhost', proxy=(host, 80)),
        lambda: httpio.HTTPConnection(host),
        lambda: httpio.HTTPConnection('localhost', proxy=(host, 80)),
        lambda: dugong.create_socket((host, 80)),
    ):
        with pytest.raises(ValueError, match='is not a host name') as caught:
            make()
        assert not dugong.is_temp_network_error(caught.value)


@pytest.mark.parametrize(('host', 'hint'), [('h:80', 'port by itself'), ('http://h', 'host alone'), ('', 'empty')])
def test_7_5b_the_error_says_which_argument_to_give(host: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        HTTPConnection(host)


def test_7_5b_a_bad_host_that_is_assigned_is_refused_when_connecting() -> None:
    conn = HTTPConnection('localhost')
    conn.hostname = 'h:80'
    for call in conn.connect, lambda: conn.send_request('GET', '/'):
        with pytest.raises(ValueError, match='h:80'):
            call()
    conn.hostname = 'localhost'
    conn.proxy = ('http://h', 80)
    with pytest.raises(ValueError, match='http://h'):
        conn.connect()


def test_7_5b_an_address_may_be_in_brackets() -> None:
    with socket.create_server(('::1', 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        with HTTPConnection('[::1]', port) as conn:
            conn.timeout = LIMIT
            conn.send_request('GET', '/')
            with server.accept()[0] as peer:
                peer.settimeout(LIMIT)
                assert f'\r\nHost: [::1]:{port}\r\n'.encode() in peer.recv(1000)
            assert conn.hostname == '[::1]'
