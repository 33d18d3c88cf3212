from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from peers import LIMIT, Peer, Serve

from dugong import (
    BodyFollowing,
    ConnectionClosed,
    ConnectionTimedOut,
    HTTPConnection,
    InvalidResponse,
    StateError,
    eval_coroutine,
)

GO_ON = b'HTTP/1.1 100 Continue\r\n\r\n'


def answer_all(peer: Peer) -> None:
    """Answer with target and body, until the client closes."""
    while True:
        try:
            got = peer.request()
        except EOFError:
            assert peer.rest() == b''
            return
        peer.answer(got.target.encode() + got.body)


def ask(conn: HTTPConnection, path: str = '/a', size: int | None = 5) -> None:
    conn.send_request('PUT', path, body=BodyFollowing(size), expect100=True)


def finish(conn: HTTPConnection, path: str = '/a', body: bytes = b'12345') -> None:
    resp = conn.read_response()
    assert (resp.status, resp.path) == (200, path)
    assert conn.readall() == path.encode() + body


def must_wait(conn: HTTPConnection) -> None:
    """Check 10.1: sending is a StateError."""
    assert conn._out_remaining
    calls: list[Callable[[], None]] = [
        lambda: conn.write(b'x'),
        lambda: conn.write(b'12345'),
        lambda: conn.send_request('GET', '/wrong'),
        lambda: conn.send_request('PUT', '/wrong', body=BodyFollowing(5), expect100=True),
        lambda: eval_coroutine(conn.co_write(b'x'), LIMIT),
        lambda: eval_coroutine(conn.co_send_request('GET', '/wrong'), LIMIT),
    ]
    for call in calls:
        with pytest.raises(StateError):
            call()


def must_write(conn: HTTPConnection) -> None:
    """Check 10.2: only the body can be sent, and no response is pending."""
    assert conn._out_remaining
    assert not conn.response_pending()
    with pytest.raises(StateError):
        conn.send_request('GET', '/wrong')
    with pytest.raises(StateError):
        conn.read_response()
    assert conn.read(10) == b''
    assert conn.readall() == b''


def must_not_write(conn: HTTPConnection) -> None:
    """Check 10.3: the body must not be written."""
    assert not conn._out_remaining
    with pytest.raises(StateError):
        conn.write(b'12345')
    with pytest.raises(StateError):
        conn.finish()


# 10.1, 10.2


def test_10_1_and_10_2_go_on(serve: Serve) -> None:
    may = threading.Event()

    def script(peer: Peer) -> None:
        head = peer.head()
        assert head.method == 'PUT'
        assert head.values('Expect') == ['100-continue']
        assert head.values('Content-Length') == ['5']
        assert may.wait(LIMIT)
        peer.send(GO_ON)
        assert peer.exactly(5) == b'12345'
        peer.answer(b'/a12345')
        answer_all(peer)

    conn = serve(script)
    ask(conn)
    assert conn.response_pending()
    must_wait(conn)
    may.set()
    must_wait(conn)
    resp = conn.read_response()
    assert (resp.status, resp.reason, resp.length) == (100, 'Continue', 0)
    assert (resp.method, resp.path) == ('PUT', '/a')
    must_write(conn)
    conn.write(b'12')
    must_write(conn)
    conn.write(b'345')
    assert conn.response_pending()
    assert not conn._out_remaining
    with pytest.raises(StateError):
        conn.write(b'x')
    finish(conn)
    assert not conn.response_pending()
    conn.send_request('GET', '/b')
    finish(conn, '/b', b'')


def test_10_1_the_body_is_not_sent_before(serve: Serve) -> None:
    """The body of the request arrives after the client has read the 100 response."""
    read = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(GO_ON)
        peer.exactly(1)
        assert read.is_set()
        peer.exactly(4)
        peer.answer(b'/a12345')

    conn = serve(script)
    ask(conn)
    must_wait(conn)
    conn.read_response()
    read.set()
    conn.write(b'12345')
    finish(conn)


def test_10_2_headers_of_the_100_response(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 100 Go\r\nX-One: 1\r\nContent-Length: 17\r\n\r\n')
        peer.exactly(5)
        peer.answer(b'/a12345')

    conn = serve(script)
    ask(conn)
    resp = conn.read_response()
    assert (resp.status, resp.reason, resp.length) == (100, 'Go', 0)
    assert resp.headers['x-one'] == '1'
    must_write(conn)
    conn.write(b'12345')
    finish(conn)


def test_10_2_again_and_again(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        for _ in range(3):
            head = peer.head()
            peer.send(GO_ON)
            peer.answer(head.target.encode() + peer.exactly(5))

    conn = serve(script)
    for path in '/a', '/b', '/c':
        ask(conn, path)
        assert conn.read_response().status == 100
        conn.write(b'12345')
        finish(conn, path)
    assert serve.server.connections == 1


def test_10_2_by_coroutines(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(GO_ON)
        peer.answer(b'/a' + peer.exactly(5))

    conn = serve(script)
    eval_coroutine(conn.co_send_request('PUT', '/a', body=BodyFollowing(5), expect100=True), LIMIT)
    assert conn.response_pending()
    must_wait(conn)
    assert eval_coroutine(conn.co_read_response(), LIMIT).status == 100
    must_write(conn)
    eval_coroutine(conn.co_write(b'12345'), LIMIT)
    assert eval_coroutine(conn.co_read_response(), LIMIT).status == 200
    assert eval_coroutine(conn.co_readall(), LIMIT) == b'/a12345'


def test_10_1_earlier_responses_come_first(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        for path in '/1', '/2':
            assert peer.request().target == path
            peer.answer(path.encode())
        peer.head()
        peer.send(GO_ON)
        peer.answer(b'/a' + peer.exactly(5))

    conn = serve(script)
    for path in '/1', '/2':
        conn.send_request('GET', path)
    ask(conn)
    for path in '/1', '/2':
        must_wait(conn)
        finish(conn, path, b'')
    must_wait(conn)
    assert conn.response_pending()
    resp = conn.read_response()
    assert (resp.status, resp.path) == (100, '/a')
    conn.write(b'12345')
    finish(conn)


# 10.3

REFUSALS: dict[str, tuple[bytes, bytes | None]] = {
    'length': (b'HTTP/1.1 417 Expectation Failed\r\nContent-Length: 7\r\n\r\nbecause', b'because'),
    'chunked': (b'HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nbecause\r\n0\r\n\r\n', b'because'),
    'close': (b'HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 7\r\n\r\nbecause', b'because'),
    'success': (b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nbecause', b'because'),
    'empty': (b'HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n', None),
    '204': (b'HTTP/1.1 204 No Content\r\n\r\n', None),
    '304': (b'HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n', None),
}


@pytest.fixture(params=list(REFUSALS))
def refusal(request: pytest.FixtureRequest) -> tuple[bytes, bytes | None]:
    return REFUSALS[request.param]


def refusing(answer: bytes, before: int = 0) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        for _ in range(before):
            peer.answer(peer.request().target.encode())
        peer.head()
        peer.send(answer)
        assert peer.rest() == b''  # no further request over this connection

    return script


def test_10_3_refusal(serve: Serve, refusal: tuple[bytes, bytes | None]) -> None:
    answer, body = refusal
    conn = serve(refusing(answer), answer_all)
    ask(conn)
    resp = conn.read_response()
    assert resp.status == int(answer[9:12])
    assert (resp.method, resp.path) == ('PUT', '/a')
    must_not_write(conn)
    if body is not None:
        assert conn.response_pending()
        read = b''
        for size in 3, 4:
            with pytest.raises(StateError):
                conn.send_request('GET', '/wrong')
            with pytest.raises(StateError):
                conn.read_response()
            read += conn.read(size)
        assert read + conn.readall() == body
    assert not conn.response_pending()
    assert conn.read(10) == b''
    must_not_write(conn)
    with pytest.raises(StateError):
        conn.read_response()
    assert not conn.response_pending()
    for path in '/b', '/c':
        conn.send_request('PUT', path, body=b'next')
    for path in '/b', '/c':
        finish(conn, path, b'next')
    assert not conn.response_pending()
    assert serve.server.connections == 2


def test_10_3_an_unread_body_keeps_the_next_request_back(serve: Serve) -> None:
    conn = serve(refusing(REFUSALS['length'][0]), answer_all)
    ask(conn)
    conn.read_response()
    for body in None, b'x', BodyFollowing(5), BodyFollowing():
        with pytest.raises(StateError):
            conn.send_request('PUT', '/wrong', body=body)
    with pytest.raises(StateError):
        eval_coroutine(conn.co_send_request('GET', '/wrong'), LIMIT)
    conn.discard()
    conn.send_request('GET', '/b')
    finish(conn, '/b', b'')


@pytest.mark.parametrize('how', ['read', 'readinto', 'readall', 'discard'])
def test_10_3_however_the_body_is_read(serve: Serve, how: str) -> None:
    conn = serve(refusing(REFUSALS['length'][0]), answer_all)
    ask(conn)
    conn.read_response()
    if how == 'read':
        while conn.read(5):
            pass
    elif how == 'readinto':
        while conn.readinto(bytearray(5)):
            pass
    else:
        getattr(conn, how)()
    conn.send_request('GET', '/b')
    finish(conn, '/b', b'')


def test_10_3_the_next_request_may_expect_as_well(serve: Serve) -> None:
    def last(peer: Peer) -> None:
        head = peer.head()
        peer.send(GO_ON)
        peer.answer(head.target.encode() + peer.exactly(5))

    script = refusing(REFUSALS['length'][0])
    conn = serve(script, script, last)
    for path in '/a', '/b':
        ask(conn, path)
        assert conn.read_response().status == 417
        conn.discard()
    ask(conn, '/c')
    must_wait(conn)
    assert conn.read_response().status == 100
    conn.write(b'12345')
    finish(conn, '/c')
    assert serve.server.connections == 3


def test_10_3_the_next_request_by_a_coroutine(serve: Serve) -> None:
    conn = serve(refusing(REFUSALS['length'][0]), answer_all)
    ask(conn)
    conn.read_response()
    conn.discard()
    eval_coroutine(conn.co_send_request('GET', '/b'), LIMIT)
    finish(conn, '/b', b'')


def test_10_3_refusal_behind_other_responses(serve: Serve) -> None:
    conn = serve(refusing(REFUSALS['length'][0], before=2), answer_all)
    for path in '/1', '/2':
        conn.send_request('GET', path)
    ask(conn)
    for path in '/1', '/2':
        finish(conn, path, b'')
    resp = conn.read_response()
    assert (resp.status, resp.path) == (417, '/a')
    assert conn.readall() == b'because'
    conn.send_request('GET', '/b')
    finish(conn, '/b', b'')


def test_10_3_refusal_of_chunks(serve: Serve) -> None:
    conn = serve(refusing(REFUSALS['length'][0]), answer_all)
    ask(conn, size=None)
    assert conn.read_response().status == 417
    must_not_write(conn)
    assert conn.readall() == b'because'
    must_not_write(conn)
    conn.send_request('GET', '/b')
    finish(conn, '/b', b'')


def test_10_3_refusal_up_to_the_end_of_the_connection(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 413 No\r\nConnection: close\r\n\r\nbecause')
        peer.end()
        assert peer.rest() == b''

    conn = serve(script, answer_all)
    ask(conn)
    assert conn.read_response().length is None
    assert conn.readall() == b'because'
    conn.send_request('GET', '/b')
    finish(conn, '/b', b'')


def test_10_3_the_peer_has_closed_after_its_refusal(serve: Serve) -> None:
    """The caller does not notice the new connection."""
    gone = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.answer(b'because', '417 Expectation Failed')
        peer.close()
        gone.set()

    conn = serve(script, answer_all)
    ask(conn)
    assert gone.wait(LIMIT)
    assert conn.read_response().status == 417
    assert conn.readall() == b'because'
    conn.send_request('GET', '/b')
    finish(conn, '/b', b'')


def test_10_3_without_further_requests(serve: Serve) -> None:
    conn = serve(refusing(REFUSALS['length'][0]))
    ask(conn)
    assert conn.read_response().status == 417
    assert conn.readall() == b'because'
    conn.disconnect()
    serve.server.join()
    assert serve.server.connections == 1


def test_10_3_no_answer_at_all(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.head()

    conn = serve(script)
    ask(conn)
    with pytest.raises(ConnectionClosed):
        conn.read_response()


# 10.4


@pytest.mark.parametrize('count', [1, 10])
def test_10_4_other_interim_responses_are_skipped(serve: Serve, count: int) -> None:
    others = (
        b'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 199 Odd\r\n\r\n' * count
    )

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(others)
        peer.answer(b'/1')
        peer.head()
        peer.send(others + GO_ON)
        body = peer.exactly(5)
        peer.send(others)
        peer.answer(b'/a' + body)
        peer.head()
        peer.send(others)
        peer.answer(b'because', '417 No')

    conn = serve(script)
    conn.send_request('GET', '/1')
    finish(conn, '/1', b'')
    ask(conn)
    assert conn.read_response().status == 100
    conn.write(b'12345')
    finish(conn)
    ask(conn)
    assert conn.read_response().status == 417
    assert conn.readall() == b'because'


def test_10_4_any_number_of_interim_responses_is_skipped(serve: Serve) -> None:
    """A server that reports for hours that it is still working."""

    def script(peer: Peer) -> None:
        for _ in range(2):
            target = peer.request().target
            for _ in range(200):
                peer.send(b'HTTP/1.1 102 Processing\r\n\r\n')
            peer.answer(target.encode())
        peer.rest()

    conn = serve(script)
    for path in '/1', '/2':
        conn.send_request('GET', path)
    for path in '/1', '/2':
        finish(conn, path, b'')


def test_10_4_unexpected_100_responses_are_skipped(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        for _ in range(2):
            got = peer.request()
            peer.send(GO_ON * 3)
            peer.answer(got.target.encode() + got.body)
        peer.head()
        peer.send(GO_ON)
        body = peer.exactly(5)
        peer.send(GO_ON * 2)
        peer.answer(b'/a' + body)

    conn = serve(script)
    conn.send_request('GET', '/1')
    finish(conn, '/1', b'')
    conn.send_request('PUT', '/2', body=BodyFollowing(5))
    conn.write(b'12345')
    finish(conn, '/2')
    ask(conn)
    assert conn.read_response().status == 100
    conn.write(b'12345')
    finish(conn)


def test_10_4_interim_responses_have_no_body(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        for framing in b'Content-Length: 5', b'Transfer-Encoding: chunked', b'Content-Length: x', b'Connection: close':
            peer.send(b'HTTP/1.1 103 Early Hints\r\n' + framing + b'\r\n\r\n')
        peer.answer(b'/1')
        answer_all(peer)

    conn = serve(script)
    conn.send_request('GET', '/1')
    finish(conn, '/1', b'')
    conn.send_request('GET', '/2')
    finish(conn, '/2', b'')


@pytest.mark.parametrize('expect100', [False, True])
def test_10_4_101_is_invalid(serve: Serve, expect100: bool) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n')
        peer.answer(b'/a')

    conn = serve(script)
    if expect100:
        ask(conn)
    else:
        conn.send_request('GET', '/a')
    with pytest.raises(InvalidResponse):
        conn.read_response()


# 10.5


def waited(conn: HTTPConnection, path: str = '/a', size: int | None = 5) -> None:
    """The wait for the first response has timed out."""
    ask(conn, path, size)
    must_wait(conn)
    conn.timeout = 0.1
    with pytest.raises(ConnectionTimedOut):
        conn.read_response()
    conn.timeout = LIMIT


def test_10_5_after_the_timeout_the_body_may_be_written(serve: Serve) -> None:
    conn = serve(answer_all)
    for path in '/a', '/b':
        waited(conn, path)
        assert conn._out_remaining
        with pytest.raises(StateError):
            conn.send_request('GET', '/wrong')
        conn.write(b'12')
        assert conn._out_remaining
        with pytest.raises(StateError):
            conn.send_request('GET', '/wrong')
        conn.write(b'345')
        assert not conn._out_remaining
        assert conn.response_pending()
        finish(conn, path)
    assert serve.server.connections == 1


def test_10_5_chunks(serve: Serve) -> None:
    conn = serve(answer_all)
    waited(conn, size=None)
    conn.write(b'12345')
    conn.finish()
    finish(conn)


def test_10_5_a_100_response_after_the_first_write_is_skipped(serve: Serve) -> None:
    skipped = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        body = peer.exactly(2)
        peer.send(GO_ON)
        skipped.set()
        body += peer.exactly(3)
        peer.answer(b'/a' + body)
        answer_all(peer)

    conn = serve(script)
    waited(conn)
    conn.write(b'12')
    assert skipped.wait(LIMIT)
    conn.write(b'345')
    finish(conn)
    conn.send_request('GET', '/b')
    finish(conn, '/b', b'')


def test_10_5_a_100_response_before_the_first_write_is_returned(serve: Serve) -> None:
    may = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        assert may.wait(LIMIT)
        peer.send(GO_ON)
        peer.answer(b'/a' + peer.exactly(5))

    conn = serve(script)
    waited(conn)
    may.set()
    resp = conn.read_response()
    assert (resp.status, resp.length) == (100, 0)
    must_write(conn)
    conn.write(b'12345')
    finish(conn)


def test_10_5_the_wait_may_be_repeated(serve: Serve) -> None:
    may = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(GO_ON[:10])
        assert may.wait(LIMIT)
        peer.send(GO_ON[10:])
        peer.answer(b'/a' + peer.exactly(5))

    conn = serve(script)
    waited(conn)
    conn.timeout = 0.05
    with pytest.raises(ConnectionTimedOut):
        conn.read_response()
    conn.timeout = LIMIT
    may.set()
    assert conn.read_response().status == 100
    conn.write(b'12345')
    finish(conn)


def test_10_5_a_refusal_after_the_timeout(serve: Serve) -> None:
    may = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        assert may.wait(LIMIT)
        peer.answer(b'because', '417 Expectation Failed')
        assert peer.rest() == b''

    conn = serve(script, answer_all)
    waited(conn)
    may.set()
    assert conn.read_response().status == 417
    must_not_write(conn)
    assert conn.readall() == b'because'
    conn.send_request('GET', '/b')
    finish(conn, '/b', b'')
    assert serve.server.connections == 2


def test_10_5_an_answer_after_the_first_write(serve: Serve) -> None:
    """As for any request, the rest of the body is sent while sending need not wait, and then the answer is read."""
    answered = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.exactly(2)
        peer.answer(b'because', '400 Bad Request')
        answered.set()
        peer.exactly(3)
        answer_all(peer)

    conn = serve(script)
    waited(conn)
    conn.write(b'12')
    assert answered.wait(LIMIT)
    conn.write(b'345')
    assert conn.read_response().status == 400
    assert conn.readall() == b'because'
    conn.send_request('GET', '/b')
    finish(conn, '/b', b'')


def test_10_5_behind_other_responses(serve: Serve) -> None:
    """A timeout while waiting for an earlier response does not permit the body."""
    may = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        assert may.wait(LIMIT)
        peer.answer(b'/1')
        peer.head()
        peer.send(GO_ON)
        peer.answer(b'/a' + peer.exactly(5))

    conn = serve(script)
    conn.send_request('GET', '/1')
    waited(conn)
    must_wait(conn)
    may.set()
    finish(conn, '/1', b'')
    must_wait(conn)
    assert conn.read_response().status == 100
    conn.write(b'12345')
    finish(conn)


def test_10_5_by_coroutines(serve: Serve) -> None:
    conn = serve(answer_all)
    ask(conn)
    with pytest.raises(ConnectionTimedOut):
        eval_coroutine(conn.co_read_response(), 0.1)
    conn.timeout = 0.1
    crt = conn.co_read_response()
    with pytest.raises(ConnectionTimedOut):
        eval_coroutine(crt, LIMIT)
    conn.timeout = LIMIT
    eval_coroutine(conn.co_write(b'12345'), LIMIT)
    finish(conn)
