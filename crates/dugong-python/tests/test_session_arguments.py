"""Wrong arguments of sessions: each error names the argument and says what to pass."""

from __future__ import annotations

import asyncio
import functools
import math
from typing import Any

import pytest
from loops import Loop, each_loop

from dugong import Outcome, Reply, Request, Session, Sessions

HUGE = 2**64
#: The constructors, called with wrong arguments.
MAKES: tuple[Any, ...] = functools.partial(Session, 'http://localhost'), Sessions
NUMBERS = ['connections', 'depth', 'window', 'max_content', 'retries', 'retry_budget', 'expect_above', 'redirects']
SECONDS = ['timeout', 'connect_timeout', 'total_timeout', 'idle_timeout', 'expect_timeout']
ZERO_IS_SOME = ['max_content', 'retries', 'retry_budget', 'expect_above', 'redirects']


@pytest.mark.parametrize('name', NUMBERS)
def test_a_number_that_a_setting_cannot_be_is_named(name: str) -> None:
    for make in MAKES:
        for wrong in -1, HUGE, 10**5000:
            with pytest.raises(ValueError, match=f'{name} has to be at (least|most)'):
                make(**{name: wrong})
        for other in True, 1.0, '1', math.nan:
            with pytest.raises(TypeError, match=f'{name} has to be an int'):
                make(**{name: other})
        if name in ZERO_IS_SOME:
            make(**{name: 0}).close()
        else:
            with pytest.raises(ValueError, match=f'{name} has to be at least 1, not 0'):
                make(**{name: 0})


@pytest.mark.parametrize('name', SECONDS)
def test_a_time_that_cannot_be_is_named(name: str) -> None:
    def request(**options: Any) -> object:
        return Request('GET', '/', **options)

    makes: list[Any] = [*MAKES]
    if name in ('timeout', 'total_timeout'):
        makes.append(request)
    for make in makes:
        for wrong in 0, -1, math.nan, math.inf, -math.inf, 10**400:
            with pytest.raises(ValueError, match=f'{name} has to be a positive number of seconds or None'):
                make(**{name: wrong})
        for other in True, '1', [1]:
            with pytest.raises(TypeError, match=f'{name} has to be a number of seconds or None'):
                make(**{name: other})


def test_any_positive_time_is_one(origin_url: str) -> None:
    for limit in 1e300, 1e9, 20:
        settings: dict[str, Any] = dict.fromkeys(SECONDS, limit)
        with Session(origin_url, **settings, backoff=(limit, limit)) as session:
            assert session.get('/bytes/1', timeout=limit, total_timeout=limit).status == 200
    with Session(origin_url) as session, pytest.raises(TimeoutError):
        session.get('/delay/100', total_timeout=1e-300)


@pytest.mark.parametrize('name', ['repeat_statuses', 'backoff', 'max_sessions'])
def test_other_numbers_of_settings_are_named(name: str) -> None:
    wrong: dict[str, list[Any]] = {
        'repeat_statuses': [503, '503', [99], [600], [HUGE], [True], None],
        'backoff': [1, (1,), (0, 1), (1, math.inf), (1, HUGE**20), (True, 2), (None, 1), 'ab'],
        'max_sessions': [0, -1, HUGE, True, 1.5],
    }
    for value in wrong[name]:
        with pytest.raises((TypeError, ValueError), match=name):
            Sessions(**{name: value})


def test_the_numbers_of_ranges_are_named(session: Session) -> None:
    for wrong in -1, HUGE, True, 1.5:
        with pytest.raises((TypeError, ValueError), match='start of a range'):
            session.cat_ranges('/bytes/9', [(wrong, 5)])  # type: ignore[list-item]
        with pytest.raises((TypeError, ValueError), match='merge_gap'):
            session.cat_ranges('/bytes/9', [(0, 5)], merge_gap=wrong)  # type: ignore[arg-type]
        for name in 'block_size', 'blocks', 'read_ahead':
            with pytest.raises((TypeError, ValueError), match=name):
                session.open('/bytes/9', **{name: wrong})  # type: ignore[arg-type]
        for name in 'part_size', 'parts':
            with pytest.raises((TypeError, ValueError), match=name):
                session.download('/bytes/9', 'none', **{name: wrong})  # type: ignore[arg-type]
    assert session.cat_ranges('/bytes/9', [(0, 5)], merge_gap=2**63 - 1)
    with session.open('/bytes/9', block_size=2**63 - 1, blocks=2**63 - 1, read_ahead=2**63 - 1) as file:
        assert len(file.read()) == 9
        assert file.seek(2**70) == 2**70
        assert file.read() == b''


def test_a_range_is_a_pair(session: Session) -> None:
    wrong: list[Any] = [5, [5], [(1, 2, 3)], ['ab'], None]
    for ranges in wrong:
        with pytest.raises((TypeError, ValueError), match='range'):
            session.cat_ranges('/bytes/9', ranges)


def test_the_size_of_pieces_is_named() -> None:
    reply = Reply(200, content=b'abc')
    for wrong in 0, -1, HUGE:
        with pytest.raises(ValueError, match='size has to be at'):
            reply.iter_bytes(wrong)
        with pytest.raises(ValueError, match='size has to be at'):
            reply.co_iter_bytes(wrong)
    for other in True, 1.5, '1':
        with pytest.raises(TypeError, match='size has to be an int'):
            reply.iter_bytes(other)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match='size has to be an int'):
            reply.co_iter_bytes(other)  # type: ignore[arg-type]
    assert list(reply.iter_bytes(2**63 - 1)) == [b'abc']


def test_a_read_takes_any_int_as_files_do() -> None:
    async def read(size: int) -> bytes:
        return await Reply(200, content=b'abc').co_read(size)

    for size, content in (HUGE, b'abc'), (-HUGE, b'abc'), (-1, b'abc'), (0, b''), (2, b'ab'):
        assert Reply(200, content=b'abc').read(size) == content
        assert asyncio.run(read(size)) == content
    with pytest.raises(TypeError):
        Reply(200).read('1')  # type: ignore[arg-type]


def test_replies_and_outcomes_name_their_numbers() -> None:
    for wrong in -1, 99, 1000, HUGE:
        with pytest.raises(ValueError, match=f'status has to be from 100 to 999, not {wrong}'):
            Reply(wrong)
    for wrong in -1, HUGE:
        with pytest.raises(ValueError, match='attempts has to be'):
            Reply(200, attempts=wrong)
        with pytest.raises(ValueError, match='index has to be'):
            Outcome(wrong, '/')
        with pytest.raises(ValueError, match='attempts has to be'):
            Outcome(0, '/', attempts=wrong)


@pytest.mark.parametrize(
    'wrong', ['sha256', 'sha256=', 'sha256=' + 'g' * 64, 'sha256=' + 'a' * 63, 'md5=' + 'a' * 32, '', 'ANNOUNCED']
)
def test_a_digest_names_its_algorithm(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"digest has to be 'sha256=' and 64 hexadecimal digits, or 'announced'"):
        Request('GET', '/', digest=wrong)
    with pytest.raises(TypeError, match='digest has to be a str'):
        Request('GET', '/', digest=bytes(32))  # type: ignore[arg-type]


# Functions


async def later(request: Request) -> str:
    return request.target


class Later:
    async def __call__(self, request: Request) -> str:
        return request.target


@pytest.mark.parametrize('name', ['auth', 'sign'])
@pytest.mark.parametrize('function', [later, functools.partial(later), Later(), Later().__call__])
def test_an_asynchronous_function_is_refused_at_once(name: str, function: Any) -> None:
    for make in MAKES:
        with pytest.raises(TypeError, match=f'{name} has to be a plain function: await what it needs.*asynchronous'):
            make(**{name: function})


@pytest.mark.parametrize('name', ['auth', 'sign'])
@each_loop
def test_a_function_that_returns_a_coroutine_is_refused_when_it_does(origin_url: str, name: str, loop: Loop) -> None:
    def function(request: Request) -> Any:
        return later(request)

    async def main(session: Session) -> None:
        with pytest.raises(TypeError, match=f'{name} has to be a plain function: await .*coroutine'):
            await session.co_get('/bytes/1')

    settings: dict[str, Any] = {name: function}
    with Session(origin_url, **settings) as session:
        with pytest.raises(TypeError, match=f'{name} has to be a plain function: await .*coroutine'):
            session.get('/bytes/1')
        [outcome] = session.run(['/bytes/1'])
        assert isinstance(outcome.error, TypeError)
        assert outcome.sent == 'no'
        loop.run(functools.partial(main, session))
