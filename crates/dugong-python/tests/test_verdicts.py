"""The verdict on a request or a response comes true."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from peers import LIMIT, Peer, Serve

from dugong import (
    BodyFollowing,
    ConnectionClosed,
    HTTPConnection,
    InvalidResponse,
    StateError,
    UnsupportedResponse,
)

HELLO = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'
EVIL = b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'
MUCH = 16 << 20

HARMS: list[Any] = [
    pytest.param(b'SSH-2.0-OpenSSH_9.2\r\n\r\n', UnsupportedResponse, id='not-http'),
    pytest.param(b'HTTP/1.1 200 OK\r\nX : y\r\n\r\n', InvalidResponse, id='bad-head'),
    pytest.param(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n', InvalidResponse, id='101'),
    pytest.param(b'HTTP/1.1 103 Early Hints\r\n\r\n' * 2000 + b'HTTP/1.1 2', InvalidResponse, id='too-many-1xx'),
]


class Harmful:
    """Answers the first request with an unreadable response, and then records what it receives."""

    def __init__(self, harm: bytes) -> None:
        self.harm = harm
        self.received = b''

    def __call__(self, peer: Peer) -> None:
        peer.head()
        peer.send(self.harm)
        self.received = peer.rest()


@pytest.mark.parametrize(('harm', 'error'), HARMS)
def test_nothing_of_a_request_leaves_after_an_error_has_reported_it(
    serve: Serve, harm: bytes, error: type[Exception]
) -> None:
    server = Harmful(harm)
    conn = serve(server)
    conn.send_request('GET', '/0')
    conn.send_request('POST', '/1', body=BodyFollowing(10))
    conn.write(b'12345')
    with pytest.raises(error):
        conn.read_response()
    ways: list[Callable[[], object]] = [
        lambda: conn.write(b'67890'),
        lambda: conn.send_request('POST', '/2', body=b'again'),
        lambda: next(conn.pipeline(['/3'])),
        lambda: conn.send_request('POST', '/4', body=BodyFollowing(3)),
    ]
    for way in ways:
        with pytest.raises(error):
            way()
    conn.disconnect()
    serve.server.join()
    # The first part of the body may have left before the client found the error.
    assert server.received.endswith((b'\r\n\r\n', b'12345')), server.received
    assert b'67890' not in server.received
    assert b'again' not in server.received


@pytest.mark.parametrize(('harm', 'error'), HARMS)
def test_an_unreadable_response_can_be_read_raw_and_the_server_sees_no_end_before_disconnect(
    serve_plain: Serve, harm: bytes, error: type[Exception]
) -> None:
    seen = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(harm)
        assert seen.wait(LIMIT)
        # This could not be received if the client had closed.
        peer.send(b'and more')
        assert peer.rest() == b''

    conn = serve_plain(script)
    conn.send_request('GET', '/0')
    with pytest.raises(error):
        conn.read_response()
    seen.set()
    raw = b''
    while not raw.endswith(b'and more'):
        raw += conn.read_raw(1)
    conn.disconnect()


@pytest.mark.parametrize(('harm', 'error'), HARMS)
def test_requests_that_a_pipeline_gave_up_are_not_sent_by_its_next_call(
    serve: Serve, harm: bytes, error: type[Exception]
) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(harm)
        assert reported.wait(LIMIT)
        # The pipeline has ended the connection.
        received.append(len(peer.rest()))

    reported = threading.Event()
    received: list[int] = []
    conn = serve(script)
    requests: list[Any] = [('POST', f'/{i}', {}, bytes(MUCH // 50)) for i in range(50)]
    pipeline = conn.pipeline(requests, max_requests=50, max_bytes=2 * MUCH)
    with pytest.raises(error) as first:
        next(pipeline)
    reported.set()
    with pytest.raises(error) as second:
        next(pipeline)
    assert str(second.value) == str(first.value)
    assert pipeline.unanswered == requests[: len(pipeline.unanswered)]
    serve.server.join()
    conn.disconnect()
    assert received[0] < MUCH


def test_write_says_that_the_connection_is_closed_and_reading_says_why(serve: Serve) -> None:
    """The pattern of known applications: 23.5."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b'SSH-2.0-x\r\n\r\n')
        peer.end()
        done.wait(LIMIT)

    done = threading.Event()
    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing(MUCH))
    with pytest.raises(ConnectionClosed):
        for _ in range(MUCH >> 16):
            conn.write(bytes(1 << 16))
    assert not conn._out_remaining
    with pytest.raises(UnsupportedResponse):
        conn.read_response()
    done.set()


def test_a_body_that_was_given_is_given_up_and_reading_says_why(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 200 OK\r\nX : y\r\n\r\n')
        peer.end()
        done.wait(LIMIT)

    done = threading.Event()
    conn = serve(script)
    conn.send_request('PUT', '/', body=bytes(MUCH))
    with pytest.raises(InvalidResponse):
        conn.read_response()
    done.set()


def test_after_the_connection_is_lost_in_a_wait_for_100_nothing_is_the_callers_mistake(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.close()

    conn = serve(script)
    conn.send_request('PUT', '/', body=BodyFollowing(5), expect100=True)
    with pytest.raises(ConnectionClosed):
        conn.read_response()
    with pytest.raises(ConnectionClosed):
        conn.send_request('GET', '/')
        conn.read_response()


@pytest.mark.parametrize('surplus', [EVIL, b'\r\n' + EVIL, b'junk', b'HTTP/1.1 408 ', b'HTTP/1.1 40', b'H'])
def test_an_answer_that_came_before_its_question_is_refused(serve: Serve, surplus: bytes) -> None:
    def script(peer: Peer) -> None:
        for _ in range(4):
            peer.head()
        peer.send(HELLO * 4 + surplus)
        sent.set()
        peer.head()
        peer.rest()

    sent = threading.Event()
    conn = serve(script)
    for i in range(4):
        conn.send_request('GET', f'/{i}')
    assert sent.wait(LIMIT)
    # All bytes are in one segment, or in one record of TLS, and this reads them.
    conn.read_response()
    assert conn.readall() == b'hello'
    conn.send_request('GET', '/4')
    for _ in range(3):
        conn.read_response()
        assert conn.readall() == b'hello'
    error = ConnectionClosed if surplus.startswith(b'H') and surplus != EVIL else InvalidResponse
    with pytest.raises(error) as caught:
        conn.read_response()
    if error is InvalidResponse:
        assert '/4' in str(caught.value)
        assert 'request 3' in str(caught.value)
    conn.disconnect()


def test_no_content_of_a_pipeline_belongs_to_another_request(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        for _ in range(64):
            peer.head()
        peer.send(b''.join(b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n%03d' % i for i in range(65)))
        peer.rest()

    conn = serve(script)
    done = []
    with pytest.raises(InvalidResponse):
        for response, body in conn.pipeline([f'/{i}' for i in range(100)], collect=True):
            assert response.path == f'/{int(body)}'
            done.append(body)
    assert len(done) <= 64
    conn.disconnect()


@pytest.mark.parametrize('length', range(1, len('HTTP/1.1 408')))
def test_14_6_an_unasked_piece_of_a_status_line_ends_the_connection_at_once(serve: Serve, length: int) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(HELLO + b'HTTP/1.1 408'[:length])
        assert peer.rest() == b''

    conn = serve(script)
    conn.send_request('GET', '/')
    conn.read_response()
    assert conn.readall() == b'hello'
    with pytest.raises(ConnectionClosed):
        conn.send_request('GET', '/')
    with pytest.raises(StateError):
        conn.read_response()
    conn.disconnect()


@pytest.mark.parametrize('behind', [b'EXCESS', EVIL, b'HTTP/1.1 408 Request Timeout\r\n\r\n', b'H'])
def test_a_pipeline_ends_well_when_all_is_answered_even_if_more_bytes_follow(serve: Serve, behind: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(HELLO + behind)
        peer.rest()

    conn: HTTPConnection = serve(script)
    assert [body for _, body in conn.pipeline(['/'], collect=True)] == [b'hello']
    with pytest.raises((ConnectionClosed, InvalidResponse)):
        conn.send_request('GET', '/')
    conn.disconnect()


@pytest.mark.parametrize('pieces', [(b'\r\n', EVIL), (b'\r', b'\n', EVIL), (b'\r\n', b'HTTP/1.1 408 x\r\n\r\n')])
def test_14_6_all_unasked_bytes_are_judged(serve: Serve, pieces: tuple[bytes, ...]) -> None:
    """With TLS, each piece is in a record of its own."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(HELLO)
        assert read.wait(LIMIT)
        for piece in pieces:
            peer.send(piece)
        sent.set()
        assert peer.rest() == b''

    read, sent = threading.Event(), threading.Event()
    conn = serve(script)
    conn.send_request('GET', '/')
    conn.read_response()
    assert conn.readall() == b'hello'
    read.set()
    assert sent.wait(LIMIT)
    with pytest.raises((ConnectionClosed, InvalidResponse)):
        conn.send_request('POST', '/2', body=b'once')
    conn.disconnect()


@pytest.mark.parametrize(
    'fields', [b'Content-Length: 5\r\nTransfer-Encoding: chunked', b'Content-Length: 5\r\nContent-Length: 6']
)
def test_faulty_framing_is_an_end_when_its_body_was_asked_for(serve: Serve, fields: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 200 OK\r\n' + fields + b'\r\n\r\nhello')
        received.append(peer.rest())

    received: list[bytes] = []
    conn = serve(script)
    conn.send_request('GET', '/')
    conn.read_response()
    for _ in range(2):
        with pytest.raises(InvalidResponse):
            conn.readall()
    with pytest.raises(InvalidResponse):
        conn.send_request('POST', '/', body=b'x')
    with pytest.raises(StateError):
        conn.read_response()
    conn.disconnect()
    serve.server.join()
    assert received == [b'']
