"""Sessions over TLS: by rustls with `dugong.Tls`, and by the caller's `ssl.SSLContext`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from interop_support import Worker
from peers import Peer, Server, answer_all, silent

import dugong
from dugong import RequestFailed, Session

Make = Callable[..., Session]


@pytest.fixture(params=['tls', 'ssl_context'])
def secure(request: pytest.FixtureRequest, authority: trustme.CA) -> Make:
    """Make a session that trusts the authority, by each of the two ways."""

    def make(server: Server, host: str = 'localhost', **settings: Any) -> Session:
        if request.param == 'tls':
            settings['tls'] = dugong.Tls(ca=authority.cert_pem.bytes())
        else:
            context = ssl.create_default_context()
            authority.configure_trust(context)
            settings['ssl_context'] = context
        return Session(f'https://{host}:{server.port}', **settings)

    return make


@pytest.fixture
def pem(authority: trustme.CA, tmp_path: Path) -> Path:
    authority.cert_pem.write_to_path(str(tmp_path / 'ca.pem'))
    return tmp_path / 'ca.pem'


def test_requests_are_made(secure: Make, server_tls: ssl.SSLContext) -> None:
    with Server(answer_all, tls=server_tls) as server, secure(server, connections=1) as session:
        assert session.get('/a').content == b'/a'
        outcomes = list(session.run(f'/{number}' for number in range(200)))
        assert [outcome.reply and outcome.reply.text() for outcome in outcomes] == [
            f'/{number}' for number in range(200)
        ]


def test_much_is_sent_and_received(secure: Make, server_tls: ssl.SSLContext) -> None:
    def echo(peer: Peer) -> None:
        while True:
            try:
                got = peer.request()
            except EOFError:
                return
            peer.answer(got.body)

    with Server(*[echo] * 4, tls=server_tls) as server, secure(server, expect_above=None) as session:
        content = bytes(range(256)) * 10_000
        assert session.put('/', content=content).content == content
        with session.put('/', content=[content[:1000], content[1000:]], stream=True) as reply:
            assert b''.join(reply.iter_bytes()) == content


def test_tasks_and_threads_share_it(secure: Make, server_tls: ssl.SSLContext) -> None:
    with Server(*[answer_all] * 4, tls=server_tls) as server, secure(server) as session:

        async def main() -> list[bytes]:
            replies = await asyncio.gather(*[session.co_get(f'/{number}') for number in range(100)])
            return [reply.content for reply in replies]

        workers = [Worker(lambda: [session.get(f'/{number}').content for number in range(50)]) for _ in range(4)]
        assert asyncio.run(main()) == [f'/{number}'.encode() for number in range(100)]
        for worker in workers:
            assert worker.result() == [f'/{number}'.encode() for number in range(50)]


def test_a_reset_is_told_by_type(secure: Make, server_tls: ssl.SSLContext) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.reset()

    with Server(script, tls=server_tls) as server, secure(server, retries=0) as session:
        with pytest.raises(RequestFailed) as caught:
            session.get('/')
        closed = caught.value.__cause__
        assert isinstance(closed, dugong.ConnectionClosed)
        assert isinstance(closed.__cause__, ConnectionResetError)


def test_a_certificate_for_another_host_is_refused(secure: Make, authority: trustme.CA) -> None:
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert('other.example').configure_cert(other)
    server = Server(*[answer_all] * 8, tls=other)
    try:
        with secure(server) as session, pytest.raises(RequestFailed) as caught:
            session.get('/')
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
        assert not isinstance(caught.value, OSError)
        assert (caught.value.sent, caught.value.attempts) == ('no', 0)
        assert server.connections == 1
    finally:
        server.close()


@pytest.mark.parametrize('settings', [{}, {'ssl_context': ssl.create_default_context()}])
def test_an_unknown_authority_is_refused(server_tls: ssl.SSLContext, settings: dict[str, Any]) -> None:
    server = Server(*[answer_all] * 8, tls=server_tls)
    try:
        with Session(f'https://localhost:{server.port}', **settings) as session, pytest.raises(RequestFailed) as caught:
            session.get('/')
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
        assert "('" not in str(caught.value)
    finally:
        server.close()


def test_tls_takes_the_path_of_a_file(pem: Path, server_tls: ssl.SSLContext) -> None:
    tls = dugong.Tls(ca=pem)
    with Server(answer_all, tls=server_tls) as server, Session(f'https://localhost:{server.port}', tls=tls) as session:
        assert session.get('/a').content == b'/a'


@pytest.mark.parametrize('way', ['tls', 'ssl_context'])
def test_a_client_certificate_is_shown(authority: trustme.CA, way: str) -> None:
    demanding = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert('localhost').configure_cert(demanding)
    authority.configure_trust(demanding)
    demanding.verify_mode = ssl.CERT_REQUIRED
    mine = authority.issue_cert('client@example.org')
    chain = b''.join(part.bytes() for part in mine.cert_chain_pems)
    if way == 'tls':
        both = mine.private_key_pem.bytes() + chain
        settings: list[dict[str, Any]] = [
            {'tls': dugong.Tls(ca=authority.cert_pem.bytes(), cert=chain, key=mine.private_key_pem.bytes())},
            {'tls': dugong.Tls(ca=authority.cert_pem.bytes(), cert=both)},
        ]
    else:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        mine.configure_cert(context)
        settings = [{'ssl_context': context}]
    for setting in settings:
        with (
            Server(answer_all, tls=demanding) as server,
            Session(f'https://localhost:{server.port}', **setting) as session,
        ):
            assert session.get('/a').content == b'/a'


def test_a_key_of_another_certificate_is_refused(authority: trustme.CA) -> None:
    one, other = authority.issue_cert('a.example'), authority.issue_cert('b.example')
    tls = dugong.Tls(cert=one.cert_chain_pems[0].bytes(), key=other.private_key_pem.bytes())
    with pytest.raises(ValueError, match='cert and key: the private key does not belong'):
        Session('https://a.example', tls=tls)


def test_two_ways_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match='tls and ssl_context cannot be combined'):
        Session('https://a.example', tls=dugong.Tls(), ssl_context=ssl.create_default_context())
    with pytest.raises(ValueError, match='cannot be combined with proxy'):
        Session('https://a.example', proxy=('proxy.example', 3128), ssl_context=ssl.create_default_context())


def test_a_context_is_not_used_for_http() -> None:
    context = ssl.create_default_context()
    with Server(answer_all) as server, Session(f'http://localhost:{server.port}', ssl_context=context) as session:
        assert session.get('/a').content == b'/a'


def test_a_server_that_does_not_speak_tls_is_an_error(secure: Make) -> None:
    def script(peer: Peer) -> None:
        peer.send(b'HTTP/1.0 400 Bad Request\r\n\r\n')
        peer.rest()

    server = Server(*[script] * 8)
    try:
        with secure(server, retries=0) as session, pytest.raises(RequestFailed) as caught:
            session.get('/')
        assert isinstance(caught.value.__cause__, OSError)
    finally:
        server.close()


def test_a_signal_interrupts_a_wait(secure: Make, server_tls: ssl.SSLContext) -> None:
    class Alarm(Exception):
        pass

    def raise_alarm(*_: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, raise_alarm)
    try:
        with Server(silent, tls=server_tls) as server, secure(server) as session:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Alarm):
                session.get('/')
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# Python that runs while a thread drives the session


class Calling(ssl.SSLContext):
    """A context that calls a function while the session makes a connection."""

    call: Callable[[], object] = staticmethod(lambda: None)

    def wrap_socket(self, *args: Any, **keywords: Any) -> ssl.SSLSocket:
        self.call()
        return super().wrap_socket(*args, **keywords)


@pytest.fixture
def calling(authority: trustme.CA) -> Calling:
    context = Calling(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


@pytest.mark.parametrize(
    'use', [lambda session: session.get('/inside'), lambda session: list(session.run(['/inside']))]
)
def test_a_context_that_waits_for_its_own_session_gets_an_error(
    calling: Calling, server_tls: ssl.SSLContext, use: Callable[[Session], object]
) -> None:
    errors: list[RuntimeError] = []

    def call() -> None:
        try:
            use(session)
        except RuntimeError as exc:
            errors.append(exc)

    calling.call = call
    with (
        Server(answer_all, tls=server_tls) as server,
        Session(f'https://localhost:{server.port}', ssl_context=calling, connections=1) as session,
    ):
        assert session.get('/a').content == b'/a'
        assert session.get('/b').content == b'/b'
    assert len(errors) == 1
    assert 'this thread drives the session' in str(errors[0])


def test_a_context_may_use_the_rest_of_its_session_and_other_sessions(
    calling: Calling, server_tls: ssl.SSLContext, origin_url: str
) -> None:
    found: list[object] = []
    with (
        Server(answer_all, tls=server_tls) as server,
        Session(f'https://localhost:{server.port}', ssl_context=calling) as session,
        Session(origin_url) as other,
    ):
        calling.call = lambda: found.extend([session.stats()['jobs'], other.get('/bytes/5').status])
        assert session.get('/a').content == b'/a'
    assert found[1] == 200


class Signalling(ssl.SSLSocket):
    """A socket whose handshake a signal interrupts, once."""

    _is_interrupted = False

    def do_handshake(self, block: bool = False) -> None:
        if not self._is_interrupted:
            self._is_interrupted = True
            signal.raise_signal(signal.SIGUSR1)
        super().do_handshake(block)


def test_a_signal_handler_that_waits_for_the_session_that_it_interrupts_gets_an_error(
    calling: Calling, server_tls: ssl.SSLContext
) -> None:
    """Its exception is that of the call that it interrupted, as always; the session goes on."""
    errors: list[RuntimeError] = []

    def handler(*_: object) -> None:
        try:
            session.get('/inside')
        except RuntimeError as exc:
            errors.append(exc)
            raise

    calling.sslsocket_class = Signalling
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with (
            Server(answer_all, tls=server_tls) as server,
            Session(f'https://localhost:{server.port}', ssl_context=calling, connections=1) as session,
        ):
            with pytest.raises(RuntimeError, match='this thread drives the session'):
                session.get('/a')
            signal.signal(signal.SIGUSR1, lambda *_: None)
            assert session.get('/b').content == b'/b'
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert errors


def answer_until_closed(peer: Peer) -> None:
    """Answer all, until a closed run drops the connection with requests on it."""
    with contextlib.suppress(OSError, EOFError):
        answer_all(peer)


def test_threads_and_signals_do_not_lock_each_other_out(secure: Make, server_tls: ssl.SSLContext) -> None:
    """The thread that drives has the driver and wants Python's lock; the others have that now and then."""
    rang: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(session.stats()['jobs']))
    try:
        with Server(*[answer_until_closed] * 4, tls=server_tls) as server, secure(server) as session:
            signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)

            def work() -> int:
                for number in range(50):
                    assert session.get(f'/{number}').content == f'/{number}'.encode()
                    session.stats()
                with session.run(f'/{number}' for number in range(50)) as run:
                    return sum(next(run).index for _ in range(25))

            workers = [Worker(work) for _ in range(8)]
            assert work() == 300
            assert {worker.result() for worker in workers} == {300}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert rang
