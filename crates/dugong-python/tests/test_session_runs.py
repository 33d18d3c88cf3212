"""`Session.run`: each request that was taken ends with exactly one outcome."""

from __future__ import annotations

import gc
import pickle
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from loops import Loop, each_loop
from peers import LIMIT, Peer, Server, answer_all
from session_support import of, reply_of, words

import dugong
from dugong import Request, RequestFailed, Session, Sessions


def test_outcomes_come_in_the_order_of_the_requests(session: Session) -> None:
    run = session.run(f'/bytes/{number}' for number in range(1000))
    outcomes = list(run)
    assert [outcome.index for outcome in outcomes] == list(range(1000))
    assert [outcome.request for outcome in outcomes] == [f'/bytes/{number}' for number in range(1000)]
    assert [len(reply_of(outcome).content) for outcome in outcomes] == list(range(1000))
    assert {words(outcome) for outcome in outcomes} == {('yes', 'yes', False, 1)}
    assert run.taken == 1000
    assert list(run) == []


def test_without_order_a_slow_answer_holds_up_no_other() -> None:
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        with_slow = False
        while True:
            try:
                got = peer.request()
            except EOFError:
                return
            with_slow = got.target == '/slow'
            if with_slow:
                assert go_on.wait(LIMIT)
            peer.answer(got.target.encode())

    with Server(script, script) as server, of(server, connections=2, depth=1) as session:
        run = session.run(['/slow', '/a', '/b'], ordered=False)
        first = [next(run).request, next(run).request]
        go_on.set()
        assert (first, next(run).request) == (['/a', '/b'], '/slow')
        assert next(run, None) is None


def test_it_takes_what_a_pipeline_takes_and_requests() -> None:
    def echo(peer: Peer) -> None:
        while True:
            try:
                got = peer.request()
            except EOFError:
                return
            peer.answer(f'{got.method} {got.target} {got.values("A")} '.encode() + got.body)

    given: list[Any] = [
        '/a',
        ('GET', '/b'),
        ('GET', '/c', {'A': '1'}),
        ('PUT', '/d', [('A', '1'), ('A', '2')], b'x'),
        {'method': 'PUT', 'path': '/e', 'headers': {'A': '1'}, 'body': b'y'},
        {'method': 'GET', 'target': '/f', 'params': {'q': 1}},
        Request('PUT', '/g', json=1),
    ]
    with Server(*[echo] * 4) as server, of(server) as session:
        outcomes = list(session.run(given))
    assert [reply_of(outcome).text() for outcome in outcomes] == [
        'GET /a [] ',
        'GET /b [] ',
        "GET /c ['1'] ",
        "PUT /d ['1', '2'] x",
        "PUT /e ['1'] y",
        'GET /f?q=1 [] ',
        'PUT /g [] 1',
    ]
    assert all(outcome.request is request for outcome, request in zip(outcomes, given, strict=True))
    assert all(reply_of(outcome).request is outcome.request for outcome in outcomes)


@pytest.mark.parametrize(
    'bad',
    [
        '/a b',
        7,
        ('GET',),
        ('G T', '/'),
        ('PUT', '/', None, 'text'),
        {'path': '/'},
        {'method': 'GET', 'path': '/', 'target': '/'},
        {'method': 'GET', 'path': '/', 'colour': 'red'},
        ('GET', '/', {'A': 'b\r\nc'}),
        '/\udc80',
    ],
)
@pytest.mark.parametrize('ordered', [True, False])
def test_a_bad_request_is_an_outcome(session: Session, bad: Any, ordered: bool) -> None:
    outcomes = sorted(session.run(['/bytes/1', bad, '/bytes/2'], ordered=ordered), key=lambda outcome: outcome.index)
    assert [type(outcome.error) for outcome in (outcomes[0], outcomes[2])] == [type(None)] * 2
    assert isinstance(outcomes[1].error, ValueError)
    assert outcomes[1].reply is None
    assert outcomes[1].request is bad
    assert words(outcomes[1]) == ('no', 'no', True, 0)


def test_an_iterator_that_raises_ends_with_its_exception(session: Session) -> None:
    def requests() -> Iterator[str]:
        yield '/bytes/1'
        yield '/bytes/2'
        raise KeyError('mine')

    run = session.run(requests())
    assert [len(reply_of(next(run)).content), len(reply_of(next(run)).content)] == [1, 2]
    with pytest.raises(KeyError, match='mine'):
        next(run)
    assert next(run, None) is None
    assert run.taken == 2
    assert session.get('/bytes/1').status == 200


def test_requests_are_taken_as_they_are_sent(session: Session) -> None:
    def requests() -> Iterator[str]:
        while True:
            yield '/bytes/1'

    run = session.run(requests())
    for _ in range(1000):
        next(run)
    assert 1000 <= run.taken <= 1000 + 4 * 32 * 2
    run.close()
    assert len(run.abandoned) == run.taken - 1000


SOME = 200


def slowly() -> Iterator[str]:
    for i in range(SOME):
        time.sleep(0.002)
        yield f'/bytes/{i}'


async def slowly_later(loop: Loop) -> AsyncIterator[str]:
    for i in range(SOME):
        await loop.sleep(0.002)
        yield f'/bytes/{i}'


@pytest.mark.parametrize('ordered', [True, False])
def test_a_slow_iterable_does_not_hold_up_outcomes(session: Session, ordered: bool) -> None:
    run = session.run(slowly(), ordered=ordered)
    assert next(run).index == 0
    assert run.taken < SOME
    assert len(list(run)) == SOME - 1
    with Sessions() as sessions:
        many = sessions.run((session.origin + target for target in slowly()), ordered=ordered)
        assert next(many).index == 0
        assert many.taken < SOME
        assert len(list(many)) == SOME - 1


@each_loop
def test_a_slow_asynchronous_iterable_does_not_hold_up_outcomes(session: Session, loop: Loop) -> None:
    async def main() -> None:
        run = session.co_run(slowly_later(loop))
        assert (await anext(run)).index == 0
        assert run.taken < SOME
        assert [outcome.index async for outcome in run] == list(range(1, SOME))

    loop.run(main)


def test_requests_have_to_be_an_iterable(session: Session) -> None:
    sessions = Sessions()
    for wrong in '/a', b'/a', 5, None:
        for run in session.run, session.co_run, sessions.run, sessions.co_run:
            with pytest.raises(TypeError, match=f'requests has to be an iterable .* not {type(wrong).__name__}'):
                run(wrong)  # type: ignore[arg-type]

    async def later() -> AsyncIterator[str]:
        yield '/bytes/1'

    for run in session.run, sessions.run:
        with pytest.raises(TypeError, match='an asynchronous one needs co_run'):
            run(later())  # type: ignore[arg-type]
    assert len(list(session.run(['/bytes/1'], ordered=None, stream=0))) == 1  # type: ignore[arg-type]


def test_a_closed_run_says_what_became_of_the_rest() -> None:
    def script(peer: Peer) -> None:
        assert peer.request().target == '/0'
        peer.answer(b'')
        while True:
            try:
                peer.request()
            except EOFError:
                return

    with Server(script) as server, of(server, connections=1, depth=2) as session:
        run = session.run(f'/{number}' for number in range(10))
        assert next(run).index == 0
        run.close()
        assert 3 <= run.taken < 10
        assert [outcome.index for outcome in run.abandoned] == list(range(1, run.taken))
        assert all(isinstance(outcome.error, RequestFailed) for outcome in run.abandoned)
        assert {outcome.sent for outcome in run.abandoned} <= {'no', 'yes'}
        assert {outcome.attempts for outcome in run.abandoned if outcome.sent == 'no'} == {0}
        assert 'no' in {outcome.sent for outcome in run.abandoned}
        assert next(run, None) is None
        run.close()
        assert len(run.abandoned) == run.taken - 1


def test_answers_that_were_not_yielded_are_abandoned_replies(session: Session) -> None:
    with session.run(['/bytes/1', '/bytes/2', '/bytes/3']) as run:
        assert next(run).index == 0
    assert [outcome.index for outcome in run.abandoned] == [1, 2]


def test_a_run_may_be_closed_before_it_begins(session: Session) -> None:
    run = session.run(['/bytes/1'])
    run.close()
    assert (run.taken, run.abandoned, list(run)) == (0, [], [])


def test_a_dropped_run_gives_its_requests_up() -> None:
    def script(peer: Peer) -> None:
        assert peer.request().target == '/first'
        peer.answer(b'')
        peer.rest()

    with Server(script, answer_all) as server, of(server, connections=1, timeout=LIMIT) as session:
        run = session.run(['/first', *(f'/{number}' for number in range(5)), '/last'])
        assert next(run).index == 0
        del run
        # The unwanted answers do not come, so the connection is given up.
        assert session.get('/x').content == b'/x'


def test_outcomes_with_failures_can_be_pickled() -> None:
    def lose(peer: Peer) -> None:
        peer.request()
        peer.end()

    with Server(lose) as server, of(server, retries=0) as session:
        [outcome] = session.run([Request('POST', '/x', content=b'y')])
    assert isinstance(outcome.error, ConnectionError)
    assert isinstance(outcome.error, RequestFailed)
    assert words(outcome) == words(outcome.error) == ('yes', 'no', False, 1)
    copy = pickle.loads(pickle.dumps(outcome))
    assert words(copy) == words(outcome)
    assert copy.request.target == '/x'
    assert str(copy.error) == str(outcome.error)
    assert isinstance(copy.error.__cause__, dugong.ConnectionClosed)


def test_outcomes_with_replies_can_be_pickled(session: Session) -> None:
    [outcome] = session.run(['/bytes/5'])
    copy = pickle.loads(pickle.dumps(outcome))
    assert copy.index == 0
    assert reply_of(copy).content == reply_of(outcome).content
    assert reply_of(copy).headers.items() == reply_of(outcome).headers.items()
    assert repr(copy) == repr(outcome)


def test_a_streamed_run_yields_heads_and_is_read_in_order(session: Session) -> None:
    sizes = [0, 10, 3_000_000, 5, 3_000_000]
    for outcome in session.run([f'/bytes/{size}' for size in sizes], stream=True):
        with reply_of(outcome) as reply:
            assert reply.is_streamed
            assert sum(map(len, reply.iter_bytes())) == sizes[outcome.index]


def test_streams_that_nobody_reads_do_not_hold_up_the_rest(session: Session) -> None:
    kept = []
    for outcome in session.run([f'/bytes/{size}' for size in [2_000_000] * 10], stream=True):
        kept.append(reply_of(outcome))
        if len(kept) == 4:
            for reply in kept:
                reply.close()
            kept.clear()
    for reply in kept:
        assert len(reply.content) == 2_000_000


def test_uploads_of_a_run_are_read_in_the_thread_of_the_caller() -> None:
    threads: set[int] = set()

    def pieces(number: int) -> Iterator[bytes]:
        for _ in range(4):
            threads.add(threading.get_ident())
            yield bytes([number]) * 100_000

    def script(peer: Peer) -> None:
        while True:
            try:
                got = peer.request()
            except EOFError:
                return
            assert len(set(got.body)) == 1
            peer.answer(str(len(got.body)).encode())

    with Server(*[script] * 4) as server, of(server, expect_above=None) as session:
        for ordered in True, False:
            requests = [Request('PUT', f'/{number}', content=pieces(number)) for number in range(20)]
            outcomes = list(session.run(requests, ordered=ordered))
            assert [reply_of(outcome).text() for outcome in outcomes] == ['400000'] * 20
    assert threads == {threading.get_ident()}


def test_an_exception_of_content_is_the_outcome_of_its_request(session: Session) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'a'
        raise KeyError('mine')

    outcomes = list(session.run(['/bytes/1', Request('PUT', '/upload', content=pieces()), '/bytes/2']))
    assert isinstance(outcomes[1].error, KeyError)
    assert [outcome.reply is not None for outcome in outcomes] == [True, False, True]


def test_the_end_of_the_program_is_no_outcome(session: Session) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'a'
        raise KeyboardInterrupt

    run = session.run([Request('PUT', '/upload', content=pieces()), '/bytes/2'])
    with pytest.raises(KeyboardInterrupt):
        next(run)
    run.close()
    assert run.taken == 2
    assert [outcome.index for outcome in run.abandoned] == [0, 1]


def test_a_run_is_used_once_at_a_time(session: Session) -> None:
    def requests() -> Iterator[str]:
        with pytest.raises(ValueError, match='used already'):
            next(run)
        yield '/bytes/1'

    run = session.run(requests())
    assert [outcome.index for outcome in run] == [0]


def test_objects_of_a_run_are_freed(session: Session) -> None:
    class Given(Request):
        __slots__ = ()

    given = Given('GET', '/bytes/1')
    dead = weakref.ref(given)
    [outcome] = session.run([given])
    del given
    assert dead() is not None
    del outcome
    gc.collect()
    assert dead() is None


def test_a_run_that_refers_to_itself_is_collected(session: Session) -> None:
    class Requests:
        run: Any = None

        def __iter__(self) -> Iterator[str]:
            return self

        def __next__(self) -> str:
            return '/bytes/1'

    requests = Requests()
    requests.run = session.run(requests)
    dead = weakref.ref(requests)
    next(requests.run)
    del requests
    gc.collect()
    assert dead() is None


def test_lost_requests_of_a_run_are_sent_again() -> None:
    def three(peer: Peer) -> None:
        for _ in range(3):
            try:
                peer.answer(peer.request().target.encode())
            except EOFError:
                return
        peer.end()

    with Server(*[three] * 30, *[answer_all] * 8) as server, of(server, backoff=(0.001, 0.01)) as session:
        outcomes = list(session.run(f'/{number}' for number in range(60)))
        assert [reply_of(outcome).text() for outcome in outcomes] == [f'/{number}' for number in range(60)]
        assert session.stats()['opened'] > 10
