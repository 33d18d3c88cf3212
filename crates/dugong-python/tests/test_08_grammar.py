"""Statements 8.10 to 8.14: the grammar of a request, sizes, and the state after an error."""

from __future__ import annotations

import array
import re
import threading
from typing import Any

import pytest
from peers import LIMIT, Peer, Serve
from recorder import Recorder, exchange, finish, md5, refuses

from dugong import (
    BodyFollowing,
    ConnectionClosed,
    ExcessBodyData,
    HTTPConnection,
    StateError,
)


@pytest.mark.parametrize('method', ['GET', 'get', 'Patch', 'M-SEARCH', "!#$%&'*+-.^_`|~0aZ", 'X' * 100])
def test_8_10_methods_go_out_as_they_are(serve: Serve, record: Recorder, method: str) -> None:
    conn = serve(record)
    conn.send_request(method, '/a')
    resp = conn.read_response()
    assert (resp.method, resp.path) == (method, '/a')
    assert record.last.raw.startswith(f'{method} /a HTTP/1.1\r\n'.encode())


@pytest.mark.parametrize(
    'path',
    [
        '/',
        '*',
        '/a%20b%2Fc?d=%C3%A9&e=f+g',
        '/%',
        '//a//../b/./',
        'http://www.example.org/a',
        'HTTPS://user@www.example.org:8080',
        'urn+x-1.0://a?b',
        '/"<>\\^`{|}~[]@!$&\'()*+,;=:',
        '/' + 'x' * 20000,
    ],
)
def test_8_10_paths_go_out_as_they_are(serve: Serve, record: Recorder, path: str) -> None:
    conn = serve(record)
    conn.send_request('GET', path)
    resp = conn.read_response()
    assert resp.path == path
    assert conn.readall() == path.encode()
    assert record.last.raw.startswith(f'GET {path} HTTP/1.1\r\n'.encode())


@pytest.mark.parametrize(
    'path',
    [
        'a',
        'obj/1',
        '?',
        '?a=b',
        '**',
        '*/',
        'www.example.org:80',
        'http:a',
        'http:/a',
        'http://',
        '://a',
        '1://a',
        '\\a',
    ],
)
def test_8_10_paths_of_no_form_are_refused(serve: Serve, path: str) -> None:
    refuses(serve, ValueError, path=path)


def test_8_10_the_message_quotes_the_path() -> None:
    conn = HTTPConnection('127.0.0.1')
    with pytest.raises(ValueError, match=re.escape("begin with '/', or be '*' or an absolute URL, not 'obj/1'")):
        conn.send_request('GET', 'obj/1')
    with pytest.raises(ValueError, match=r"not 'x{20,70}…$"):
        conn.send_request('GET', 'x' * 1000)


# 8.11, 8.12


@pytest.mark.parametrize(
    'changes',
    [
        {'method': 'G\u20acT'},
        {'path': '/\u20ac'},
        {'path': '/\U0001f600'},
        {'path': '/\udc80'},
        {'headers': {'X-\u20ac': 'y'}},
        {'headers': {'X': '\u20ac'}},
        {'headers': {'A': 'b', 'X': 'y' * 1000 + '\u20ac'}},
        {'headers': {'X': '\udcff'}},
    ],
)
def test_8_11_and_8_12_text_beyond_latin_1(serve: Serve, changes: dict[str, Any]) -> None:
    refuses(serve, UnicodeEncodeError, **changes)


@pytest.mark.parametrize('char', ['\r', '\n', '\0', '\r\n'], ids=['CR', 'LF', 'NUL', 'CRLF'])
@pytest.mark.parametrize('place', ['method', 'path', 'name', 'value'])
def test_8_11_and_8_12_cr_lf_nul(serve: Serve, char: str, place: str) -> None:
    for text in f'a{char}b', f'{char}b', f'a{char}', f'a{char} b', f'a{char}X: y{char}{char}GET /wrong HTTP/1.1':
        if place == 'name':
            refuses(serve, ValueError, headers={text: 'y'})
        elif place == 'value':
            refuses(serve, ValueError, headers={'X': text})
        else:
            refuses(serve, ValueError, **{place: f'/{text}' if place == 'path' else text})


@pytest.mark.parametrize('name', ['Content-MD5', 'Connection', 'X', 'Host', 'Content-Length', 'Accept-Encoding'])
def test_8_11_values_of_any_header_must_not_inject(serve: Serve, record: Recorder, name: str) -> None:
    """Generated fields of the caller are refused, or not sent."""
    conn = serve(record)
    try:
        conn.send_request('PUT', '/a', headers={name: 'a\r\nInjected: b'}, body=b'x')
    except ValueError:
        conn.send_request('PUT', '/a', body=b'x')
    finish(conn)
    assert not record.last.values('Injected')
    if name in ('Content-MD5', 'Connection', 'X'):
        with pytest.raises(ValueError):  # noqa: PT011
            conn.send_request('PUT', '/a', headers={name: 'a\r\nInjected: b'}, body=b'x')


@pytest.mark.parametrize('char', [' ', '\t', '\x01', '\x0b', '\x0c', '\x1f', '\x7f'], ids=lambda char: hex(ord(char)))
@pytest.mark.parametrize('place', ['method', 'path', 'name'])
def test_8_11_and_8_12_blanks_and_control_characters(serve: Serve, char: str, place: str) -> None:
    for text in f'a{char}b', f'a{char}', f'{char}a':
        if place == 'name':
            refuses(serve, ValueError, headers={text: 'y'})
        else:
            refuses(serve, ValueError, **{place: text})


@pytest.mark.parametrize(
    'changes',
    [
        {'path': ''},
        {'method': ''},
        {'headers': {'': 'y'}},
        {'path': '/a#b'},
        {'path': '#'},
        {'path': '/caf\xe9'},
        {'path': '/\x80'},
        {'method': 'G\xc9T'},
        {'headers': {'X-caf\xe9': 'y'}},
        {'method': 'GET:'},
        {'method': 'GET/1'},
        {'headers': {'X:': 'y'}},
        {'headers': {'X(Y)': 'y'}},
        {'headers': {'"X"': 'y'}},
        {'headers': {'X,Y': 'y'}},
        {'headers': {'X': 'a\x01b'}},
        {'headers': {'X': 'a\x7fb'}},
        {'headers': [('X', 'y'), ('Y', 'a\nb')]},
    ],
)
def test_8_11_and_8_12_text_that_the_grammar_forbids(serve: Serve, changes: dict[str, Any]) -> None:
    refuses(serve, ValueError, **changes)


def test_8_11_letters_beyond_ascii_are_fine_in_values(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    value = ''.join(map(chr, range(0xA1, 0x100)))
    exchange(conn, 'GET', '/a', headers={'X': value, 'Y': 'a\tb  c', 'Z': '\x80 x'})
    assert record.last.values('X') == [value]
    assert record.last.values('Y') == ['a\tb  c']
    assert record.last.values('Z') == ['\x80 x']
    assert b'\r\nX: ' + value.encode('latin-1') + b'\r\n' in record.last.raw


def test_8_12_headers_of_other_types_change_nothing(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    wrong: list[Any] = [5, {5: 'x'}, [5], [('a', 'b', 'c')]]
    for headers in wrong:
        with pytest.raises((TypeError, ValueError, AttributeError)):
            conn.send_request('PUT', '/wrong', headers=headers, body=BodyFollowing(5))
        assert not conn._out_remaining
    exchange(conn, 'GET', '/a')
    assert len(record.got) == 1


def test_8_12_method_and_path_of_other_types_change_nothing(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    wrong: list[Any] = [None, 5, b'/x', object()]
    for text in wrong:
        with pytest.raises(TypeError):
            conn.send_request('PUT', text, body=BodyFollowing(5))
        with pytest.raises(TypeError):
            conn.send_request(text, '/wrong', body=BodyFollowing(5))
        assert not conn._out_remaining
    exchange(conn, 'GET', '/a')
    assert len(record.got) == 1


def test_8_12_errors_while_a_body_is_due(serve: Serve, record: Recorder) -> None:
    """The unfinished body goes on as before the calls."""
    conn = serve(record)
    conn.send_request('PUT', '/a', body=BodyFollowing(4))
    wrong: list[dict[str, Any]] = [
        {'path': '/b'},
        {'path': '/b', 'body': BodyFollowing(9)},
        {'path': '/b', 'body': BodyFollowing()},
        {'path': '/b', 'body': b'x'},
        {'path': '/b', 'body': BodyFollowing(9), 'expect100': True},
    ]
    for part in b'12', b'34':
        for changes in wrong:
            with pytest.raises(StateError):
                conn.send_request('PUT', **changes)
        worse: list[dict[str, Any]] = [{'path': ''}, {'path': '/\u20ac'}, {'path': '/', 'body': 'x'}]
        for changes in worse:
            with pytest.raises((StateError, ValueError, TypeError)):
                conn.send_request('PUT', **changes)
        with pytest.raises(ExcessBodyData):
            conn.write(b'12345')
        conn.write(part)
    finish(conn)
    assert record.got[0].body == b'1234'
    assert len(record.got) == 1


def test_8_12_pipelined_requests_are_not_disturbed(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        got = [peer.request().target for _ in range(3)]
        assert got == ['/a', '/b', '/c']
        for path in got:
            peer.answer(path.encode())
        assert peer.rest() == b''

    conn = serve(script)
    for path in '/a', '/b', '/c':
        wrong: list[dict[str, Any]] = [{'path': '/\u20ac'}, {'path': ''}, {'path': '/', 'body': 'x'}]
        for changes in wrong:
            with pytest.raises((ValueError, TypeError)):
                conn.send_request('GET', **changes)
        with pytest.raises(ValueError):  # noqa: PT011
            conn.send_request('GET', '/', body=b'x', expect100=True)
        conn.send_request('GET', path)
    for path in '/a', '/b', '/c':
        assert finish(conn) == path.encode()
    assert not conn.response_pending()


# 8.13


def test_8_13_sizes_are_in_bytes(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    for code in 'HIQd':
        items = array.array(code, [1, 2, 3])
        view = memoryview(items)
        exchange(conn, 'PUT', '/a', body=view)
        assert record.last.body == items.tobytes()
        assert record.last.values('Content-Length') == [str(view.nbytes)]
        assert record.last.values('Content-MD5') == [md5(items.tobytes())]


def test_8_13_more_than_one_dimension(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    view = memoryview(bytes(range(24))).cast('B', [2, 3, 4])
    exchange(conn, 'PUT', '/a', body=view)
    assert record.last.body == bytes(range(24))


def test_8_13_empty_and_read_only_and_released(serve: Serve, record: Recorder) -> None:
    conn = serve(record)
    exchange(conn, 'PUT', '/a', body=memoryview(array.array('I')))
    assert record.last.body == b''
    body = bytearray(b'12345')
    conn.send_request('PUT', '/a', body=body)
    body.clear()  # no view of it is left
    finish(conn)
    assert record.last.body == b'12345'
    view = memoryview(b'x')
    view.release()
    with pytest.raises(ValueError):  # noqa: PT011
        conn.send_request('PUT', '/wrong', body=view)
    exchange(conn, 'GET', '/a')


# 8.14


def test_8_14_no_response_to_a_request_that_could_not_be_sent(serve: Serve) -> None:
    gone = threading.Event()

    def script(peer: Peer) -> None:
        for _ in range(2):
            peer.request()
        peer.answer(b'/a')
        peer.answer(b'/b')
        peer.reset()
        gone.set()

    conn = serve(script)
    conn.send_request('GET', '/a')
    conn.send_request('GET', '/b')
    assert gone.wait(LIMIT)
    with pytest.raises(ConnectionClosed):
        for _ in range(3):
            conn.send_request('PUT', '/c', body=bytes(1 << 20))
    assert not conn._out_remaining
    assert finish(conn) == b'/a'
    assert finish(conn) == b'/b'
    assert not conn.response_pending()
    with pytest.raises(StateError):
        conn.read_response()


def test_8_14_the_first_request_cannot_be_sent(serve: Serve) -> None:
    gone = threading.Event()

    def script(peer: Peer) -> None:
        peer.reset()
        gone.set()

    conn = serve(script)
    conn.connect()
    assert gone.wait(LIMIT)
    with pytest.raises(ConnectionClosed):
        for _ in range(3):
            conn.send_request('PUT', '/c', body=bytes(1 << 20))
    assert not conn.response_pending()
    with pytest.raises(StateError):
        conn.read_response()
