from __future__ import annotations

import copy
import math
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from types import FrameType
from typing import Any

import pytest

from dugong import POLLIN, POLLOUT, ConnectionTimedOut, PollNeeded, eval_coroutine

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    a, b = socket.socketpair()
    with a, b:
        a.setblocking(False)
        yield a, b


@pytest.fixture
def handler() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Install a function as the handler of the alarm signal."""
    old = signal.getsignal(signal.SIGALRM)

    def install(call: Callable[[], None]) -> None:
        def handle(number: int, frame: FrameType | None) -> None:
            call()

        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.02)

    yield install
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, old)


def fill(sock: socket.socket) -> None:
    with pytest.raises(BlockingIOError):
        while True:
            sock.send(bytes(65536))


def test_5_1_is_a_tuple_of_two() -> None:
    need = PollNeeded(3, POLLIN)
    assert isinstance(need, tuple)
    assert need == (3, POLLIN)
    assert hash(need) == hash((3, POLLIN))
    assert (need.fd, need.mask) == (3, POLLIN)
    assert PollNeeded(fd=3, mask=POLLIN) == need
    fd, mask = need
    assert (fd, mask, len(need)) == (3, POLLIN, 2)
    assert repr(need) == f'PollNeeded(fd=3, mask={POLLIN})'
    match need:
        case PollNeeded(number, bits):
            assert (number, bits) == (3, POLLIN)


def test_5_1_attributes_are_read_only() -> None:
    need: Any = PollNeeded(3, POLLIN)
    for name in 'fd', 'mask':
        with pytest.raises(AttributeError):
            setattr(need, name, 5)


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_5_1_can_be_copied_and_pickled(protocol: int) -> None:
    need = PollNeeded(3, POLLOUT)
    for got in copy.copy(need), copy.deepcopy(need), pickle.loads(pickle.dumps(need, protocol)):
        assert type(got) is PollNeeded
        assert got == need


def test_5_2_ready(pair: Pair) -> None:
    a, b = pair
    assert PollNeeded(a.fileno(), POLLOUT).poll() is True
    assert PollNeeded(a.fileno(), POLLIN | POLLOUT).poll() is True
    b.send(b'x')
    assert PollNeeded(a.fileno(), POLLIN).poll() is True
    assert PollNeeded(a.fileno(), POLLIN).poll(5) is True
    assert PollNeeded(a.fileno(), POLLIN).poll(math.inf) is True
    assert PollNeeded(a.fileno(), POLLIN).poll(10**9) is True


@pytest.mark.parametrize('timeout', [0.03, 0.0001, 1e-9])
def test_5_2_false_after_the_timeout(pair: Pair, timeout: float) -> None:
    start = time.monotonic()
    assert PollNeeded(pair[0].fileno(), POLLIN).poll(timeout) is False
    assert max(timeout - 0.001, 0) <= time.monotonic() - start < 5


def test_5_2_timeout_may_be_an_int(pair: Pair) -> None:
    start = time.monotonic()
    assert PollNeeded(pair[0].fileno(), POLLIN).poll(1) is False
    assert 0.99 <= time.monotonic() - start < 5


@pytest.mark.parametrize('timeout', [None, 0, 0.0, math.inf, 10**9, 2**70, 1e300, -1, -0.5])
def test_5_2_no_limit(pair: Pair, timeout: float | None, handler: Callable[[Callable[[], None]], None]) -> None:
    a, b = pair

    def feed() -> None:
        b.send(b'x')

    handler(feed)  # the wait goes on after the signal
    assert PollNeeded(a.fileno(), POLLIN).poll(timeout) is True
    assert a.recv(5) == b'x'


@pytest.mark.parametrize('timeout', [None, 0.2])
def test_5_2_signals_do_not_end_the_wait(
    pair: Pair, timeout: float | None, handler: Callable[[Callable[[], None]], None]
) -> None:
    a, b = pair
    calls: list[float] = []

    def once_more() -> None:
        calls.append(time.monotonic())
        if len(calls) < 3:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
        elif timeout is None:
            b.send(b'x')

    start = time.monotonic()
    handler(once_more)
    assert PollNeeded(a.fileno(), POLLIN).poll(timeout) is (timeout is None)
    assert len(calls) == 3
    if timeout is not None:
        assert time.monotonic() - start >= timeout - 0.001


def test_20_2_a_signal_whose_handler_raises_ends_the_wait(
    pair: Pair, handler: Callable[[Callable[[], None]], None]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    handler(interrupt)
    with pytest.raises(KeyboardInterrupt):
        PollNeeded(pair[0].fileno(), POLLIN).poll()


def test_20_2_other_threads_run_during_the_wait(pair: Pair) -> None:
    a, b = pair
    thread = threading.Thread(target=b.send, args=[b'x'])
    waiter = threading.Thread(target=PollNeeded(a.fileno(), POLLIN).poll)
    waiter.start()
    thread.start()
    thread.join(10)
    waiter.join(10)
    assert not waiter.is_alive()


def test_5_2_hang_up_and_error_count_as_ready(pair: Pair) -> None:
    a, b = pair
    fill(a)
    b.close()
    assert PollNeeded(a.fileno(), POLLIN).poll(5) is True
    assert PollNeeded(a.fileno(), POLLOUT).poll(5) is True
    reader, writer = os.pipe()
    os.close(reader)
    assert PollNeeded(writer, POLLIN).poll(5) is True
    os.close(writer)
    assert PollNeeded(writer, POLLIN).poll(5) is True  # a transfer would report the closed end


def receive(sock: socket.socket) -> Generator[PollNeeded, None, bytes]:
    while True:
        try:
            return sock.recv(100)
        except BlockingIOError:
            yield PollNeeded(sock.fileno(), POLLIN)


def test_5_3_returns_the_value(pair: Pair) -> None:
    a, b = pair
    b.send(b'x')
    assert eval_coroutine(receive(a)) == b'x'
    sender = threading.Thread(target=b.send, args=[b'y'])
    crt = receive(a)
    assert next(crt) == (a.fileno(), POLLIN)
    sender.start()
    assert eval_coroutine(crt, timeout=10) == b'y'
    sender.join()


def test_5_3_takes_any_iterator(pair: Pair) -> None:
    needs: Any = iter([PollNeeded(pair[0].fileno(), POLLOUT)] * 3)
    assert eval_coroutine(needs) is None


def test_5_3_exceptions_pass() -> None:
    def broken() -> Generator[PollNeeded, None, None]:
        raise ValueError('what')
        yield

    with pytest.raises(ValueError, match='what'):
        eval_coroutine(broken())


def test_5_3_times_out_and_leaves_the_iterator_alone(pair: Pair) -> None:
    a, b = pair
    crt = receive(a)
    for _ in range(2):
        with pytest.raises(ConnectionTimedOut):
            eval_coroutine(crt, 0.01)
    b.send(b'x')
    assert eval_coroutine(crt, 0.01) == b'x'


@pytest.mark.parametrize(
    'timeout', [None, 0, math.inf, 2**70, 10**400, 1e300, -1, -0.5], ids=lambda limit: f'{limit!s:.6}'
)
def test_5_3_no_limit(pair: Pair, timeout: float | None, handler: Callable[[Callable[[], None]], None]) -> None:
    a, b = pair

    def feed() -> None:
        b.send(b'x')

    handler(feed)
    assert eval_coroutine(receive(a), timeout) == b'x'


def test_5_3_timeout_is_for_each_wait(pair: Pair, handler: Callable[[Callable[[], None]], None]) -> None:
    a, b = pair

    def again() -> None:
        b.send(b'x')
        signal.setitimer(signal.ITIMER_REAL, 0.03)

    def ten() -> Generator[PollNeeded, None, int]:
        for _ in range(10):
            yield from receive(a)
        return 10

    handler(again)
    start = time.monotonic()
    assert eval_coroutine(ten(), 0.2) == 10
    assert time.monotonic() - start > 0.2
