from __future__ import annotations

import gc
import ssl
from collections.abc import Generator, Iterator

import pytest
import trustme
from peers import Local, Serve

REPORTS = pytest.StashKey[dict[str, pytest.TestReport]]()


def pytest_collection_finish() -> None:
    """What there is now stays: looking through thousands of tests after each of them would take most of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """Collect at once, so that a forgotten socket or a bad callback fails the test that caused it."""
    yield
    gc.collect()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the report, for fixtures that want to know how the test ended."""
    report = yield
    item.stash.setdefault(REPORTS, {})[report.when] = report
    return report


@pytest.fixture(scope='session')
def authority() -> trustme.CA:
    """The only authority that the clients of the tests trust."""
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
