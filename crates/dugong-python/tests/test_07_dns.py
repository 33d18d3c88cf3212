from __future__ import annotations

import errno
import signal
import socket
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

import dugong
from dugong import ConnectionTimedOut, DNSUnavailable, HostnameNotResolvable, create_socket

AMBIGUOUS = [
    code for code in (socket.EAI_NONAME, getattr(socket, 'EAI_NODATA', None), socket.EAI_AGAIN) if code is not None
]


class Resolver:
    """A resolver with a table. Each entry serves once, and the last one from then on."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(host)
        answers = self.answers[host]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


def at(*addresses: tuple[str, int]) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, '', address) for address in addresses]


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(('127.0.0.1', 0)) as sock:
        yield sock


def use(monkeypatch: pytest.MonkeyPatch, **answers: list[Any]) -> Resolver:
    resolver = Resolver(**answers)
    monkeypatch.setattr(socket, 'getaddrinfo', resolver)
    monkeypatch.setattr(dugong, 'DNS_TEST_HOSTNAMES', [('probe1', 80), ('probe2', 53)])
    return resolver


def test_7_connects(server: socket.socket) -> None:
    with create_socket(server.getsockname()) as sock, server.accept()[0] as peer:
        assert sock.gettimeout() is None
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        peer.send(b'x')
        assert sock.recv(5) == b'x'
    with create_socket(('localhost', server.getsockname()[1]), timeout=5) as sock:
        assert sock.gettimeout() is None
        assert sock.getpeername() == server.getsockname()


def test_7_sockets_wait_as_long_as_those_of_the_program(server: socket.socket) -> None:
    socket.setdefaulttimeout(7)
    try:
        for timeout in None, 3:
            with create_socket(server.getsockname(), timeout) as sock:
                assert sock.gettimeout() == 7
    finally:
        socket.setdefaulttimeout(None)


def test_2_3_refused_connections_are_passed_on(refused: tuple[str, int]) -> None:
    with pytest.raises(ConnectionRefusedError):
        create_socket(refused)
    with pytest.raises(ConnectionRefusedError):
        create_socket(refused, timeout=5)


def test_7_5_all_addresses_are_tried(
    monkeypatch: pytest.MonkeyPatch, server: socket.socket, refused: tuple[str, int], full: tuple[str, int]
) -> None:
    use(monkeypatch, host=[at(refused, full, refused, server.getsockname(), refused)])
    with create_socket(('host', 80), timeout=0.05) as sock:
        assert sock.getpeername() == server.getsockname()


def test_7_5_the_last_error_is_raised(
    monkeypatch: pytest.MonkeyPatch, refused: tuple[str, int], full: tuple[str, int]
) -> None:
    use(monkeypatch, host=[at(full, refused)], other=[at(refused, full)])
    with pytest.raises(ConnectionRefusedError):
        create_socket(('host', 80), timeout=0.05)
    with pytest.raises(ConnectionTimedOut):
        create_socket(('other', 80), timeout=0.05)


def test_7_5_families_that_the_system_lacks_are_skipped(monkeypatch: pytest.MonkeyPatch, server: socket.socket) -> None:
    strange = (12345, socket.SOCK_STREAM, 6, '', ('::1', 1))
    use(monkeypatch, host=[[strange, *at(server.getsockname())]])
    create_socket(('host', 80)).close()


def test_7_5_no_address_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, host=[[]])
    with pytest.raises(OSError, match='host'):
        create_socket(('host', 80))


def test_7_4_a_socket_that_could_not_be_connected_is_closed(
    monkeypatch: pytest.MonkeyPatch, refused: tuple[str, int], full: tuple[str, int]
) -> None:
    made: list[socket.socket] = []

    class Recorded(socket.socket):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    use(monkeypatch, host=[at(refused, full)], other=[at(full)])
    monkeypatch.setattr(socket, 'socket', Recorded)
    with pytest.raises(ConnectionTimedOut):
        create_socket(('host', 80), timeout=0.05)

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            create_socket(('other', 80))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert [sock.fileno() for sock in made] == [-1] * 3


def test_7_7_sockets_that_refuse_options_are_good_enough(
    monkeypatch: pytest.MonkeyPatch, server: socket.socket
) -> None:
    class Stubborn(socket.socket):
        def setsockopt(self, *args: Any) -> None:
            raise OSError(errno.EINVAL, 'no')

    monkeypatch.setattr(socket, 'socket', Stubborn)
    create_socket(server.getsockname()).close()


@pytest.mark.parametrize('code', AMBIGUOUS)
def test_7_7_and_7_8_name_service_down(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    no = socket.gaierror(code, 'no')
    resolver = use(monkeypatch, host=[no], probe1=[no], probe2=[socket.gaierror(socket.EAI_FAIL, 'no')])
    with pytest.raises(DNSUnavailable) as caught:
        create_socket(('host', 80))
    assert caught.value.name == 'host'
    assert caught.value.__cause__ is no
    assert resolver.asked == ['host', 'probe1', 'probe2']


@pytest.mark.parametrize('code', AMBIGUOUS)
@pytest.mark.parametrize('kind', [socket.gaierror, socket.herror])
def test_7_7_and_7_8_no_such_name(monkeypatch: pytest.MonkeyPatch, code: int, kind: type[OSError]) -> None:
    no = kind(code, 'no')
    resolver = use(monkeypatch, host=[no], probe1=[no], probe2=[at(('127.0.0.1', 1))])
    with pytest.raises(HostnameNotResolvable) as caught:
        create_socket(('host', 80))
    assert caught.value.name == 'host'
    assert resolver.asked == ['host', 'probe1', 'probe2', 'host']


def test_7_7_probing_ends_with_the_first_success(monkeypatch: pytest.MonkeyPatch) -> None:
    no = socket.gaierror(socket.EAI_NONAME, 'no')
    resolver = use(monkeypatch, host=[no], probe1=[at(('127.0.0.1', 1))])
    with pytest.raises(HostnameNotResolvable):
        create_socket(('host', 80))
    assert resolver.asked == ['host', 'probe1', 'host']


def test_7_7_the_name_service_has_come_back(monkeypatch: pytest.MonkeyPatch, server: socket.socket) -> None:
    no = socket.gaierror(socket.EAI_AGAIN, 'no')
    here = at(server.getsockname())
    use(monkeypatch, host=[no, here], probe1=[here])
    create_socket(('host', 80)).close()


def test_7_8_other_errors_of_the_resolver_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in socket.gaierror(socket.EAI_FAIL, 'no'), OSError(errno.EMFILE, 'no'), UnicodeError('no'):
        resolver = use(monkeypatch, host=[error])
        with pytest.raises(type(error)) as caught:
            create_socket(('host', 80))
        assert caught.value is error
        assert resolver.asked == ['host']


def test_7_8_other_errors_are_passed_on_the_second_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    no, fail = socket.gaierror(socket.EAI_NONAME, 'no'), socket.gaierror(socket.EAI_FAIL, 'no')
    use(monkeypatch, host=[no, fail], probe1=[at(('127.0.0.1', 1))])
    with pytest.raises(socket.gaierror) as caught:
        create_socket(('host', 80))
    assert caught.value is fail


def test_1_4_probes_are_looked_up_when_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    no = socket.gaierror(socket.EAI_NONAME, 'no')
    resolver = use(monkeypatch, host=[no], mine=[no])
    monkeypatch.setattr(dugong, 'DNS_TEST_HOSTNAMES', (('mine', 1),))
    with pytest.raises(DNSUnavailable):
        create_socket(('host', 80))
    assert resolver.asked == ['host', 'mine']
    monkeypatch.setattr(dugong, 'DNS_TEST_HOSTNAMES', ())
    with pytest.raises(DNSUnavailable):
        create_socket(('host', 80))


def test_17_2_timeout_bounds_the_connect(full: tuple[str, int]) -> None:
    with pytest.raises(ConnectionTimedOut):
        create_socket(full, timeout=0.05)


def test_17_2_timeouts_of_the_system_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(socket.socket):
        def connect(self, address: Any) -> None:
            raise OSError(errno.ETIMEDOUT, 'no')

    monkeypatch.setattr(socket, 'socket', Silent)
    with pytest.raises(TimeoutError):
        create_socket(('127.0.0.1', 1), timeout=5)


def test_17_2_a_default_timeout_of_the_program_is_its_own_affair(full: tuple[str, int]) -> None:
    socket.setdefaulttimeout(0.05)
    try:
        with pytest.raises(TimeoutError):
            create_socket(full)
    finally:
        socket.setdefaulttimeout(None)
