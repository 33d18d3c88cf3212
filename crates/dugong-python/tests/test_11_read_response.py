from __future__ import annotations

from collections.abc import Callable

import pytest
from peers import Peer, Serve, says

import dugong
from dugong import BodyFollowing, HTTPResponse, InvalidResponse, StateError, UnsupportedResponse

HELLO = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'
EMPTY = b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'


def by_read(conn: dugong.HTTPConnection) -> None:
    while conn.read(3):
        pass


def by_readinto(conn: dugong.HTTPConnection) -> None:
    while conn.readinto(bytearray(3)):
        pass


def by_readall(conn: dugong.HTTPConnection) -> None:
    conn.readall()


def by_discard(conn: dugong.HTTPConnection) -> None:
    conn.discard()


def test_11_1_reads_status_line_and_headers(serve: Serve) -> None:
    conn = serve(says(b'HTTP/1.1 404 Not Found here\r\nContent-Length: 5\r\nX-A: b c\r\nX-D:e\r\n\r\nhello'))
    conn.send_request('GET', '/a?b')
    resp = conn.read_response()
    assert type(resp) is HTTPResponse
    assert (resp.method, resp.path) == ('GET', '/a?b')
    assert (resp.status, resp.reason) == (404, 'Not Found here')
    assert resp.headers.items() == [('Content-Length', '5'), ('X-A', 'b c'), ('X-D', 'e')]
    assert resp.length == 5
    assert conn.readall() == b'hello'


def test_11_1_reads_the_next_response(serve: Serve) -> None:
    conn = serve(says(*(b'HTTP/1.1 %d OK\r\nContent-Length: 3\r\n\r\n%d' % (code, code) for code in range(200, 204))))
    for number in range(4):
        conn.send_request('GET', f'/{number}')
    for number in range(4):
        resp = conn.read_response()
        assert (resp.status, resp.path) == (200 + number, f'/{number}')
        assert conn.readall() == str(200 + number).encode()


def test_11_1_a_head_may_come_in_pieces(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        for byte in HELLO:
            peer.send(bytes([byte]))

    conn = serve(script)
    conn.send_request('GET', '/')
    resp = conn.read_response()
    assert (resp.status, resp.reason, resp.headers['content-length']) == (200, 'OK', '5')
    assert conn.readall() == b'hello'


def test_11_2_no_request(serve: Serve) -> None:
    conn = serve(says(HELLO))
    with pytest.raises(StateError):
        conn.read_response()
    assert serve.server.connections == 0
    conn.connect()
    with pytest.raises(StateError):
        conn.read_response()
    conn.send_request('GET', '/')
    assert conn.read_response().status == 200
    assert conn.readall() == b'hello'


def test_11_2_no_request_completely_sent(serve: Serve) -> None:
    conn = serve(says(HELLO))
    conn.send_request('PUT', '/', body=BodyFollowing(4))
    with pytest.raises(StateError):
        conn.read_response()
    conn.write(b'ab')
    with pytest.raises(StateError):
        conn.read_response()
    conn.write(b'cd')
    assert conn.read_response().status == 200
    assert conn.readall() == b'hello'


@pytest.mark.parametrize('answer', [HELLO, EMPTY])
def test_11_2_all_answered(serve: Serve, answer: bytes) -> None:
    conn = serve(says(answer, HELLO))
    conn.send_request('GET', '/')
    conn.read_response()
    conn.discard()
    for _ in range(2):
        with pytest.raises(StateError):
            conn.read_response()
    conn.send_request('GET', '/')
    conn.read_response()
    assert conn.readall() == b'hello'


@pytest.mark.parametrize('requests', [1, 2])
def test_11_2_body_of_the_previous_response_not_read(serve: Serve, requests: int) -> None:
    conn = serve(says(*[HELLO] * requests))
    for _ in range(requests):
        conn.send_request('GET', '/')
    conn.read_response()
    with pytest.raises(StateError):
        conn.read_response()
    assert conn.read(2)
    with pytest.raises(StateError):
        conn.read_response()
    assert conn.readall()
    if requests == 2:
        assert conn.read_response().status == 200


@pytest.mark.parametrize('finish', [by_read, by_readinto, by_readall, by_discard])
@pytest.mark.parametrize(
    'answer', [HELLO, b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n']
)
def test_11_3_the_end_is_reached_when_a_read_method_said_so(
    serve: Serve, finish: Callable[[dugong.HTTPConnection], None], answer: bytes
) -> None:
    conn = serve(says(answer, HELLO))
    conn.send_request('GET', '/1')
    conn.send_request('GET', '/2')
    conn.read_response()
    finish(conn)
    assert conn.read_response().path == '/2'
    assert conn.readall() == b'hello'


@pytest.mark.parametrize('finish', [by_read, by_readinto, by_readall, by_discard])
@pytest.mark.parametrize('into', [False, True])
@pytest.mark.parametrize(
    'answer', [HELLO, b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n']
)
def test_11_3_having_got_the_last_byte_is_not_enough(
    serve: Serve, finish: Callable[[dugong.HTTPConnection], None], into: bool, answer: bytes
) -> None:
    conn = serve(says(answer, HELLO))
    conn.send_request('GET', '/1')
    conn.send_request('GET', '/2')
    conn.read_response()
    got = b''
    while len(got) < 5:
        if into:
            buf = bytearray(5 - len(got))
            got += buf[: conn.readinto(buf)]
        else:
            got += conn.read(5 - len(got))
    assert got == b'hello'
    assert conn.response_pending()
    with pytest.raises(StateError):
        conn.read_response()
    finish(conn)
    assert conn.read_response().path == '/2'
    assert conn.readall() == b'hello'


def test_11_3_the_end_of_the_connection_must_have_been_read_too(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello')

    conn = serve(script)
    conn.send_request('GET', '/1')
    conn.read_response()
    got = b''
    while len(got) < 5:
        got += conn.read(10)
    assert conn.response_pending()
    with pytest.raises(StateError):
        conn.read_response()
    assert conn.read(10) == b''
    assert not conn.response_pending()


@pytest.mark.parametrize(
    ('method', 'answer'),
    [
        ('GET', EMPTY),
        ('HEAD', b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'),
        ('HEAD', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'),
        ('HEAD', b'HTTP/1.1 200 OK\r\n\r\n'),
        ('GET', b'HTTP/1.1 204 No Content\r\n\r\n'),
        ('GET', b'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n'),
    ],
)
def test_11_3_without_a_body_nothing_needs_to_be_read(serve: Serve, method: str, answer: bytes) -> None:
    conn = serve(says(answer, HELLO))
    conn.send_request(method, '/1')
    conn.send_request('GET', '/2')
    assert conn.read_response().length == 0
    assert conn.read_response().path == '/2'
    assert conn.readall() == b'hello'


def test_11_4_pending_until_read_to_the_end(serve: Serve) -> None:
    conn = serve(says(HELLO, HELLO, EMPTY))
    assert conn.response_pending() is False
    conn.connect()
    assert conn.response_pending() is False
    conn.send_request('GET', '/1')
    assert conn.response_pending() is True
    conn.send_request('GET', '/2')
    conn.send_request('GET', '/3')
    for _ in range(2):
        conn.read_response()
        assert conn.response_pending() is True
        conn.discard()
        assert conn.response_pending() is True
    conn.read_response()
    assert conn.response_pending() is False


def test_11_4_the_last_response_is_pending_until_its_end_was_seen(serve: Serve) -> None:
    conn = serve(says(HELLO))
    conn.send_request('GET', '/')
    conn.read_response()
    got = b''
    while len(got) < 5:
        got += conn.read(5)
        assert conn.response_pending() is True
    assert not conn.read(5)
    assert conn.response_pending() is False


def test_11_4_only_completely_sent_requests_count(serve: Serve) -> None:
    conn = serve(says(EMPTY, EMPTY))
    conn.send_request('PUT', '/', body=BodyFollowing(4))
    assert conn.response_pending() is False
    conn.write(b'abc')
    assert conn.response_pending() is False
    conn.write(b'd')
    assert conn.response_pending() is True
    conn.send_request('PUT', '/', body=BodyFollowing(4))
    assert conn.response_pending() is True  # the first one
    conn.read_response()
    assert conn.response_pending() is False
    conn.write(b'abcd')
    assert conn.response_pending() is True
    conn.read_response()
    assert conn.response_pending() is False


def test_11_4_a_body_in_chunks_counts_when_it_is_finished(serve: Serve) -> None:
    conn = serve(says(EMPTY))
    conn.send_request('PUT', '/', body=BodyFollowing())
    conn.write(b'abc')
    assert conn.response_pending() is False
    conn.finish()
    assert conn.response_pending() is True
    conn.read_response()
    assert conn.response_pending() is False


def test_11_4_a_request_that_awaits_its_100_counts(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        assert peer.exactly(4) == b'abcd'
        peer.answer()
        peer.rest()

    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing(4), expect100=True)
    assert conn.response_pending() is True
    assert conn.read_response().status == 100
    assert conn.response_pending() is False
    conn.write(b'abcd')
    assert conn.response_pending() is True
    assert conn.read_response().status == 200
    assert conn.response_pending() is False


@pytest.mark.parametrize('read', [False, True])
def test_11_4_nothing_is_pending_without_a_connection(serve: Serve, read: bool) -> None:
    conn = serve(says(*[HELLO] * read))
    conn.send_request('GET', '/')
    if read:
        conn.read_response()
    assert conn.response_pending() is True
    conn.disconnect()
    assert conn.response_pending() is False


def test_11_4_a_body_that_cannot_be_read_stays_pending(serve: Serve) -> None:
    conn = serve(says(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx'))
    conn.send_request('GET', '/')
    conn.read_response()
    with pytest.raises(InvalidResponse):
        conn.readall()
    assert conn.response_pending() is True


@pytest.mark.parametrize(
    ('line', 'status', 'reason'),
    [
        ('HTTP/1.1 200 OK', 200, 'OK'),
        ('HTTP/1.0 200 OK', 200, 'OK'),
        ('HTTP/1.2 200 OK', 200, 'OK'),
        ('HTTP/1.9 200 OK', 200, 'OK'),
        ('HTTP/1.1 404 Not  Found', 404, 'Not  Found'),
        ('HTTP/1.1 200', 200, ''),
        ('HTTP/1.1 200 ', 200, ''),
        ('HTTP/1.1 200  OK ', 200, 'OK'),
        ('HTTP/1.1 200 caf\xe9', 200, 'caf\xe9'),
        ('HTTP/1.1 200 200', 200, '200'),
        ('HTTP/1.1 599 x', 599, 'x'),
        ('HTTP/1.1 600 x', 600, 'x'),
        ('HTTP/1.1 999 x', 999, 'x'),
    ],
)
def test_11_5_good_status_lines(serve: Serve, line: str, status: int, reason: str) -> None:
    conn = serve(says(line.encode('latin-1') + b'\r\nContent-Length: 5\r\n\r\nhello'))
    conn.send_request('GET', '/')
    resp = conn.read_response()
    assert (resp.status, resp.reason) == (status, reason)
    assert conn.readall() == b'hello'


@pytest.mark.parametrize('version', ['HTTP/1.1', 'HTTP/1.2', 'HTTP/1.5', 'HTTP/1.9'])
def test_11_5_other_digits_are_read_as_1_1(serve: Serve, version: str) -> None:
    conn = serve(
        says(
            version.encode() + b' 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
            version.encode() + b' 200 OK\r\n\r\n',
        )
    )
    conn.send_request('GET', '/')
    conn.read_response()
    assert conn.readall() == b'hello'  # HTTP/1.0 has no chunks
    conn.send_request('GET', '/')
    conn.read_response()
    with pytest.raises(UnsupportedResponse):  # in HTTP/1.0, the body would extend to the end of the connection
        conn.readall()


@pytest.mark.parametrize(
    'line',
    [
        'HTTP/2 200 OK',
        'HTTP/2.0 200 OK',
        'HTTP/0.9 200 OK',
        'HTTP/3.1 200 OK',
        'http/1.1 200 OK',
        'Http/1.1 200 OK',
        'HTTPS/1.1 200 OK',
        'HTTP 200 OK',
        'ICY 200 OK',
        '200 OK',
        'SSH-2.0-OpenSSH_9.2p1',
        '<!doctype html>',
        'hello',
        'HTTP/1.1',
        'HTTP/1.0',
        'HTTP/1x 200 OK',
        'HTTP/1 200 OK',
        'HTTP/1. 200 OK',
        'HTTP/10 200 OK',
        'HTTP/1.10 200 OK',
        'HTTP/1.1.1 200 OK',
        'HTTP/01.1 200 OK',
        'HTTP/1.x 200 OK',
        'HTTP/1,1 200 OK',
        'HTTP/1.\xb9 200 OK',
        'HTTP/+1.1 200 OK',
        'HTTP/1.1x 200 OK',
    ],
)
def test_11_5_other_versions_and_lines_without_status_are_not_supported(serve: Serve, line: str) -> None:
    conn = serve(says(line.encode('latin-1') + b'\r\nContent-Length: 5\r\n\r\nhello'), says(HELLO))
    conn.send_request('GET', '/')
    with pytest.raises(UnsupportedResponse):
        conn.read_response()
    conn.reset()
    conn.send_request('GET', '/')
    assert conn.read_response().status == 200
    assert conn.readall() == b'hello'


@pytest.mark.parametrize(
    'status',
    '0 2 20 000 099 1000 2000 0200 +200 -200 +20 2_0 2_0_0 20x x20 abc 200OK 200, 2.0 0x1 \xb2\xb3\xb9 20\xb0'.split(),
)
def test_11_5_a_status_is_three_digits(serve: Serve, status: str) -> None:
    conn = serve(says(f'HTTP/1.1 {status} OK\r\nContent-Length: 5\r\n\r\nhello'.encode('latin-1')), says(HELLO))
    conn.send_request('GET', '/')
    with pytest.raises(InvalidResponse):
        conn.read_response()
    conn.reset()
    conn.send_request('GET', '/')
    assert conn.read_response().status == 200
    assert conn.readall() == b'hello'


@pytest.mark.parametrize(
    'line', ['HTTP/1.1 ', 'HTTP/1.1 2\x0b0 OK', 'HTTP/1.1\t200 OK', 'HTTP/1.1\xa0200 OK', 'HTTP/1.1  200 OK', ' ']
)
def test_11_5_one_blank_between_the_elements(serve: Serve, line: str) -> None:
    conn = serve(says(line.encode('latin-1') + b'\r\nContent-Length: 5\r\n\r\nhello'))
    conn.send_request('GET', '/')
    with pytest.raises((InvalidResponse, UnsupportedResponse)):
        conn.read_response()


def test_11_6_long_status_lines(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 %b\r\nContent-Length: 0\r\n\r\n' % reason)
        peer.request()
        peer.send((b'HTTP/1.1 200 %b' % reason).ljust(dugong.MAX_LINE_SIZE + 1, b'x'))
        peer.rest()

    reason = b'x' * (dugong.MAX_LINE_SIZE - len('HTTP/1.1 200 \r\n'))
    conn = serve(script)
    conn.send_request('GET', '/')
    assert conn.read_response().reason == reason.decode()
    conn.send_request('GET', '/')
    with pytest.raises(InvalidResponse):  # before the end of the line has arrived
        conn.read_response()


def test_11_6_a_long_line_of_another_kind(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'x' * (dugong.MAX_LINE_SIZE + 1))
        peer.rest()

    conn = serve(script)
    conn.send_request('GET', '/')
    with pytest.raises((InvalidResponse, UnsupportedResponse)):
        conn.read_response()


@pytest.mark.parametrize('line', [b'A: %b\r\n' % (b'x' * 64995), b'Name: value\r\n', b'A:\r\n', b'A: b\r\n c\r\n'])
def test_11_6_65000_bytes_of_headers_are_fine(serve: Serve, line: bytes) -> None:
    number = 65000 // len(line)
    conn = serve(says(b'HTTP/1.1 204 No Content\r\n' + line * number + b'\r\n'))
    conn.send_request('GET', '/')
    resp = conn.read_response()
    name, _, value = line.decode().strip().partition(':')
    assert resp.headers.get_all(name) == [' '.join(value.split())] * number


@pytest.mark.parametrize('line', [b'A: %b' % (b'x' * 70000), b'Name: value\r\n', b'A:\r\n', b'A: b\r\n c\r\n'])
def test_11_6_no_more_than_the_limit_is_waited_for(serve: Serve, line: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\n' + (line * 20000)[: dugong.MAX_HEADER_SIZE + 1])
        peer.rest()

    conn = serve(script, says(HELLO))
    conn.send_request('GET', '/')
    with pytest.raises(InvalidResponse):
        conn.read_response()
    conn.reset()
    conn.send_request('GET', '/')
    assert conn.read_response().status == 200
    assert conn.readall() == b'hello'


def test_11_6_the_limit_is_that_of_one_response(serve: Serve) -> None:
    head = b'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nA: %b\r\n\r\nx' % (b'a' * 60000)
    conn = serve(says(head, head, head))
    for _ in range(3):
        conn.send_request('GET', '/')
    for _ in range(3):
        assert conn.read_response().headers['A'] == 'a' * 60000
        assert conn.readall() == b'x'


@pytest.mark.parametrize('status', [b'204 No Content', b'304 Not Modified', b'200 OK'])
def test_11_7_an_empty_header_section_is_fine(serve: Serve, status: bytes) -> None:
    conn = serve(says(b'HTTP/1.1 %b\r\n\r\n' % status, HELLO))
    conn.send_request('HEAD', '/')
    assert conn.read_response().headers.items() == []
    conn.send_request('GET', '/')
    conn.read_response()
    assert conn.readall() == b'hello'


@pytest.mark.parametrize(
    'line',
    [
        b'NoColon',
        b'No Colon',
        b'Name : value',
        b'Name\t: value',
        b'Name  \t : value',
        b'Name: a\rb',
        b'Name: a\r',
        b'Name: a\r\r',
        b'Na\rme: a',
        b'Name: a\nOther: b',
        b'Name: a\n',
        b'Name: a\n b',
        b'Na\nme: a',
        b'\nName: a',
        b'Name: a\x00b',
        b'Name: \x00',
        b'Na\x00me: a',
        b'Name: a\r\n b\x00',
        b'Name: a\r\n b\rc',
        b'Name: a\r\n b\nc',
    ],
)
@pytest.mark.parametrize('before', [b'', b'First: 1\r\n'])
def test_11_7_bad_lines(serve: Serve, line: bytes, before: bytes) -> None:
    conn = serve(says(b'HTTP/1.1 200 OK\r\n' + before + line + b'\r\nContent-Length: 5\r\n\r\nhello'), says(HELLO))
    conn.send_request('GET', '/')
    with pytest.raises(InvalidResponse):
        conn.read_response()
    conn.reset()
    conn.send_request('GET', '/')
    assert conn.read_response().status == 200
    assert conn.readall() == b'hello'


@pytest.mark.parametrize(
    'head',
    [
        b'HTTP/1.1 200 OK\nContent-Length: 5\n\nhello',
        b'HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello',
        b'HTTP/1.1 200 OK\r\nContent-Length: 5\n\nhello',
        b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\nhello',
        b'HTTP/1.1 200 OK\r\n\nContent-Length: 5\r\n\r\nhello',
        b'HTTP/1.1 200 OK\r\r\nContent-Length: 5\r\n\r\nhello',
        b'HTTP/1.1 200 O\rK\r\nContent-Length: 5\r\n\r\nhello',
        b'HTTP/1.1 200 O\x00K\r\nContent-Length: 5\r\n\r\nhello',
    ],
)
def test_11_7_lines_end_in_crlf(serve: Serve, head: bytes) -> None:
    conn = serve(says(head))
    conn.send_request('GET', '/')
    with pytest.raises(InvalidResponse):
        conn.read_response()
