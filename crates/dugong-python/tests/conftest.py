from __future__ import annotations

import contextlib
import gc
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any, cast

import pytest
import trustme
from futures import Pair
from httpio_log import Connect
from interop_support import Origin
from origins import running
from peers import LIMIT, Local, Peer, Script, Serve
from recorder import Recorder
from tunnels import Tunnel

import dugong
from dugong import httpio

REPORTS = pytest.StashKey[dict[str, pytest.TestReport]]()


def pytest_configure() -> None:
    """Let a signal that comes after its test do nothing. By default it ends the process and the other tests."""
    for number in signal.SIGUSR1, signal.SIGALRM:
        signal.signal(number, lambda *_: None)


def pytest_collection_finish() -> None:
    """Exempt the collected tests from garbage collection, which would look through thousands of them each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """Collect garbage at once, so that a forgotten socket or a bad callback fails the test that caused it."""
    yield
    gc.collect()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the report for fixtures that ask how the test ended."""
    report = yield
    item.stash.setdefault(REPORTS, {})[report.when] = report
    return report


@pytest.fixture(scope='session')
def authority() -> trustme.CA:
    """The authority that the clients of the tests trust."""
    return trustme.CA()


@pytest.fixture(scope='session')
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """Context of a server called localhost, 127.0.0.1 or ::1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert('localhost', '127.0.0.1', '::1').configure_cert(context)
    return context


@pytest.fixture(scope='session')
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    """Context of a client that trusts `server_tls`."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def failed(request: pytest.FixtureRequest) -> bool:
    report = request.node.stash.get(REPORTS, {}).get('call')
    return report is None or report.failed


@pytest.fixture(params=['plain', 'tls'])
def serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """Servers and connections, once plain and once with TLS."""
    if request.param == 'tls':
        serve = Serve(request.getfixturevalue('server_tls'), request.getfixturevalue('client_tls'))
    else:
        serve = Serve()
    yield serve
    serve.finish(failed(request))


@pytest.fixture
def serve_plain(request: pytest.FixtureRequest) -> Iterator[Serve]:
    serve = Serve()
    yield serve
    serve.finish(failed(request))


@pytest.fixture
def serve_tls(
    request: pytest.FixtureRequest, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> Iterator[Serve]:
    serve = Serve(server_tls, client_tls)
    yield serve
    serve.finish(failed(request))


@pytest.fixture
def local() -> Iterator[Local]:
    one = Local()
    yield one
    one.close()


@pytest.fixture
def refused() -> Iterator[tuple[str, int]]:
    """An address that refuses connections: its socket does not listen, and keeps the port from other tests."""
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        yield sock.getsockname()


@pytest.fixture
def full() -> Iterator[tuple[str, int]]:
    """An address that does not answer: the queue of the listening socket is full."""
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        sock.listen(0)
        clients: list[socket.socket] = []
        for _ in range(8):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(sock.getsockname())
            clients.append(client)
        yield sock.getsockname()
        for client in clients:
            client.close()


@pytest.fixture(params=['plain', 'tls'], scope='module')
def origin(request: pytest.FixtureRequest) -> Iterator[Origin]:
    """A server in a process of its own."""
    with Origin(tls=request.param == 'tls') as server:
        yield server


@pytest.fixture(scope='module')
def origin_url() -> Iterator[str]:
    """The URL of dugong-origin in a process of its own."""
    with running() as port:
        yield f'http://127.0.0.1:{port}'


@pytest.fixture
def session(origin_url: str) -> Iterator[dugong.Session]:
    with dugong.Session(origin_url) as session:
        yield session


@pytest.fixture
def tunnel(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> Tunnel:
    return Tunnel(server_tls, client_tls)


@pytest.fixture
def record() -> Recorder:
    return Recorder()


@pytest.fixture
def slow_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Resolve names as soon as the event is set. `slow.test` is 127.0.0.1."""
    go_on = threading.Event()
    usual = socket.getaddrinfo

    def getaddrinfo(host: str, *args: Any, **kwargs: Any) -> list[Any]:
        threads.append(threading.get_ident())
        if host[0].isdigit():
            return usual(host, *args, **kwargs)
        assert go_on.wait(LIMIT)
        if host != 'slow.test':
            raise socket.gaierror(socket.EAI_NONAME, 'no such name')
        return usual('127.0.0.1', *args, **kwargs)

    threads: list[int] = []
    monkeypatch.setattr(socket, 'getaddrinfo', getaddrinfo)
    monkeypatch.setattr(go_on, 'threads', threads, raising=False)
    yield go_on
    go_on.set()


@pytest.fixture
def connect(serve: Serve) -> Iterator[Connect]:
    """Start a server for scripts, plain or with TLS, and give a connection to it."""
    with contextlib.ExitStack() as stack:

        def make(*scripts: Callable[[Peer], object]) -> httpio.HTTPConnection:
            serve(*cast('tuple[Script, ...]', scripts))
            conn = httpio.HTTPConnection('localhost', serve.server.port, serve.client_tls)
            conn.timeout = LIMIT
            return stack.enter_context(conn)

        yield make


@pytest.fixture
def pair() -> Iterator[Pair]:
    a, b = socket.socketpair()
    with a, b:
        a.setblocking(False)
        b.setblocking(False)
        yield a, b
