"""Statements 8.5 to 8.9: the header section of a request."""

from __future__ import annotations

import array
import socket
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from peers import Peer, Serve, Server
from recorder import Recorder, exchange, finish, md5, refuses

from dugong import (
    BodyFollowing,
    CaseInsensitiveDict,
    HTTPConnection,
    eval_coroutine,
)


class Twins(Mapping[str, str]):
    """A mapping that is not a dict."""

    def __getitem__(self, key: str) -> str:
        return {'X-One': '1', 'b': '2'}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(['X-One', 'b'])

    def __len__(self) -> int:
        return 2


@pytest.mark.parametrize(
    'make',
    [
        lambda: {'X-One': '1', 'b': '2'},
        lambda: CaseInsensitiveDict([('X-One', '1'), ('b', '2')]),
        lambda: MappingProxyType({'X-One': '1', 'b': '2'}),
        Twins,
        lambda: [('X-One', '1'), ('b', '2')],
        lambda: (('X-One', '1'), ['b', '2']),
        lambda: iter([('X-One', '1'), ('b', '2')]),
        lambda: {'X-One': '1', 'b': '2'}.items(),
        lambda: ((name, value) for name, value in [('X-One', '1'), ('b', '2')]),
    ],
)
def test_8_5_headers_are_a_mapping_or_pairs(serve_plain: Serve, record: Recorder, make: Any) -> None:
    conn = serve_plain(record)
    exchange(conn, 'GET', '/a', headers=make())
    assert record.last.headers[1:3] == [('X-One', '1'), ('b', '2')]


@pytest.mark.parametrize('headers', [None, {}, [], ()], ids=repr)
def test_8_5_no_headers(serve_plain: Serve, record: Recorder, headers: Any) -> None:
    conn = serve_plain(record)
    exchange(conn, 'GET', '/a', headers=headers)
    assert record.last.names == ['Host', 'Content-Length', 'Accept-Encoding', 'Connection']


def test_8_5_repeated_names_are_all_sent(serve: Serve, record: Recorder) -> None:
    """RFC 9110 §5.3. Pairs can repeat a name; a mapping cannot."""
    conn = serve(record)
    pairs = [('X', '1'), ('Y', '2'), ('X', '3'), ('x', '4')]
    exchange(conn, 'GET', '/a', headers=pairs)
    assert record.last.headers[1:5] == pairs


def test_8_5_values_are_formatted_with_str(serve: Serve, record: Recorder) -> None:
    class Name:
        def __str__(self) -> str:
            return 'my name'

    class Text(str):
        def __str__(self) -> str:
            return 'my text'

    conn = serve(record)
    values: list[Any] = [5, -1.5, True, Name(), Text('other'), '', 1 << 70]
    exchange(conn, 'GET', '/a', headers={f'X-{number}': value for number, value in enumerate(values)})
    for number, value in enumerate(values):
        assert record.last.values(f'X-{number}') == [str(value)]


NO_VALUES = [None, b'Basic secret', bytearray(b'x'), memoryview(b'x'), array.array('i', [1]), [1], (1,), {'a': 1}, {1}]


@pytest.mark.parametrize('value', NO_VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize('name', ['Authorization', 'Host', 'Content-Length', 'Content-MD5'])
def test_8_5_objects_without_a_text_are_refused(serve: Serve, name: str, value: object) -> None:
    refuses(serve, TypeError, headers={name: value})
    refuses(serve, TypeError, headers=[('A', 'b'), (name, value)])


@pytest.mark.parametrize('value', NO_VALUES, ids=lambda value: type(value).__name__)
def test_8_5_objects_without_a_text_are_refused_in_trailers(serve: Serve, record: Recorder, value: object) -> None:
    conn = serve(record)
    conn.send_request('PUT', '/a', body=BodyFollowing())
    conn.write(b'x')
    with pytest.raises(TypeError, match='X-Sum') as caught:
        conn.finish({'X-Sum': value})
    assert 'secret' not in str(caught.value)
    with pytest.raises(TypeError, match='X-Sum'):
        eval_coroutine(conn.co_finish({'X-Sum': value}))
    conn.finish({'X-Sum': 1})
    finish(conn)
    assert record.last.trailers == [('X-Sum', '1')]


def test_8_5_an_error_in_str_is_passed_on(serve: Serve, record: Recorder) -> None:
    class Broken:
        def __str__(self) -> str:
            raise ZeroDivisionError('mine')

    conn = serve(record)
    with pytest.raises(ZeroDivisionError):
        conn.send_request('PUT', '/wrong', headers={'X': Broken()}, body=BodyFollowing(5))
    exchange(conn, 'GET', '/a')
    assert len(record.got) == 1


@pytest.mark.parametrize('kind', [dict, CaseInsensitiveDict])
def test_8_5_the_object_of_the_caller_is_left_alone(serve: Serve, record: Recorder, kind: Any) -> None:
    conn = serve(record)
    headers = kind({'x-one': 1, 'accept-encoding': 'gzip', 'content-length': 99, 'HOST': 'x'})
    before = list(headers.items())
    for body in None, b'one', b'three':
        exchange(conn, 'PUT', '/a', headers=headers, body=body)
    conn.send_request('PUT', '/a', headers=headers, body=BodyFollowing(3))
    conn.write(b'123')
    finish(conn)
    assert list(headers.items()) == before
    assert [one.values('Content-MD5') for one in record.got] == [[], [md5(b'one')], [md5(b'three')], []]
    assert [one.body for one in record.got] == [b'', b'one', b'three', b'123']


# 8.6, 8.7


@pytest.mark.parametrize('method', ['GET', 'HEAD', 'DELETE', 'PUT', 'POST', 'OPTIONS', 'get', 'M-SEARCH'])
def test_8_6_content_length_0_without_body(serve: Serve, method: str) -> None:
    def script(peer: Peer) -> None:
        got = peer.request()
        assert got.method == method
        assert got.values('Content-Length') == ['0']
        assert not got.values('Content-MD5')
        peer.answer()

    conn = serve(script)
    conn.send_request(method, '/a')
    assert conn.read_response().status == 200


def test_8_6_generated_fields_are_always_set(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    host = f'localhost:{conn.port}'
    for headers in (
        {},
        {'Content-Length': '99', 'Host': 'x', 'Accept-Encoding': 'gzip'},
        {'content-length': 'no number', 'host': 'x', 'ACCEPT-ENCODING': ''},
    ):
        for body in None, b'12345':
            exchange(conn, 'PUT', '/a', headers=headers, body=body)
            assert record.last.values('Content-Length') == [str(len(body or b''))]
            assert record.last.values('Host') == [host]
            assert record.last.values('Accept-Encoding') == ['identity']
        conn.send_request('PUT', '/a', headers=headers, body=BodyFollowing(3))
        conn.write(b'123')
        finish(conn)
        assert record.last.values('Content-Length') == ['3']


@pytest.mark.parametrize('headers', [{}, {'expect': 'nothing'}, {'Expect': '100-continue'}], ids=repr)
def test_8_6_expect(serve: Serve, headers: dict[str, str]) -> None:
    def script(peer: Peer) -> None:
        head = peer.head()
        assert head.values('Expect') == ['100-continue']
        assert 'Expect' in head.names
        peer.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        assert peer.exactly(3) == b'123'
        peer.answer(b'/a')

    conn = serve(script)
    conn.send_request('PUT', '/a', headers=headers, body=BodyFollowing(3), expect100=True)
    assert conn.read_response().status == 100
    conn.write(b'123')
    finish(conn)


def test_8_6_no_expect_without_expect100(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    conn.send_request('PUT', '/a', body=BodyFollowing(3))
    conn.write(b'123')
    finish(conn)
    assert not record.last.values('Expect')


@pytest.mark.parametrize('body', [None, b'123', BodyFollowing(3)])
def test_8_6_expect_of_the_caller_is_a_header_like_others(serve: Serve, record: Recorder, body: Any) -> None:
    """Without expect100, the client does not wait, and a 100 response is unexpected (10.4)."""
    conn = serve(record)
    conn.send_request('PUT', '/a', headers={'X': '1', 'expect': '100-continue', 'Y': '2'}, body=body)
    if isinstance(body, BodyFollowing):
        conn.write(b'123')
    finish(conn)
    assert record.last.headers[1:4] == [('X', '1'), ('expect', '100-continue'), ('Y', '2')]


@pytest.mark.parametrize('name', ['Transfer-Encoding', 'transfer-encoding', 'TRANSFER-ENCODING'])
@pytest.mark.parametrize('value', ['chunked', 'identity', ''])
def test_8_6_and_8_12_transfer_encoding_of_the_caller(serve: Serve, record: Recorder, name: str, value: str) -> None:
    conn = serve(record)
    for body in None, b'x', BodyFollowing(3), BodyFollowing():
        with pytest.raises(ValueError):  # noqa: PT011
            conn.send_request('PUT', '/wrong', headers={name: value}, body=body)
        assert not conn._out_remaining
        assert not conn.response_pending()
    exchange(conn, 'GET', '/a')
    assert len(record.got) == 1


def test_8_7_set_unless_the_caller_gives_them(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    for body in b'', b'x', b'hello' * 1000, bytearray(b'y'), memoryview(b'z'):
        exchange(conn, 'PUT', '/a', body=body)
        assert record.last.values('Connection') == ['keep-alive']
        assert record.last.values('Content-MD5') == [md5(bytes(body))]
    exchange(conn, 'PUT', '/a', headers={'content-md5': 'mine', 'CONNECTION': 'x-mine'}, body=b'x')
    assert record.last.values('Connection') == ['x-mine']
    assert record.last.values('Content-MD5') == ['mine']
    exchange(conn, 'PUT', '/a', headers={'Content-MD5': '', 'Connection': ''}, body=b'x')
    assert record.last.values('Connection') == ['']
    assert record.last.values('Content-MD5') == ['']


def test_8_7_connection_close_of_the_caller(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.request().values('Connection') == ['close']
        peer.answer(b'/a', headers=[('Connection', 'close')])

    conn = serve(script)
    exchange(conn, 'GET', '/a', headers={'Connection': 'close'})


def test_8_7_no_content_md5_without_bytes(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    exchange(conn, 'PUT', '/a')
    assert not record.last.values('Content-MD5')
    for headers in {}, {'Content-MD5': 'mine'}:
        conn.send_request('PUT', '/a', headers=headers, body=BodyFollowing(3))
        conn.write(b'123')
        finish(conn)
        assert record.last.values('Content-MD5') == list(headers.values())


# 8.8


def test_8_8_order(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    mine = {'z': '1', 'A': '2', 'm': '3'}
    exchange(conn, 'PUT', '/a', headers=mine, body=b'x')
    assert record.last.headers == [
        ('Host', f'localhost:{conn.port}'),
        ('z', '1'),
        ('A', '2'),
        ('m', '3'),
        ('Content-Length', '1'),
        ('Content-MD5', md5(b'x')),
        ('Accept-Encoding', 'identity'),
        ('Connection', 'keep-alive'),
    ]
    exchange(conn, 'GET', '/a', headers=mine)
    assert record.last.names == ['Host', 'z', 'A', 'm', 'Content-Length', 'Accept-Encoding', 'Connection']


def test_8_8_order_with_expect(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.head().headers == [
            ('Host', f'localhost:{conn.port}'),
            ('z', '1'),
            ('Expect', '100-continue'),
            ('Content-Length', '3'),
            ('Accept-Encoding', 'identity'),
            ('Connection', 'keep-alive'),
        ]
        peer.answer(b'/a')

    conn = serve(script)
    conn.send_request('PUT', '/a', headers={'z': '1'}, body=BodyFollowing(3), expect100=True)
    finish(conn)


def test_8_8_generated_headers_in_the_place_of_the_caller(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    headers = {
        'one': '1',
        'accept-encoding': 'gzip',
        'two': '2',
        'content-length': '99',
        'CONTENT-md5': 'mine',
        'three': '3',
        'connection': 'x-mine',
        'four': '4',
    }
    exchange(conn, 'PUT', '/a', headers=headers, body=b'x')
    assert record.last.headers == [
        ('Host', f'localhost:{conn.port}'),
        ('one', '1'),
        ('Accept-Encoding', 'identity'),
        ('two', '2'),
        ('Content-Length', '1'),
        ('CONTENT-md5', 'mine'),
        ('three', '3'),
        ('connection', 'x-mine'),
        ('four', '4'),
    ]


def test_8_8_expect_in_the_place_of_the_caller(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.head().headers[1:5] == [
            ('a', '1'),
            ('Expect', '100-continue'),
            ('b', '2'),
            ('Content-Length', '3'),
        ]
        peer.answer(b'/a')

    conn = serve(script)
    headers = {'a': '1', 'eXPECT': 'nothing', 'b': '2'}
    conn.send_request('PUT', '/a', headers=headers, body=BodyFollowing(3), expect100=True)
    finish(conn)


def test_8_8_host_is_always_first(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    for name in 'Host', 'host':
        exchange(conn, 'GET', '/a', headers={'a': '1', name: 'elsewhere.example.org', 'b': '2'})
        assert record.last.headers[0] == ('Host', f'localhost:{conn.port}')
        assert record.last.names[1:3] == ['a', 'b']
        assert len(record.last.values('Host')) == 1


def test_8_8_generated_headers_are_sent_once(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    headers = [('content-length', '5'), ('a', '1'), ('Content-Length', '6'), ('accept-encoding', 'x')]
    exchange(conn, 'PUT', '/a', headers=[*headers, *headers[:1], ('host', 'x'), ('HOST', 'y')], body=b'123')
    assert record.last.values('Content-Length') == ['3']
    assert record.last.values('Accept-Encoding') == ['identity']
    assert record.last.values('Host') == [f'localhost:{conn.port}']


# 8.9


class Plain:
    """A context without encryption, so that the script of a proxy need not speak TLS."""

    def wrap_socket(self, sock: socket.socket, server_hostname: str) -> socket.socket:
        return sock


HOSTS = [
    ('www.example.org', 80, False, 'www.example.org'),
    ('www.example.org', None, False, 'www.example.org'),
    ('www.example.org', 443, False, 'www.example.org:443'),
    ('www.example.org', 8080, False, 'www.example.org:8080'),
    ('www.example.org', 443, True, 'www.example.org'),
    ('www.example.org', None, True, 'www.example.org'),
    ('www.example.org', 80, True, 'www.example.org:80'),
    ('www.example.org', 8443, True, 'www.example.org:8443'),
    ('127.0.0.1', 80, False, '127.0.0.1'),
    ('::1', 80, False, '[::1]'),
    ('::1', 8080, False, '[::1]:8080'),
    ('2001:db8::17', 443, True, '[2001:db8::17]'),
    ('2001:db8::17', 80, True, '[2001:db8::17]:80'),
    ('WWW.Example.ORG', 80, False, 'WWW.Example.ORG'),
]


@pytest.mark.parametrize(('name', 'port', 'tls', 'host'), HOSTS)
def test_8_9_host(
    monkeypatch: pytest.MonkeyPatch, record: Recorder, name: str, port: int | None, tls: bool, host: str
) -> None:
    with Server(record) as server:
        here = (socket.AF_INET, socket.SOCK_STREAM, 6, '', ('127.0.0.1', server.port))
        monkeypatch.setattr(socket, 'getaddrinfo', lambda *args, **kwargs: [here])
        context: Any = Plain() if tls else None
        with HTTPConnection(name, port, context) as conn:
            exchange(conn, 'GET', '/a')
    assert record.last.values('Host') == [host]
    assert record.last.target == '/a'


@pytest.mark.parametrize(('name', 'port', 'tls', 'host'), HOSTS)
def test_8_9_host_with_a_proxy(record: Recorder, name: str, port: int | None, tls: bool, host: str) -> None:
    hosts: list[str] = []

    def proxy(peer: Peer) -> None:
        if tls:
            assert peer.head().method == 'CONNECT'
            peer.send(b'HTTP/1.1 200 OK\r\n\r\n')
        hosts.extend(peer.request().values('Host'))
        peer.answer(b'/a')

    context: Any = Plain() if tls else None
    with Server(proxy) as server, HTTPConnection(name, port, context, ('127.0.0.1', server.port)) as conn:
        exchange(conn, 'GET', '/a')
    assert hosts == [host]
