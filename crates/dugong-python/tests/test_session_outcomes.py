"""What a session says of a request whose answer comes early, is damaged, or does not come."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from loops import Loop, each_loop
from peers import LIMIT, Peer, Server
from session_support import of, reply_of, words

from dugong import ConnectionClosed, Request, RequestFailed, Session, Sessions

#: More than the buffers of two sockets hold.
SIZE = 64 << 20


class Refusal:
    """Answers before the content has come, and takes none of that before `set`."""

    def __init__(self) -> None:
        self._is_known = threading.Event()

    def set(self) -> None:
        self._is_known.set()

    def __call__(self, peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
        assert self._is_known.wait(LIMIT)
        peer.rest()


@pytest.fixture
def refuse() -> Iterator[Refusal]:
    refusal = Refusal()
    yield refusal
    refusal.set()


def pieces() -> Iterator[bytes]:
    for _ in range(SIZE >> 16):
        yield bytes(1 << 16)


@pytest.mark.parametrize('stream', [False, True])
@pytest.mark.parametrize('content', [lambda: pieces(), lambda: bytes(SIZE)])
def test_an_answer_before_the_end_of_the_content_leaves_it_sent_in_part(
    refuse: Refusal, content: Any, stream: bool
) -> None:
    with Server(refuse) as server, of(server, expect_above=None) as session:
        [outcome] = session.run([Request('PUT', '/x', content=content())], stream=stream)
        refuse.set()
        assert reply_of(outcome).status == 403
        assert words(outcome) == ('partly', 'yes', False, 1)


def test_sessions_say_that_it_was_sent_in_part(refuse: Refusal) -> None:
    with Server(refuse) as server, Sessions(expect_above=None) as sessions:
        [outcome] = sessions.run([Request('PUT', f'http://127.0.0.1:{server.port}/x', content=pieces())])
        refuse.set()
        assert words(outcome) == ('partly', 'yes', False, 1)


def test_the_most_that_was_sent_counts(refuse: Refusal) -> None:
    def lose(peer: Peer) -> None:
        peer.request()
        peer.end()

    with Server(lose, refuse) as server, of(server, expect_above=None, backoff=(0.01, 0.01)) as session:
        [outcome] = session.run([Request('PUT', '/x', content=bytes(SIZE))])
        refuse.set()
        assert reply_of(outcome).status == 403
        assert words(outcome) == ('yes', 'yes', False, 2)


# Expectations


def reject_expectation(peer: Peer) -> None:
    got = peer.head()
    assert got.values('Expect') == ['100-continue']
    peer.send(b'HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n')
    peer.rest()


def take(peer: Peer) -> None:
    got = peer.request()
    assert got.values('Expect') == []
    peer.answer(got.body)
    peer.rest()


@pytest.mark.parametrize('make', [lambda: iter([b'abc', b'def']), lambda: [b'abc', b'def'], lambda: b'abcdef'])
def test_417_is_followed_by_the_content_without_an_expectation(make: Any) -> None:
    with Server(reject_expectation, take) as server, of(server, expect_timeout=LIMIT) as session:
        assert session.post('/x', content=make(), expect=True).content == b'abcdef'


@each_loop
def test_417_is_followed_by_asynchronous_content(loop: Loop) -> None:
    async def later() -> AsyncIterator[bytes]:
        yield b'abc'
        await loop.sleep(0)
        yield b'def'

    async def main() -> None:
        with Server(reject_expectation, take) as server:
            async with of(server, expect_timeout=LIMIT) as session:
                reply = await session.co_post('/x', content=later(), expect=True)
                assert reply.content == b'abcdef'

    loop.run(main)


def endless() -> Iterator[bytes]:
    while True:
        yield b'abc' * 1000


def test_417_to_content_that_was_begun_is_the_reply() -> None:
    def begun(peer: Peer) -> None:
        peer.head()
        peer.until(b'abc')
        peer.send(b'HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n')
        peer.rest()

    with Server(begun) as server, of(server) as session:
        assert session.post('/x', content=endless(), expect=True).status == 417


def test_a_refused_upload_stops_even_if_the_server_takes_all_of_it() -> None:
    """Then neither the caller nor the socket ever makes the session wait."""
    late: list[int] = []

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
        late.append(len(peer.rest()))

    with Server(script) as server, of(server, expect_above=None) as session:
        assert session.put('/x', content=endless()).status == 403
        session.close()
    assert late[0] < 64 << 20


# Digests


def test_content_with_the_right_digest_is_a_reply(session: Session) -> None:
    content = session.get('/bytes/1000').content
    digest = 'sha256=' + hashlib.sha256(content).hexdigest()
    assert session.get('/bytes/1000', digest=digest).content == content
    assert session.get('/bytes/1000', digest='sha256=' + digest[7:].upper()).content == content
    assert session.get('/bytes/1000?digest=1', digest='announced').content == content
    assert session.get('/bytes/1000', digest='announced').content == content
    assert session.head('/bytes/1000', digest=digest).status == 200
    assert session.get('/status/404', digest=digest).status == 404
    with session.get('/bytes/1000', digest=digest, stream=True) as reply:
        assert reply.content == content


WRONG = 'sha256=' + '0' * 64


def test_content_with_another_digest_is_a_failure(session: Session) -> None:
    with pytest.raises(RequestFailed, match=r'does not match its digest: .*0000') as caught:
        session.get('/bytes/1000', digest=WRONG)
    assert words(caught.value) == ('yes', 'partly', True, 1)
    with session.get('/bytes/1000', digest=WRONG, stream=True) as reply:
        assert reply.read(10)
        with pytest.raises(RequestFailed, match='digest'):
            reply.read()
    made = Request('GET', '/bytes/1000', digest=WRONG)
    given: list[Any] = [made, {'method': 'GET', 'target': '/bytes/1000', 'digest': WRONG}, '/bytes/1000']
    outcomes = list(session.run(given))
    assert [outcome.error is None for outcome in outcomes] == [False, False, True]
    assert made.copy().digest == WRONG


def test_a_digest_is_that_of_the_reply_behind_redirects(origin_url: str) -> None:
    with Session(origin_url, redirects=3) as following, Sessions(redirects=3) as sessions:
        with pytest.raises(RequestFailed, match='digest'):
            following.get('/redirect/2', digest=WRONG)
        with pytest.raises(RequestFailed, match='digest'):
            sessions.get(f'{origin_url}/redirect/2', digest=WRONG)


def test_a_signed_request_keeps_its_digest(origin_url: str) -> None:
    with Session(origin_url, sign=lambda _: {'X': 'y'}) as session, pytest.raises(RequestFailed, match='digest'):
        session.get('/bytes/1000', digest=WRONG)


# Messages


def test_a_message_names_the_cause_once(refused: tuple[str, int]) -> None:
    with Session(f'http://{refused[0]}:{refused[1]}', retries=0) as session, pytest.raises(RequestFailed) as caught:
        session.get('/')
    text = str(caught.value)
    assert text.startswith(f'no connection could be opened: cannot connect to {refused[0]} port {refused[1]}: ')
    assert text.count('refused') == 1
    assert text.endswith('(sent: no, answered: no, attempts: 0)')


@pytest.mark.parametrize(('is_reset', 'cause'), [(True, ConnectionResetError), (False, type(None))])
def test_a_reset_is_told_from_a_close_by_the_error_of_the_system(is_reset: bool, cause: type) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        if is_reset:
            peer.reset()

    with Server(script) as server, of(server, retries=0) as session:
        with pytest.raises(RequestFailed) as caught:
            session.get('/')
        for failure in (caught.value, pickle.loads(pickle.dumps(caught.value))):
            closed = failure.__cause__
            assert isinstance(closed, ConnectionClosed)
            assert isinstance(closed.__cause__, cause)


def test_the_message_of_a_lost_connection_names_the_cause_once() -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'SSH-2.0-OpenSSH\r\n')
        with contextlib.suppress(OSError):
            peer.rest()

    with Server(script) as server, of(server, retries=0) as session, pytest.raises(RequestFailed) as caught:
        session.get('/')
    text = str(caught.value)
    assert text.count('SSH-2.0') == 1
    assert text.endswith('(sent: yes, answered: no, attempts: 1)')
