"""`dugong.Sessions`: whole URLs, many origins, redirects."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from loops import Loop, each_loop
from origins import running
from peers import Peer, Server, answer_all

import dugong
from dugong import Request, RequestFailed, Session, Sessions


@pytest.fixture(scope='module')
def origins() -> Iterator[tuple[str, str]]:
    with running() as one, running() as other:
        yield f'http://127.0.0.1:{one}', f'http://127.0.0.1:{other}'


@pytest.fixture
def sessions() -> Iterator[Sessions]:
    with Sessions(redirects=5) as sessions:
        yield sessions


@pytest.fixture(params=[0, 3])
def hops(request: pytest.FixtureRequest) -> int:
    """The number of redirects on the way, the first of them to another origin."""
    hops: int = request.param
    return hops


def url_of(origins: tuple[str, str], hops: int) -> str:
    target = f'{origins[1]}/bytes/3000000'
    return f'{origins[0]}/redirect/{hops}?to={quote(target, safe="")}' if hops else target


RANGES = [(2_000_000, 2_000_004), (0, 4), (5, 5)]


@each_loop
def test_ranges_of_urls_are_found_behind_redirects(
    sessions: Sessions, origins: tuple[str, str], hops: int, tmp_path: Path, loop: Loop
) -> None:
    url, path = url_of(origins, hops), tmp_path / 'file'
    content = sessions.get(url).content
    parts = [content[start:end] for start, end in RANGES]
    assert sessions.cat_ranges(url, RANGES) == parts
    assert sessions.download(url, path) == len(content)
    assert path.read_bytes() == content
    with sessions.open(url) as file:
        assert (file.name, file.size) == (url, len(content))
        file.seek(-4, 2)
        assert file.read() == content[-4:]

    async def main() -> None:
        assert await sessions.co_cat_ranges(url, RANGES) == parts
        assert await sessions.co_download(url, path) == len(content)
        file = await sessions.co_open(url)
        file.seek(-4, 2)
        assert await file.co_read() == content[-4:]
        await file.co_close()

    loop.run(main)


def test_ranges_behind_redirects_get_no_credentials(origins: tuple[str, str]) -> None:
    seen: list[list[str]] = []

    def script(peer: Peer) -> None:
        with contextlib.suppress(EOFError):
            while True:
                got = peer.request()
                seen.append(got.values('Authorization') + got.values('Cookie') + got.values('X-Tag'))
                peer.answer(b'abcd', '206 Partial Content', [('Content-Range', 'bytes 0-3/9')])

    headers = {'Cookie': 'secret', 'X-Tag': 'open'}
    with Server(script, script) as server, Sessions(redirects=2, auth=('me', 'secret'), headers=headers) as sessions:
        to = quote(f'http://127.0.0.1:{server.port}/x', safe='')
        assert sessions.cat_ranges(f'{origins[0]}/redirect/1?to={to}', [(0, 4)]) == [b'abcd']
    assert seen == [['open'], ['open']]


@pytest.mark.parametrize(
    ('url', 'message'),
    [
        ('http://', r'"http://" is not a usable URL'),
        ('http:///x', r'"http:///x" is not a usable URL'),
        ('http://u:p@h/', r'"http://\*\*\*@h/" is not a usable URL: it contains user information'),
        ('http://h:99999/', 'its port is not a number'),
    ],
)
def test_a_message_says_what_is_wrong_with_a_url(sessions: Sessions, url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sessions.get(url)


@pytest.mark.parametrize('url', ['/path', 'ftp://h/', 'http://u:p@h/'])
def test_ranges_need_a_url(sessions: Sessions, url: str, tmp_path: Path) -> None:
    for use in (
        lambda: sessions.cat_ranges(url, [(0, 4)]),
        lambda: sessions.open(url),
        lambda: sessions.download(url, tmp_path / 'file'),
    ):
        with pytest.raises(ValueError, match=r'URL|scheme|credentials'):
            use()
    assert list(tmp_path.iterdir()) == []


def test_urls_lead_to_their_origins(sessions: Sessions, origins: tuple[str, str]) -> None:
    for origin in origins:
        reply = sessions.get(f'{origin}/bytes/5', params={'x': 1})
        assert (reply.status, len(reply.content)) == (200, 5)
        assert reply.request.target == f'{origin}/bytes/5?x=1'
    assert set(sessions.stats()) == set(origins)
    assert {stats['opened'] for stats in sessions.stats().values()} == {1}
    assert sessions.request('GET', f'{origins[0]}/bytes/1').status == 200


@pytest.mark.parametrize('url', ['/path', 'ftp://h/', 'http://', 'http://h /', 'http://u:p@h/'])
def test_bad_urls_are_mistakes_of_the_caller(sessions: Sessions, url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        sessions.get(url)
    [outcome] = sessions.run([url])
    assert isinstance(outcome.error, ValueError)
    assert (outcome.sent, outcome.attempts, outcome.request) == ('no', 0, url)


@pytest.mark.parametrize('name', ['Transfer-Encoding', 'Host', 'Content-Length', 'Expect', 'TE'])
@pytest.mark.parametrize('make', [Sessions, functools.partial(Session, 'http://localhost')])
def test_fields_of_a_single_message_are_not_for_all_requests(make: Callable[..., Any], name: str) -> None:
    with pytest.raises(ValueError, match=f'the field "{name}" is about a single message'):
        make(headers={name: '0'})


def test_unknown_settings_are_named() -> None:
    with pytest.raises(TypeError, match="'colour' is no setting"):
        Sessions(colour='red')  # type: ignore[call-arg]
    with pytest.raises(ValueError, match='max_sessions'):
        Sessions(max_sessions=0)


def test_outcomes_of_many_origins_come_in_order(sessions: Sessions, origins: tuple[str, str]) -> None:
    given: list[Any] = [f'{origins[number % 2]}/bytes/{number}' for number in range(500)]
    given[7] = Request('GET', given[7])
    run = sessions.run(given)
    outcomes = list(run)
    assert [outcome.index for outcome in outcomes] == list(range(500))
    assert [outcome.reply and len(outcome.reply.content) for outcome in outcomes] == list(range(500))
    assert all(outcome.request is request for outcome, request in zip(outcomes, given, strict=True))
    assert run.taken == 500
    unordered = sessions.run(given, ordered=False)
    assert sorted(outcome.index for outcome in unordered) == list(range(500))


def test_an_iterator_that_raises_ends_with_its_exception(sessions: Sessions, origins: tuple[str, str]) -> None:
    def requests() -> Iterator[str]:
        yield f'{origins[0]}/bytes/1'
        raise KeyError('mine')

    run = sessions.run(requests())
    assert next(run).reply
    with pytest.raises(KeyError, match='mine'):
        next(run)


def test_a_closed_run_says_what_became_of_the_rest(origins: tuple[str, str]) -> None:
    with Sessions() as sessions, sessions.run([f'{origin}/bytes/1' for origin in origins] * 5) as run:
        assert next(run).index == 0
        run.close()
        assert [outcome.index for outcome in run.abandoned] == list(range(1, 10))


def test_redirects_lead_to_other_origins(sessions: Sessions, origins: tuple[str, str]) -> None:
    url = f'{origins[0]}/redirect/1?to={origins[1]}/bytes/7'
    reply = sessions.get(url)
    assert (reply.status, len(reply.content)) == (200, 7)
    assert reply.request.target == url
    [outcome] = sessions.run([url])
    assert outcome.reply
    assert len(outcome.reply.content) == 7
    assert outcome.request is url
    with Sessions() as no_redirects:
        assert no_redirects.get(url).status == 302
    with Sessions(redirects=2) as few:
        assert few.get(f'{origins[0]}/redirect/3').status == 302


def test_credentials_stay_with_their_origin() -> None:
    def away(peer: Peer) -> None:
        got = peer.request()
        assert got.values('Authorization') == ['Basic YTpi']
        assert got.values('Cookie') == ['c']
        peer.answer(status='307 Elsewhere', headers=[('Location', f'http://127.0.0.1:{other.port}/x')])
        peer.rest()

    def there(peer: Peer) -> None:
        got = peer.request()
        assert got.names == [name for name in got.names if name not in ('Authorization', 'Cookie', 'X-Signature')]
        peer.answer(got.method.encode() + got.body)
        peer.rest()

    settings: Any = {'auth': ('a', 'b'), 'headers': {'Cookie': 'c'}, 'sign': lambda request: {'X-Signature': 's'}}
    with Server(there) as other, Server(away) as server, Sessions(redirects=1, **settings) as sessions:
        assert sessions.put(f'http://127.0.0.1:{server.port}/', content=b'x').content == b'PUTx'


def test_failures_have_four_words(refused: tuple[str, int]) -> None:
    with Sessions(retries=0) as sessions, pytest.raises(RequestFailed) as caught:
        sessions.get(f'http://{refused[0]}:{refused[1]}/')
    assert isinstance(caught.value, ConnectionError)
    assert (caught.value.sent, caught.value.attempts) == ('no', 0)


def test_words_count_the_requests_before_a_redirect(refused: tuple[str, int], origins: tuple[str, str]) -> None:
    dead = f'http://{refused[0]}:{refused[1]}/'

    def script(peer: Peer) -> None:
        for _ in range(2):
            peer.request()
            peer.answer(status='307 Elsewhere', headers=[('Location', dead)])
        peer.rest()

    with Server(script) as server, Sessions(redirects=2, retries=0) as sessions:
        url = f'http://127.0.0.1:{server.port}/'
        with pytest.raises(RequestFailed) as caught:
            sessions.post(url, content=b'x')
        words = (caught.value.sent, caught.value.answered, caught.value.safe_to_retry, caught.value.attempts)
        assert words == ('yes', 'no', False, 1)
        [outcome] = sessions.run([('POST', url, None, b'x')])
        assert (outcome.sent, outcome.answered, outcome.safe_to_retry, outcome.attempts) == words
        assert isinstance(outcome.error, RequestFailed)
        assert outcome.error.attempts == 1
    with Sessions(redirects=2) as sessions:
        url = f'{origins[0]}/redirect/1?to={origins[1]}/bytes/7'
        assert sessions.get(url).attempts == 2
        [outcome] = sessions.run([url])
        assert outcome.attempts == 2


def test_idle_sessions_make_room() -> None:
    servers = [Server(answer_all) for _ in range(3)]
    try:
        with Sessions(max_sessions=2) as sessions:
            for server in servers:
                assert sessions.get(f'http://127.0.0.1:{server.port}/a').content == b'/a'
            assert len(sessions.stats()) == 2
    finally:
        for server in servers:
            server.close()


def test_a_session_with_requests_does_not_make_room() -> None:
    servers = [Server(*[answer_all] * 20) for _ in range(5)]
    urls = [f'http://127.0.0.1:{server.port}/{i}' for i in range(20) for server in servers]

    async def all_of(sessions: Sessions) -> list[int]:
        return [outcome.reply.status if outcome.reply else 0 async for outcome in sessions.co_run(urls)]

    try:
        with Sessions(max_sessions=2) as sessions:
            assert [outcome.error for outcome in sessions.run(urls)] == [None] * 100
            assert len(sessions.stats()) == 2
            assert asyncio.run(all_of(sessions)) == [200] * 100
            with sessions.get(urls[0], stream=True) as reply:
                for url in urls[1:4]:
                    sessions.get(url)
                assert reply.read() == b'/0'
    finally:
        for server in servers:
            server.close()


def test_closed_sessions_fail(origins: tuple[str, str]) -> None:
    sessions = Sessions()
    sessions.close()
    with pytest.raises(RequestFailed):
        sessions.get(f'{origins[0]}/bytes/1')


@each_loop
def test_tasks_use_it(loop: Loop, origins: tuple[str, str]) -> None:
    async def main() -> None:
        async with Sessions(redirects=5) as sessions:
            assert (await sessions.co_get(f'{origins[0]}/redirect/1?to={origins[1]}/bytes/7')).status == 200
            given = [f'{origins[number % 2]}/bytes/{number}' for number in range(300)]
            given[5] = f'{origins[0]}/redirect/1?to={origins[1]}/bytes/5'
            given[6] = 'nonsense'
            outcomes = [outcome async for outcome in sessions.co_run(given)]
            sizes = [outcome.reply and len(outcome.reply.content) for outcome in outcomes]
            assert sizes == [None if number == 6 else number for number in range(300)]
            assert isinstance(outcomes[6].error, ValueError)
            await sessions.co_close()
            with pytest.raises(dugong.Error):
                await sessions.co_get(f'{origins[0]}/bytes/1')

    loop.run(main)
