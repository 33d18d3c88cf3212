"""Messages of exceptions quote received bytes and arguments: escaped, at most 40 bytes, and without secrets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from peers import Peer, Script, Serve

import dugong
from dugong import HTTPConnection, InvalidResponse, UnsupportedResponse

CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'


def answers(answer: bytes, piece: int) -> Script:
    """Answer a request in pieces of this size."""

    def script(peer: Peer) -> None:
        peer.request()
        # The client may close before all is sent.
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(answer), piece):
                peer.send(answer[start : start + piece])
        peer.rest()

    return script


def waits(peer: Peer) -> None:
    peer.rest()


def get(conn: HTTPConnection) -> None:
    conn.send_request('GET', '/')
    conn.read_response()
    conn.readall()


@pytest.mark.parametrize('piece', [1000, 1])
@pytest.mark.parametrize(
    ('answer', 'quote'),
    [
        (b'HTTP/1.1\r\n\r\n', '"HTTP/1.1"'),
        (b'HTTP/1.1 200 N\x1b\r\n', r'"HTTP/1.1 200 N\x1b'),
        (b'HTTP/1.1 200 OK\r\nA: b\r\nX: y\0', r'"X: y\x00"'),
        (b'HTTP/1.1 200 OK\r\nA: b\r\nno-colon\r\n\r\n', '"no-colon"'),
        (b'HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n', '"Content-Length: +5"'),
        (CHUNKED + b'5 0', '"5 0"'),
        (CHUNKED + b'5\r\nhello\r\n-', '"-"'),
        (CHUNKED + b'0\r\nX: \x01', r'"X: \x01"'),
        (b'HTTP/1.1 200 OK\r\nLong: ' + b'x' * 100 + b'\0', f'"Long: {"x" * 34}"...'),
        (b'HTTP/1.1 200 OK\r\nSet-Cookie: hush\0', '"Set-Cookie" (the rest is not shown)'),
    ],
)
def test_received_bytes_are_quoted_from_the_beginning_of_their_line(
    serve_plain: Serve, answer: bytes, quote: str, piece: int
) -> None:
    conn = serve_plain(answers(answer, piece))
    with pytest.raises((InvalidResponse, UnsupportedResponse)) as caught:
        get(conn)
    assert f': {quote}' in str(caught.value)
    assert 'hush' not in str(caught.value)


@pytest.mark.parametrize(
    ('banner', 'quote'),
    [
        (b'SSH-2.0-OpenSSH_9.2p1\r\n', '"SSH-2.0-OpenSSH_9.2p1"'),
        (b'HTTP/2.0 200 OK\r\n\r\n', '"HTTP/2.0 200 OK"'),
        (b'ICY 200 OK\r\n\r\n', '"ICY 200 OK"'),
    ],
)
def test_a_banner_is_quoted(serve_plain: Serve, banner: bytes, quote: str) -> None:
    conn = serve_plain(answers(banner, 1000))
    with pytest.raises(UnsupportedResponse) as caught:
        get(conn)
    assert str(caught.value).endswith(f': {quote}')


def test_unasked_bytes_are_quoted(serve_plain: Serve) -> None:
    conn = serve_plain(answers(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 Evil\r\n\r\n', 1000))
    get(conn)
    with pytest.raises(InvalidResponse) as caught:
        get(conn)
    assert str(caught.value).endswith(': "HTTP/1.1 200 Evil"')


@pytest.mark.parametrize(
    ('ask', 'parts'),
    [
        (lambda conn: conn.send_request('GE T', '/'), ['method', 'at byte 2', '"GE T"']),
        (lambda conn: conn.send_request('GET', '/a b'), ['at byte 2', '"/a b"']),
        (lambda conn: conn.send_request('GET', '/a\r\nX: y'), ['at byte 2', r'"/a\r\nX: y"']),
        (lambda conn: conn.send_request('GET', '/' + 'x' * 100 + '\n'), ['at byte 101', f'"/{"x" * 39}"...']),
        (lambda conn: conn.send_request('GET', '/\xe4'), ['/\xe4']),
        (lambda conn: conn.send_request('G\xc4T', '/'), ['G\xc4T']),
        (lambda conn: conn.send_request('GET', '/', {'X Y': 'z'}), ['field name', 'at byte 1', '"X Y"']),
        (lambda conn: conn.send_request('GET', '/', {'X': 'a\nb'}), ['"X"', 'at byte 1', r'"a\nb"']),
        (lambda conn: conn.send_request('GET', '/', {'Authorization': 'hush\n.'}), ['"Authorization"', 'at byte 4']),
    ],
)
def test_arguments_are_quoted(ask: Callable[[HTTPConnection], Any], parts: list[str]) -> None:
    conn = HTTPConnection('localhost')
    with pytest.raises(ValueError, match=r'.') as caught:
        ask(conn)
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert 'hush' not in message


def test_a_field_that_cannot_be_a_trailer_is_named(serve_plain: Serve) -> None:
    conn = serve_plain(waits)
    conn.send_request('PUT', '/', body=dugong.BodyFollowing())
    with pytest.raises(ValueError, match='"Host"'):
        conn.finish({'Host': 'x'})
    with pytest.raises(ValueError, match=r'"X".*at byte 1'):
        conn.finish({'X': 'a\nb'})
