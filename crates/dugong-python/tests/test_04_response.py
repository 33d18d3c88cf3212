from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Iterator
from email.message import Message
from typing import Any

import pytest
from peers import Peer, Serve, says

from dugong import BodyFollowing, HTTPResponse, InvalidResponse
from dugong._headers import make_message

LINES = [
    ('Date', 'Mon, 05 Oct 2026 10:00:00 GMT'),
    ('Content-Type', 'Text/HTML; Charset=UTF-8; empty=; name="a b"'),
    ('Set-Cookie', 'a=1'),
    ('X-Encoded', '=?utf-8?q?chunked?='),
    ('set-cookie', 'b=2'),
    ('Date', 'not a date'),
    ('X-Latin', 'caf\xe9 \x80\xff'),
    ('X-Long', 'word ' * 50 + 'end'),
    ('X-Empty', ''),
    ('X-Comma', 'a, b ,, c'),
]


def lazy(lines: Any = LINES) -> HTTPResponse:
    """Return a response whose headers are made of *lines* at the first access."""
    resp = HTTPResponse.__new__(HTTPResponse)
    vars(resp).update(method='GET', path='/', status=200, reason='OK', length=5, _header_lines=lines)
    return resp


def test_4_1_attributes_are_plain_and_writable() -> None:
    headers = make_message(LINES)
    path = ''.join(['/', 'a'])
    resp = HTTPResponse('GET', path, 200, 'OK', headers, 17)
    assert (resp.method, resp.status, resp.reason, resp.length) == ('GET', 200, 'OK', 17)
    assert resp.path is path
    assert resp.headers is headers
    assert HTTPResponse('GET', '/', 200, 'OK', headers).length is None
    assert HTTPResponse(method='GET', path='/', status=200, reason='', headers=headers, length=3).length == 3
    for one in resp, lazy():
        for name in 'method', 'path', 'status', 'reason', 'headers', 'length', 'trailers':
            value = object()
            setattr(one, name, value)
            assert getattr(one, name) is value
            assert vars(one)[name] is value


def test_4_1_a_lazy_response_is_the_same() -> None:
    resp = lazy()
    assert type(resp) is HTTPResponse
    assert (resp.method, resp.path, resp.status, resp.reason, resp.length) == ('GET', '/', 200, 'OK', 5)
    assert resp.headers is resp.headers
    assert resp.headers.items() == LINES


def test_4_1_lines_are_not_looked_at_before_headers_are_wanted() -> None:
    class Lines:
        looks = 0

        def __iter__(self) -> Iterator[tuple[str, str]]:
            self.looks += 1
            return iter(LINES)

    lines = Lines()
    resp = lazy(lines=lines)
    assert (resp.status, resp.length, lines.looks) == (200, 5, 0)
    assert resp.headers['date'] == LINES[0][1]
    assert resp.headers['date'] == LINES[0][1]
    assert lines.looks == 1


def test_4_1_headers_of_a_lazy_response_can_be_assigned_before_they_are_made() -> None:
    resp = lazy(lines=None)
    resp.headers = make_message([('a', 'b')])
    assert resp.headers['A'] == 'b'


def test_4_1_attributes_of_a_received_response_are_writable(serve: Serve) -> None:
    conn = serve(says(b'HTTP/1.1 404 Gone Fishing\r\nContent-Length: 0\r\nA: b\r\n\r\n'))
    conn.send_request('GET', '/a')
    resp = conn.read_response()
    assert vars(resp) == {}
    assert (resp.method, resp.path, resp.status, resp.reason, resp.length) == ('GET', '/a', 404, 'Gone Fishing', 0)
    assert resp.headers is resp.headers
    assert repr(resp) == '<HTTPResponse GET /a 404 Gone Fishing>'
    for name in 'method', 'path', 'status', 'reason', 'headers', 'length', 'trailers':
        value = object()
        setattr(resp, name, value)
        assert getattr(resp, name) is value
        assert vars(resp)[name] is value


NAMES = ['method', 'path', 'status', 'reason', 'headers', 'length', 'trailers']


@pytest.mark.parametrize('name', NAMES)
def test_4_1_attributes_of_a_received_response_can_be_deleted(serve: Serve, name: str) -> None:
    conn = serve(says(b'HTTP/1.1 404 Gone Fishing\r\nContent-Length: 0\r\nA: b\r\n\r\n'))
    conn.send_request('GET', '/a')
    resp: Any = conn.read_response()
    for _ in range(2):
        delattr(resp, name)
        assert not hasattr(resp, name)
        assert repr(resp).startswith('<HTTPResponse ')
        with pytest.raises(AttributeError, match=name):
            delattr(resp, name)
        assert not hasattr(copy.copy(resp), name) or name in ('headers', 'trailers')
        setattr(resp, name, 'own')
        assert getattr(resp, name) == 'own'
    for other in set(NAMES) - {name}:
        assert hasattr(resp, other)
    resp.extra = 1
    del resp.extra
    assert not hasattr(resp, 'extra')


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_4_1_received_responses_can_be_pickled_and_copied(serve: Serve, protocol: int) -> None:
    conn = serve(says(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nSum: 1\r\n\r\n'))
    conn.send_request('GET', '/a')
    resp: Any = conn.read_response()
    conn.discard()
    resp.extra = 1
    copies: list[Any] = [pickle.loads(pickle.dumps(resp, protocol)), copy.copy(resp), copy.deepcopy(resp)]
    for got in copies:
        assert got.extra == 1
        assert type(got) is HTTPResponse
        assert (got.method, got.path, got.status, got.reason, got.length) == ('GET', '/a', 200, 'OK', None)
        assert got.headers.items() == [('Transfer-Encoding', 'chunked')]
        assert got.trailers.items() == [('Sum', '1')]


def test_4_1_a_response_without_attributes_has_none() -> None:
    resp = HTTPResponse.__new__(HTTPResponse)
    with pytest.raises(AttributeError, match="'HTTPResponse' object has no attribute 'status'"):
        _ = resp.status
    assert resp.headers.items() == resp.trailers.items() == []
    assert repr(resp) == '<HTTPResponse ? ? ? ?>'


def test_4_1_method_and_path_are_the_objects_that_were_passed(serve: Serve) -> None:
    class Text(str):
        __slots__ = ()

    conn = serve(says(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'))
    method, path = Text('PROPFIND'), Text('/a?b=%20&c')
    conn.send_request(method, path)
    resp = conn.read_response()
    assert resp.method is method
    assert resp.path is path


@pytest.mark.parametrize(
    ('line', 'status', 'reason'),
    [
        (b'200 OK', 200, 'OK'),
        (b'200', 200, ''),
        (b'200 ', 200, ''),
        (b'404   Not   Found  ', 404, 'Not   Found'),
        (b'299 caf\xe9 200', 299, 'caf\xe9 200'),
        (b'999 Who knows', 999, 'Who knows'),
    ],
)
def test_4_2_status_and_reason(serve: Serve, line: bytes, status: int, reason: str) -> None:
    conn = serve(says(b'HTTP/1.1 ' + line + b'\r\nContent-Length: 0\r\n\r\n'))
    conn.send_request('GET', '/')
    resp = conn.read_response()
    assert (type(resp.status), resp.status) == (int, status)
    assert (type(resp.reason), resp.reason) == (str, reason)


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_responses_can_be_pickled_and_copied(protocol: int) -> None:
    for resp in lazy(lines=(line for line in LINES)), HTTPResponse('GET', '/', 200, 'OK', make_message(LINES)):
        extra: Any = resp
        extra.extra = 1
        copies: list[Any] = [pickle.loads(pickle.dumps(resp, protocol)), copy.copy(resp), copy.deepcopy(resp)]
        for got in copies:
            assert (got.method, got.status, got.length, got.extra) == ('GET', 200, resp.length, 1)
            assert got.headers.items() == LINES
            assert got.trailers.items() == []


def test_4_3_headers_are_a_message() -> None:
    headers = lazy().headers
    assert isinstance(headers, Message)
    assert headers['dATE'] == LINES[0][1]
    assert headers['x'] is None
    assert headers.get('x', 'default') == 'default'
    assert 'SET-cookie' in headers
    assert 'x' not in headers
    assert headers.keys() == list(headers) == [name for name, _ in LINES]
    assert headers.values() == [value for _, value in LINES]
    assert len(headers) == len(LINES)
    assert headers.get_all('Date') == [LINES[0][1], 'not a date']
    assert headers.get_all('set-cookie') == ['a=1', 'b=2']
    assert headers.get_all('x') is None
    assert headers.defects == []


def test_4_3_content_type_is_understood() -> None:
    headers = lazy().headers
    assert headers.get_content_type() == 'text/html'
    assert headers.get_content_maintype() == 'text'
    assert headers.get_content_charset() == 'utf-8'
    assert headers.get_param('name') == 'a b'
    assert headers.get_param('missing') is None
    assert make_message([]).get_content_type() == 'text/plain'
    disposition = make_message([('Content-Disposition', "attachment; filename*=utf-8''a%20b")])
    assert disposition.get_filename() == 'a b'


def test_4_3_headers_can_be_changed() -> None:
    headers = lazy().headers
    headers['New'] = 'x'
    headers['Date'] = 'a third'
    assert headers.get_all('date') == [LINES[0][1], 'not a date', 'a third']
    del headers['DATE']
    assert 'date' not in headers
    headers.replace_header('x-empty', 'full')
    assert ('X-Empty', 'full') in headers.items()
    headers.add_header('X-Param', 'v', name='w')
    assert headers['x-param'] == 'v; name="w"'


def test_4_3_headers_can_be_printed_and_copied() -> None:
    headers = make_message([line for line in LINES if line[0] != 'X-Latin'])
    text = ''.join(f'{name}: {value}\n' for name, value in headers.items()) + '\n'
    assert headers.as_string() == str(headers) == text
    assert lazy().headers.as_string().isascii()
    for got in copy.copy(headers), copy.deepcopy(headers), pickle.loads(pickle.dumps(headers)):
        assert got.items() == headers.items()


def test_4_4_values_are_just_as_sent() -> None:
    resp = lazy()
    assert resp.headers.items() == LINES
    assert all(type(value) is str for value in resp.headers.values())


LENGTHS = [
    (b'Content-Length: 5\r\n\r\nhello', 5, b'hello'),
    (b'content-length:005\r\n\r\nhello', 5, b'hello'),
    (b'Content-Length: 5\r\nConnection: close\r\n\r\nhello', 5, b'hello'),
    (b'Content-Length: 0\r\n\r\n', 0, b''),
    (b'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n', None, b'hello'),
    (b'Connection: close\r\n\r\nhello', None, b'hello'),
    (b'Content-Length: x\r\n\r\n', None, None),
    (b'Content-Length: -3\r\n\r\n', None, None),
    (b'Content-Length: 3\r\nContent-Length: 5\r\n\r\nhello', None, None),
    (b'Transfer-Encoding: gzip\r\n\r\n', None, None),
]


@pytest.mark.parametrize(('answer', 'length', 'body'), LENGTHS)
def test_4_5_length(serve: Serve, answer: bytes, length: int | None, body: bytes | None) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\n' + answer)

    conn = serve(script)
    conn.send_request('GET', '/')
    resp = conn.read_response()
    assert resp.length == length
    assert type(resp.length) is type(length)
    if body is None:
        with pytest.raises(InvalidResponse):
            conn.readall()
    else:
        assert conn.readall() == body
    assert resp.length == length


def test_4_5_length_can_be_large(serve: Serve) -> None:
    conn = serve(says(b'HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n'))
    conn.send_request('GET', '/')
    assert conn.read_response().length == 2**63 - 1


NEXT = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'
HEADERS = [
    b'',
    b'Content-Length: 5\r\n',
    b'Transfer-Encoding: chunked\r\n',
    b'Connection: keep-alive\r\n',
    # DIFFERS: these were refused
    b'Content-Length: x\r\n',
    b'Content-Length: -3\r\n',
    b'Content-Length: 3\r\nContent-Length: 5\r\n',
    b'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n',
]


@pytest.mark.parametrize('headers', HEADERS)
@pytest.mark.parametrize(('method', 'status'), [('HEAD', 200), ('HEAD', 404), ('GET', 204), ('GET', 304), ('PUT', 204)])
def test_4_6_no_body(serve: Serve, method: str, status: int, headers: bytes) -> None:
    conn = serve(says(b'HTTP/1.1 %d What\r\n%b\r\n' % (status, headers), NEXT))
    conn.send_request(method, '/')
    conn.send_request('GET', '/next')
    resp = conn.read_response()
    assert (resp.status, resp.length) == (status, 0)
    assert conn.read(5) == b''
    assert conn.readall() == b''
    resp = conn.read_response()
    assert (resp.path, resp.length) == ('/next', 5)
    assert conn.readall() == b'hello'


@pytest.mark.parametrize('headers', HEADERS)
def test_4_6_no_body_of_interim_responses(serve: Serve, headers: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 103 Early\r\n%b\r\n' % headers)
        peer.send(b'HTTP/1.1 100 Continue\r\n%b\r\n' % headers)
        assert peer.exactly(5) == b'hello'
        peer.send(b'HTTP/1.1 103 Early\r\n%b\r\n' % headers)
        peer.send(NEXT)
        peer.rest()

    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing(5), expect100=True)
    resp = conn.read_response()
    assert (resp.status, resp.length) == (100, 0)
    assert conn.read(5) == b''
    assert conn.readall() == b''
    conn.write(b'hello')
    resp = conn.read_response()
    assert (resp.status, resp.length) == (200, 5)
    assert conn.readall() == b'hello'


def test_4_6_no_body_although_the_connection_closes(serve: Serve) -> None:
    conn = serve(says(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n'))
    conn.send_request('HEAD', '/')
    assert conn.read_response().length == 0
    assert conn.readall() == b''
    assert not conn.response_pending()


def test_trailers_are_kept_apart_from_headers() -> None:
    resp: Any = lazy()
    assert resp.trailers.items() == []
    resp._set_trailers([('Checksum', 'x'), ('Date', 'y')])
    assert resp.trailers.items() == [('Checksum', 'x'), ('Date', 'y')]
    assert resp.trailers['checksum'] == 'x'
    assert resp.headers.items() == LINES


def test_4_7_body_following() -> None:
    assert BodyFollowing().length is None
    assert BodyFollowing(5).length == BodyFollowing(length=5).length == 5
    body = BodyFollowing(5)
    body.length = 6
    assert vars(body) == {'length': 6}


def test_make_message_imports_email_only_when_called() -> None:
    assert 'email' not in vars(sys.modules['dugong._headers'])
