"""`dugong.Session` for blocking callers."""

from __future__ import annotations

import io
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from interop_support import Worker
from origins import running
from peers import LIMIT, Peer, Server, answer_all, silent
from session_support import of, reply_of, words

import dugong
from dugong import Request, RequestFailed, Session


def echo(peer: Peer) -> None:
    """Answer each request with its method, target and content."""
    while True:
        try:
            got = peer.request()
        except EOFError:
            return
        if got.method == 'HEAD':
            peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
        else:
            peer.answer(f'{got.method} {got.target} '.encode() + got.body)


# Single requests


def test_a_reply_has_what_the_server_sent(session: Session) -> None:
    reply = session.get('/bytes/10')
    assert (reply.status, reply.reason, len(reply.content), reply.attempts) == (200, 'OK', 10, 1)
    assert reply.headers['content-length'] == '10'
    assert reply.request.target == '/bytes/10'
    assert not reply.is_streamed


def test_there_are_methods_for_the_usual_methods() -> None:
    with Server(echo) as server, of(server) as session:
        assert session.get('/a').content == b'GET /a '
        assert session.head('/a').content == b''
        assert session.put('/a', content=b'b').content == b'PUT /a b'
        assert session.post('/a', content=[b'b', b'c']).content == b'POST /a bc'
        assert session.delete('/a').content == b'DELETE /a '
        assert session.request('PATCH', '/a', json={'b': 1}).content == b'PATCH /a {"b":1}'
        made = Request('PUT', '/made', content=b'c')
        reply = session.request(made)
        assert reply.content == b'PUT /made c'
        assert reply.request is made
        with pytest.raises(TypeError, match='target'):
            session.request('GET')
        with pytest.raises(TypeError, match='already'):
            session.request(made, '/other')


def test_any_status_is_a_reply(session: Session) -> None:
    reply = session.get('/status/404')
    assert reply.status == 404
    with pytest.raises(dugong.StatusError):
        reply.raise_for_status()


def test_the_session_adds_fields_unless_the_request_has_them() -> None:
    def script(peer: Peer) -> None:
        for _ in range(2):
            got = peer.request()
            peer.answer(repr([got.values(name) for name in ('Accept', 'X', 'Accept-Encoding')]).encode())
        peer.rest()

    with Server(script) as server, of(server, headers={'Accept': 'a', 'X': 'b'}) as session:
        assert session.get('/').text() == "[['a'], ['b'], ['identity']]"
        assert session.get('/', headers={'accept': 'c'}).text() == "[['c'], ['b'], ['identity']]"


@pytest.mark.parametrize(
    ('kind', 'settings', 'message'),
    [
        (ValueError, {'connections': 0}, 'connections has to be at least 1, not 0'),
        (TypeError, {'depth': '3'}, "depth has to be an int, not '3'"),
        (ValueError, {'timeout': -1}, 'timeout has to be a positive number'),
        (TypeError, {'total_timeout': 'long'}, 'total_timeout'),
        (TypeError, {'backoff': 3}, 'backoff has to be two numbers'),
        (ValueError, {'backoff': (3, 1)}, 'backoff begins with 3'),
        (ValueError, {'retries': -1}, 'retries'),
        (ValueError, {'headers': {'a b': 'c'}}, 'field name'),
        (TypeError, {'auth': 'me'}, 'auth has to be a tuple'),
        (ValueError, {'auth': ('a:b', 'c')}, 'auth: the user name contains a colon'),
        (TypeError, {'sign': 3}, 'sign has to be a function'),
        (ValueError, {'proxy': 'gopher://x'}, 'proxy'),
        (TypeError, {'proxy': 3}, 'proxy has to be'),
        (TypeError, {'tls': 'ca.pem'}, 'tls has to be a dugong.Tls, not str'),
        (TypeError, {'ssl_context': 3}, 'ssl_context has to be an ssl.SSLContext'),
        (ValueError, {'tls': dugong.Tls(ca=b'nothing')}, 'ca: the PEM contains no certificate'),
        (ValueError, {'redirects': -1}, 'redirects'),
        (ValueError, {'repeat_statuses': [5]}, 'repeat_statuses'),
    ],
)
def test_wrong_settings_are_named(kind: type[Exception], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(kind) as caught:
        Session('http://localhost', **settings)
    assert message in str(caught.value)


@pytest.mark.parametrize('origin', ['http://h/path', 'http://h/?q', 'ftp://h', 'h', '', 'http://', 'http://u:p@h'])
def test_an_origin_is_no_more_than_that(origin: str) -> None:
    with pytest.raises(ValueError, match=r'origin|URL|scheme|host|credentials'):
        Session(origin)


def test_a_url_of_another_origin_is_refused(origin_url: str) -> None:
    with Session(origin_url) as session:
        assert session.get(f'{origin_url}/bytes/1').status == 200
        with pytest.raises(ValueError, match='use Sessions') as caught:
            session.get('http://other.example/x')
        assert origin_url in str(caught.value)
        assert 'http://other.example/x' in str(caught.value)
        with pytest.raises(ValueError, match='user information'):
            session.get(origin_url.replace('//', '//a:b@') + '/bytes/1')
        [outcome] = session.run([Request('GET', 'http://other.example/x')])
        assert isinstance(outcome.error, ValueError)
        with pytest.raises(ValueError, match='use Sessions'):
            session.cat_ranges('http://other.example/x', [(0, 1)])


def test_none_is_no_limit(origin_url: str) -> None:
    names = ['timeout', 'connect_timeout', 'total_timeout', 'idle_timeout', 'expect_timeout', 'expect_above']
    with Session(origin_url, retry_budget=None, **dict.fromkeys(names)) as session:  # type: ignore[arg-type]
        assert session.get('/bytes/1').status == 200


@pytest.mark.parametrize(
    ('options', 'kind'),
    [({'headers': {'A': 'b\nc'}}, ValueError), ({'content': 'text'}, TypeError), ({'nonsense': 1}, TypeError)],
)
def test_bad_input_is_an_error_of_the_caller_and_the_session_goes_on(
    session: Session, options: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        session.get('/bytes/1', **options)
    with pytest.raises(ValueError, match='must be percent-encoded'):
        session.get('/a b')
    assert session.get('/bytes/1').status == 200


# Failures


def test_a_lost_connection_is_a_connection_error_with_four_words() -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab')
        time.sleep(0.05)  # so that they do not come together
        peer.end()

    with Server(script) as server, of(server) as session, pytest.raises(RequestFailed) as caught:
        session.post('/x', content=b'y')
    failure = caught.value
    assert isinstance(failure, ConnectionError)
    assert isinstance(failure, dugong.Error)
    assert words(failure) == ('yes', 'partly', False, 1)
    assert failure.request.target == '/x'
    assert isinstance(failure.__cause__, dugong.ConnectionClosed)
    assert 'sent: yes' in str(failure)
    copy = pickle.loads(pickle.dumps(failure))
    assert words(copy) == words(failure)
    assert isinstance(copy.__cause__, dugong.ConnectionClosed)


def test_a_refused_connection_is_a_connection_error(refused: tuple[str, int]) -> None:
    with Session(f'http://{refused[0]}:{refused[1]}', retries=0) as session, pytest.raises(RequestFailed) as caught:
        session.get('/')
    assert isinstance(caught.value, ConnectionError)
    assert words(caught.value) == ('no', 'no', True, 0)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert str(refused[1]) in str(caught.value)


def test_a_silent_server_is_a_timeout_error() -> None:
    with Server(silent) as server, of(server, timeout=0.1, retries=0) as session, pytest.raises(TimeoutError) as caught:
        session.get('/')
    assert isinstance(caught.value, RequestFailed)
    assert words(caught.value) == ('yes', 'no', True, 1)


def test_a_total_timeout_is_a_timeout_error() -> None:
    with Server(silent) as server, of(server) as session:
        with pytest.raises(TimeoutError) as caught:
            session.get('/', total_timeout=0.1)
        assert isinstance(caught.value, RequestFailed)


def test_garbage_is_neither() -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'SSH-2.0-OpenSSH\r\n')
        peer.rest()

    with Server(script) as server, of(server, retries=0) as session, pytest.raises(RequestFailed) as caught:
        session.get('/')
    assert not isinstance(caught.value, OSError)
    assert isinstance(caught.value.__cause__, (dugong.InvalidResponse, dugong.UnsupportedResponse))


def test_an_unknown_host_is_named() -> None:
    with Session('http://no-such-host.invalid', retries=0) as session, pytest.raises(RequestFailed) as caught:
        session.get('/')
    assert isinstance(caught.value.__cause__, (dugong.HostnameNotResolvable, dugong.DNSUnavailable))
    assert 'no-such-host.invalid' in str(caught.value)


def test_a_reply_that_is_too_long_names_the_limit(origin_url: str) -> None:
    with Session(origin_url, max_content=1000) as session:
        with pytest.raises(RequestFailed, match='1000 bytes'):
            session.get('/bytes/1001')
        assert len(session.get('/bytes/1000').content) == 1000
        with session.get('/bytes/5000', stream=True) as reply:
            assert len(reply.content) == 5000


def test_an_unanswered_get_is_sent_again() -> None:
    def lose(peer: Peer) -> None:
        peer.request()
        peer.end()

    with Server(lose, answer_all) as server, of(server, backoff=(0.01, 0.01)) as session:
        reply = session.get('/x')
        assert (reply.content, reply.attempts) == (b'/x', 2)
        assert session.stats()['repeated'] == 1


@pytest.mark.parametrize(('retry', 'attempts'), [(None, 1), (True, 2), (False, 1)])
def test_retry_overrules_the_method(retry: bool | None, attempts: int) -> None:
    def lose(peer: Peer) -> None:
        peer.request()
        peer.end()

    scripts = [lose, answer_all][:attempts]
    with Server(*scripts) as server, of(server, backoff=(0.01, 0.01)) as session:
        if attempts == 2:
            assert session.post('/x', content=b'a', retry=retry).attempts == 2
        else:
            with pytest.raises(RequestFailed) as caught:
                session.post('/x', content=b'a', retry=retry)
            assert words(caught.value) == ('yes', 'no', False, 1)


def test_an_error_status_of_a_streamed_reply_is_pickled_without_content(session: Session) -> None:
    with session.get('/status/404', stream=True) as reply, pytest.raises(dugong.StatusError) as caught:
        reply.raise_for_status()
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.reply.status, copy.reply.reason, copy.reply.content) == (404, 'Not Found', b'')
    assert copy.reply.headers.items() == reply.headers.items()
    assert str(copy) == str(caught.value)


def test_a_closed_session_fails(origin_url: str) -> None:
    session = Session(origin_url)
    assert session.get('/bytes/1').status == 200
    session.close()
    session.close()
    with pytest.raises(RequestFailed, match='the session was closed'):
        session.get('/bytes/1')


# Content


def test_content_is_read_in_the_thread_of_the_caller() -> None:
    threads: list[int] = []

    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            threads.append(threading.get_ident())
            yield bytes(100_000)

    with Server(echo) as server, of(server) as session:
        reply = session.put('/x', content=pieces())
        assert len(reply.content) == len(b'PUT /x ') + 2_000_000
    assert set(threads) == {threading.get_ident()}


def test_a_source_is_opened_again_for_each_attempt(tmp_path: Path) -> None:
    (tmp_path / 'file').write_bytes(b'content')
    opened: list[int] = []

    def open_again() -> bytes:
        opened.append(1)
        return b'content'

    def lose(peer: Peer) -> None:
        peer.request()
        peer.end()

    for content in open_again, tmp_path / 'file', io.BytesIO(b'content'), [b'con', b'tent']:
        with Server(lose, echo) as server, of(server, backoff=(0.01, 0.01)) as session:
            assert session.put('/x', content=content).content == b'PUT /x content'
    assert opened == [1, 1]


def test_an_answer_may_come_before_the_end_of_the_content_is_told() -> None:
    with Server(echo) as server, of(server, connections=1) as session:
        for _ in range(20):
            assert session.put('/x', content=io.BytesIO(b'y'), total_timeout=LIMIT).content == b'PUT /x y'


def test_content_that_is_read_once_is_not_repeated() -> None:
    def lose(peer: Peer) -> None:
        peer.request()
        peer.end()

    with Server(lose) as server, of(server) as session, pytest.raises(RequestFailed) as caught:
        session.put('/x', content=iter([b'content']))
    assert 'read' in str(caught.value)
    assert words(caught.value) == ('yes', 'no', True, 1)


def test_a_function_for_content_has_to_begin_anew() -> None:
    def lose(peer: Peer) -> None:
        peer.request()
        peer.end()

    pieces, file = iter([b'content']), io.BytesIO(b'content')
    for content in (lambda: pieces), (lambda: file):
        raised = pytest.raises(ValueError, match='begin anew')
        with Server(lose) as server, of(server, backoff=(0.01, 0.01)) as session, raised:
            session.put('/x', content=content)

    def rewound() -> io.BytesIO:
        file.seek(0)
        return file

    with Server(lose, echo) as server, of(server, backoff=(0.01, 0.01)) as session:
        assert session.put('/x', content=rewound).content == b'PUT /x content'


def test_a_path_without_content_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with Server(echo) as server, of(server) as session:
        with pytest.raises(IsADirectoryError):
            session.put('/x', content=tmp_path)
        assert session.get('/x').content == b'GET /x '


def test_an_exception_of_the_content_is_that_of_the_request() -> None:
    def pieces() -> Iterator[bytes]:
        yield b'a'
        raise KeyError('mine')

    with running() as port, Session(f'http://127.0.0.1:{port}') as session:
        with pytest.raises(KeyError, match='mine'):
            session.put('/upload', content=pieces())
        with pytest.raises(ValueError, match='ended after 1 of 3'):
            session.put('/upload', content=iter([b'a']), headers={'Content-Length': '3'})
        with pytest.raises(KeyError, match='mine'):
            session.put('/upload', content=lambda: pieces())
        assert session.get('/bytes/1').status == 200


# Hooks


def headers_back(peer: Peer) -> None:
    while True:
        try:
            got = peer.request()
        except EOFError:
            return
        peer.answer(repr(got.values('Authorization') + got.values('X-Signature')).encode())


def test_auth_is_a_pair_or_a_function() -> None:
    with Server(headers_back) as server, of(server, auth=('Aladdin', 'open sesame')) as session:
        assert session.get('/').text() == "['Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==']"
        assert session.get('/', headers={'Authorization': 'mine'}).text() == "['mine']"
    with Server(headers_back) as server, of(server, auth=lambda request: f'Bearer {request.target}') as session:
        assert session.get('/a').text() == "['Bearer /a']"
        assert session.get('/', headers={'Authorization': 'mine'}).text() == "['mine']"
        assert [reply_of(outcome).text() for outcome in session.run(['/b'])] == ["['Bearer /b']"]


def test_sign_sees_the_whole_request_before_each_attempt() -> None:
    seen: list[tuple[Any, ...]] = []

    def sign(request: Request) -> dict[str, str]:
        headers = request.headers
        seen.append((request.method, request.origin, request.target, headers['Host'], headers['A'], request.content))
        headers['A'] = 'changed'
        return {'X-Signature': str(len(seen))}

    def lose(peer: Peer) -> None:
        peer.request()
        peer.end()

    with Server(lose, headers_back) as server:
        with of(server, sign=sign, headers={'A': 'b'}, backoff=(0.01, 0.01)) as session:
            assert session.put('/x', content=b'c').text() == "['2']"
        host = f'127.0.0.1:{server.port}'
    assert seen == [('PUT', f'http://{host}', '/x', host, 'b', b'c')] * 2


def test_an_exception_of_a_hook_is_that_of_the_request(origin_url: str) -> None:
    def sign(request: Request) -> None:
        if request.target != '/bytes/1':
            raise KeyError(request.target)

    with Session(origin_url, sign=sign) as session:
        with pytest.raises(KeyError, match='/bytes/2'):
            session.get('/bytes/2')
        outcomes = list(session.run(['/bytes/1', '/bytes/2', '/bytes/1']))
        assert [type(outcome.error) for outcome in outcomes] == [type(None), KeyError, type(None)]
        assert words(outcomes[1]) == ('no', 'no', True, 0)
    with Session(origin_url, sign=lambda request: 5) as session, pytest.raises(TypeError, match='sign has to return'):
        session.get('/bytes/1')


def test_redirects_are_followed_if_asked_for(origin_url: str) -> None:
    with Session(origin_url) as session:
        assert session.get('/redirect/2').status == 302
    with Session(origin_url, redirects=5) as session:
        reply = session.get('/redirect/2')
        assert (reply.status, reply.attempts) == (200, 3)
        assert [reply_of(outcome).status for outcome in session.run(['/redirect/1', '/redirect/9'])] == [200, 302]


# Streams


def test_a_streamed_reply_is_read_in_pieces(session: Session) -> None:
    whole = session.get('/bytes/300000').content
    with session.get('/bytes/300000', stream=True) as reply:
        assert reply.is_streamed
        assert reply.status == 200
        assert b''.join(reply.iter_bytes()) == whole
        assert reply.read() == b''
    with session.get('/bytes/300000', stream=True) as reply:
        assert [len(piece) for piece in reply.iter_bytes(100_001)] == [100_001, 100_001, 99_998]
    with session.get('/bytes/300000', stream=True) as reply:
        first = reply.read(10)
        assert 0 < len(first) <= 10
        with pytest.raises(dugong.StateError, match='read in part'):
            reply.content  # noqa: B018
        assert first + reply.read() == whole
    with session.get('/bytes/300000', stream=True) as reply:
        assert reply.content == whole
        assert reply.content is reply.content


def test_a_streamed_reply_that_was_closed_is_not_read(session: Session) -> None:
    with session.get('/bytes/300000', stream=True) as reply:
        pass
    with pytest.raises(ValueError, match='closed'):
        reply.read()
    assert session.get('/bytes/1').status == 200


def test_lines_come_as_they_arrive() -> None:
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na\nbc\r\n')
        assert go_on.wait(LIMIT)
        peer.send(b'3\r\n\r\nd\r\n0\r\nDigest: x\r\n\r\n')
        peer.rest()

    with Server(script) as server, of(server) as session, session.get('/', stream=True) as reply:
        lines = reply.iter_lines()
        assert next(lines) == 'a'
        go_on.set()
        assert list(lines) == ['bc', 'd']
        assert reply.trailers['digest'] == 'x'


def test_a_stream_that_breaks_off_is_a_failure() -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab')
        assert go_on.wait(LIMIT)
        peer.end()

    go_on = threading.Event()
    with Server(script) as server, of(server) as session, session.get('/', stream=True) as reply:
        assert reply.read(2) == b'ab'
        go_on.set()
        for _ in range(2):
            with pytest.raises(ConnectionError) as caught:
                reply.read(2)
            assert isinstance(caught.value, RequestFailed)
            assert (caught.value.sent, caught.value.answered) == ('yes', 'partly')


def test_a_streamed_reply_is_pickled_when_it_was_used(session: Session) -> None:
    with session.get('/bytes/10', stream=True) as reply:
        with pytest.raises(TypeError, match='pickled'):
            pickle.dumps(reply)
        content = reply.content
        assert pickle.loads(pickle.dumps(reply)).content == content


# Waiting


def test_a_signal_interrupts_a_wait() -> None:
    class Alarm(Exception):
        pass

    def raise_alarm(*_: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, raise_alarm)
    try:
        with Server(silent, silent) as server, of(server) as session:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Alarm):
                session.get('/')
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Alarm):
                list(session.run(['/']))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_other_threads_run_while_one_waits() -> None:
    answer = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        assert answer.wait(LIMIT)
        peer.answer(b'late')
        peer.rest()

    with Server(script) as server, of(server) as session:
        worker = Worker(session.get, '/')
        time.sleep(0)
        answer.set()
        assert worker.result().content == b'late'


def test_a_forked_child_begins_without_connections(origin_url: str) -> None:
    session = Session(origin_url)
    assert session.get('/bytes/1').status == 200
    with session.get('/bytes/100000', stream=True) as reply:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                said = []
                try:
                    reply.read()
                except RuntimeError as exc:
                    said.append(str(exc))
                said += [str(session.get('/bytes/5').content), str(session.stats()['opened'])]
                os.write(writing, '\n'.join(said).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading) as file:
            error, content, opened = file.read().splitlines()
        os.waitpid(child, 0)
        assert 'process' in error
        assert content == str(session.get('/bytes/5').content)
        assert opened == '1'
        assert len(reply.read()) == 100_000
    session.close()


def test_statistics_are_a_dict(session: Session) -> None:
    session.get('/bytes/1')
    stats = session.stats()
    assert stats['connections'] == stats['opened'] == 1
    assert stats['depth'] == 32
    assert stats['repeated'] == 0
    assert stats['not_pipelining'] is False
    assert repr(session) == f'<dugong.Session {session.origin}>'
