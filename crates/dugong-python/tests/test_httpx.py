"""`dugong.httpx`: httpx over the connections of a session, for threads, asyncio and trio."""

from __future__ import annotations

import asyncio
import gzip
import io
import ssl
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from origins import running
from peers import LIMIT, Peer, Server, answer_all, silent

import dugong
from dugong._failures import RequestTimedOut

httpx = pytest.importorskip('httpx', reason='httpx is not installed')
transports = pytest.importorskip('dugong.httpx')


Run = Callable[[Callable[[], Awaitable[Any]]], Any]


@pytest.fixture(scope='module')
def origin() -> Iterator[str]:
    with running() as port:
        yield f'http://127.0.0.1:{port}'


@pytest.fixture
def client() -> Iterator[Any]:
    with httpx.Client(transport=transports.Transport()) as client:
        yield client


@pytest.fixture(params=['asyncio', 'trio'])
def run(request: pytest.FixtureRequest) -> Run:
    """Run an async function in a loop of its own."""

    def of_asyncio(function: Callable[[], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            return await function()

        return asyncio.run(main())

    return of_asyncio if request.param == 'asyncio' else trio.run


def asynchronous(**settings: Any) -> Any:
    return httpx.AsyncClient(transport=transports.AsyncTransport(**settings))


def url(server: Server, path: str = '/') -> str:
    return f'http://127.0.0.1:{server.port}{path}'


def echo(peer: Peer) -> None:
    """Answer each request with its own bytes."""
    while True:
        try:
            got = peer.request()
        except EOFError:
            return
        peer.answer(got.raw)


def content_of(peer: Peer) -> None:
    """Answer each request with its content."""
    while True:
        try:
            got = peer.request()
        except EOFError:
            return
        peer.answer(got.body)


def once(answer: bytes) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)
        peer.end()

    return script


def half(peer: Peer) -> None:
    """Send half of an answer, and then nothing."""
    peer.request()
    peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc')
    peer.rest()


def get_by(kind: str, address: str, **options: Any) -> Any:
    """GET, by a client of a kind."""
    return call_by(kind, 'GET', address, **options)


def call_by(kind: str, method: str, address: str, **options: Any) -> Any:
    """Make a request, by a client of a kind."""
    if kind == 'sync':
        with httpx.Client(transport=transports.Transport()) as client:
            return client.request(method, address, **options)

    async def main() -> Any:
        async with asynchronous() as client:
            return await client.request(method, address, **options)

    return asyncio.run(main()) if kind == 'asyncio' else trio.run(main)


each = pytest.mark.parametrize('kind', ['sync', 'asyncio', 'trio'])


@each
def test_a_response_has_what_the_server_sent(origin: str, kind: str) -> None:
    response = get_by(kind, f'{origin}/bytes/1000')
    assert (response.status_code, response.reason_phrase, len(response.content)) == (200, 'OK', 1000)
    assert response.http_version == 'HTTP/1.1'
    assert response.headers['content-LENGTH'] == '1000'
    assert response.url == f'{origin}/bytes/1000'
    assert response.is_closed


@each
def test_an_error_of_the_server_is_a_response(origin: str, kind: str) -> None:
    response = get_by(kind, f'{origin}/no/such/thing')
    assert response.status_code == 404
    with pytest.raises(httpx.HTTPStatusError):
        response.raise_for_status()


def test_fields_and_content_arrive_as_httpx_made_them(client: Any) -> None:
    with Server(echo) as server:
        text = client.post(url(server, '/a b?c=d#e'), json={'k': 1}, headers={'X-Y': 'z'}).text
        client.close()
    head, _, body = text.partition('\r\n\r\n')
    assert head.startswith('POST /a%20b?c=d HTTP/1.1\r\n')
    assert 'X-Y: z' in head
    assert 'Accept-Encoding: gzip, deflate' in head
    assert 'User-Agent: python-httpx/' in head
    assert head.count('Content-Length') == head.count('Host') == 1
    assert body == '{"k":1}'


def test_content_of_each_kind_is_sent(client: Any) -> None:
    with Server(content_of) as server:
        assert client.put(url(server), content=b'abc').content == b'abc'
        assert client.put(url(server), content='abc').content == b'abc'
        assert client.put(url(server), content=iter([b'a', b'bc'])).content == b'abc'
        assert client.put(url(server), content=io.BytesIO(b'abc')).content == b'abc'
        assert client.post(url(server), data={'a': 'b'}).content == b'a=b'
        assert b'\r\n\r\nabc\r\n' in client.post(url(server), files={'f': io.BytesIO(b'abc')}).content
        assert client.post(url(server)).content == b''
        client.close()


def test_asynchronous_content_is_sent(run: Run) -> None:
    async def content() -> AsyncIterator[bytes]:
        for piece in b'a', b'bc':
            yield piece

    async def main() -> None:
        async with asynchronous() as client:
            assert (await client.put(url(server), content=b'abc')).content == b'abc'
            assert (await client.put(url(server), content=content())).content == b'abc'
            answer = await client.post(url(server), files={'f': io.BytesIO(b'abc')})
            assert b'\r\n\r\nabc\r\n' in answer.content

    with Server(content_of) as server:
        run(main)


def test_httpx_decodes_content(client: Any) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        data = gzip.compress(b'much ' * 1000)
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n' % len(data) + data)
        peer.rest()

    with Server(script) as server:
        assert client.get(url(server)).content == b'much ' * 1000
        client.close()


def test_httpx_keeps_cookies_and_follows_redirects(client: Any) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 302 Found\r\nLocation: /b\r\nSet-Cookie: a=1\r\nContent-Length: 3\r\n\r\nold')
        got = peer.request()
        peer.answer(f'{got.target} {got.values("Cookie")}'.encode())

    with Server(script) as server:
        response = client.get(url(server, '/a'), follow_redirects=True)
        client.close()
    assert response.text == "/b ['a=1']"
    assert [old.status_code for old in response.history] == [302]


def test_an_expectation_is_kept(client: Any) -> None:
    def script(peer: Peer) -> None:
        head = peer.head()
        peer.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        peer.answer(f'{head.values("Expect")} {peer.exactly(3).decode()}'.encode())

    with Server(script) as server:
        response = client.put(url(server), content=b'abc', headers={'Expect': '100-continue'})
        client.close()
    assert response.text == "['100-continue'] abc"


def test_a_redirect_is_left_to_httpx(client: Any, origin: str) -> None:
    assert client.get(f'{origin}/redirect/1').is_redirect


def test_fields_outside_ascii_keep_their_bytes(client: Any) -> None:
    with Server(once(b'HTTP/1.1 200 Ja\xdf\r\nX: \xc3\xbc\r\nContent-Length: 0\r\n\r\n')) as server:
        response = client.get(url(server))
    assert dict(response.headers.raw)[b'X'] == b'\xc3\xbc'
    assert response.extensions['reason_phrase'] == b'Ja\xdf'


def test_content_can_be_streamed(client: Any, origin: str) -> None:
    with client.stream('GET', f'{origin}/bytes/3000000') as response:
        assert [len(piece) for piece in response.iter_bytes(100_000)] == [100_000] * 30


def test_content_can_be_streamed_in_tasks(run: Run, origin: str) -> None:
    async def main() -> list[int]:
        async with asynchronous() as client, client.stream('GET', f'{origin}/bytes/3000000') as response:
            return [len(piece) async for piece in response.aiter_bytes(100_000)]

    assert run(main) == [100_000] * 30


def test_a_response_that_is_closed_early_holds_nothing_up(client: Any, origin: str) -> None:
    for _ in range(10):
        with client.stream('GET', f'{origin}/bytes/10000000') as response:
            assert next(response.iter_raw())
    assert client.get(f'{origin}/bytes/5').is_success


def test_a_response_that_a_task_closes_early_holds_nothing_up(run: Run, origin: str) -> None:
    async def main() -> None:
        # Without a client, whose generators trio finds left behind.
        async with transports.AsyncTransport() as transport:
            for _ in range(10):
                request = httpx.Request('GET', f'{origin}/bytes/10000000')
                response = await transport.handle_async_request(request)
                async for piece in response.stream:
                    assert piece
                    break
                await response.aclose()
            response = await transport.handle_async_request(httpx.Request('GET', f'{origin}/bytes/5'))
            assert len(await response.aread()) == 5

    run(main)


def test_threads_share_few_connections() -> None:
    transport = transports.Transport(connections=2)
    with (
        Server(*[answer_all] * 2) as server,
        httpx.Client(transport=transport) as client,
        ThreadPoolExecutor(16) as pool,
    ):
        answers = pool.map(lambda number: client.get(url(server, f'/{number}')).text, range(200))
        assert list(answers) == [f'/{number}' for number in range(200)]
        client.close()


def test_tasks_share_few_connections(run: Run) -> None:
    async def main() -> None:
        found: dict[int, str] = {}

        async def get(client: Any, number: int) -> None:
            found[number] = (await client.get(url(server, f'/{number}'))).text

        async with asynchronous(connections=2) as client:
            if run is trio.run:
                async with trio.open_nursery() as nursery:
                    for number in range(200):
                        nursery.start_soon(get, client, number)
            else:
                await asyncio.gather(*(get(client, number) for number in range(200)))
        assert found == {number: f'/{number}' for number in range(200)}

    with Server(*[answer_all] * 2) as server:
        run(main)


def test_a_cancelled_task_takes_nothing_along() -> None:
    def script(peer: Peer) -> None:
        peer.request()
        arrived.set()
        peer.rest()

    async def main() -> None:
        async with asynchronous() as client:
            task = asyncio.ensure_future(client.get(url(server)))
            while not arrived.is_set():
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await client.get(url(server, '/b'))).text == '/b'

    arrived = threading.Event()
    with Server(script, answer_all) as server:
        asyncio.run(main())


def test_a_server_that_closes_without_a_word_is_not_noticed() -> None:
    async def main(port: int) -> None:
        async with asynchronous() as client:
            replies = [client.get(f'http://127.0.0.1:{port}/bytes/{size}') for size in range(200)]
            assert [len(reply.content) for reply in await asyncio.gather(*replies)] == list(range(200))

    with running('--close-after', '5', '--close-silently') as port:
        asyncio.run(main(port))


def test_a_lost_post_is_not_repeated(client: Any) -> None:
    with Server(once(b'')) as server:
        with pytest.raises(httpx.RemoteProtocolError) as caught:
            client.post(url(server), content=b'x')
        assert server.connections == 1
    assert caught.value.request.method == 'POST'


@each
def test_a_lost_get_is_for_the_program_to_repeat(kind: str) -> None:
    with Server(once(b''), once(b'')) as server:
        with pytest.raises(httpx.RemoteProtocolError, match=r'attempts: 1\)') as caught:
            get_by(kind, url(server))
        assert server.connections == caught.value.__cause__.attempts == 1


# Errors


@pytest.mark.parametrize('host', ['127.0.0.1:99999', 'a b', 'a..b'])
def test_a_host_that_cannot_be_is_a_connect_error(client: Any, host: str) -> None:
    with pytest.raises(httpx.ConnectError, match='not a usable URL'):
        client.get(f'http://{host}/')


@pytest.mark.parametrize('fields', [{'': 'a'}, {'X y': 'a'}, {'X': 'a\nb'}])
def test_a_bad_field_is_a_local_protocol_error(client: Any, fields: dict[str, str]) -> None:
    with pytest.raises(httpx.LocalProtocolError):
        client.get('http://127.0.0.1:9/', headers=fields)


@pytest.mark.parametrize('given', [{'verify': __file__}, {'cert': __file__}])
def test_files_without_certificates_are_an_ssl_error(given: dict[str, Any]) -> None:
    with pytest.raises(ssl.SSLError, match='PEM'):
        transports.Transport(**given)


@each
def test_a_server_that_is_not_there_is_a_connect_error(refused: tuple[str, int], kind: str) -> None:
    with pytest.raises(httpx.ConnectError, match='refused'):
        get_by(kind, f'http://127.0.0.1:{refused[1]}/')


@each
def test_a_connect_timeout_is_no_read_timeout(full: tuple[str, int], kind: str) -> None:
    with pytest.raises(httpx.ConnectTimeout):
        get_by(kind, f'http://{full[0]}:{full[1]}/', timeout=httpx.Timeout(None, connect=0.1))


@each
def test_a_read_timeout_is_no_connect_timeout(kind: str) -> None:
    with Server(silent) as server:
        with pytest.raises(httpx.ReadTimeout):
            get_by(kind, url(server), timeout=httpx.Timeout(None, read=0.1))
        assert server.connections == 1


@each
@pytest.mark.parametrize('write', [None, 60.0])
def test_a_read_timeout_counts_for_a_request_with_short_content(kind: str, write: float | None) -> None:
    with Server(silent) as server, pytest.raises(httpx.ReadTimeout):
        times = httpx.Timeout(None, read=0.1, write=write)
        call_by(kind, 'POST', url(server), json={'a': 1}, timeout=times)


@each
def test_a_read_timeout_can_come_within_the_content(kind: str) -> None:
    with Server(half) as server, pytest.raises(httpx.ReadTimeout):
        get_by(kind, url(server), timeout=httpx.Timeout(None, read=0.2))


def test_content_that_the_server_does_not_take_is_a_write_timeout(client: Any) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        assert given_up.wait(LIMIT)

    given_up = threading.Event()
    with Server(script) as server:
        with pytest.raises(httpx.WriteTimeout):
            client.post(url(server), content=bytes(50_000_000), timeout=0.3)
        given_up.set()


@pytest.mark.parametrize(
    ('sent', 'cause', 'name'),
    [
        ('no', None, 'PoolTimeout'),
        ('no', dugong.ConnectionTimedOut(), 'ConnectTimeout'),
        ('partly', None, 'WriteTimeout'),
        ('yes', None, 'ReadTimeout'),
    ],
)
def test_each_timeout_has_its_exception(sent: Any, cause: Exception | None, name: str) -> None:
    error = RequestTimedOut('too late', sent=sent)
    error.__cause__ = cause
    assert type(transports.Transport()._mapped(error)) is getattr(httpx, name)


@each
@pytest.mark.parametrize('answer', [b'', b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n'])
def test_a_reset_is_a_read_error(kind: str, answer: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)
        peer.reset()

    with Server(script) as server, pytest.raises(httpx.ReadError, match='reset'):
        call_by(kind, 'POST', url(server), content=b'a')


@each
def test_a_reset_within_the_content_of_a_request_is_a_write_error(kind: str) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.reset()

    with Server(script) as server, pytest.raises(httpx.WriteError, match='reset'):
        call_by(kind, 'POST', url(server), content=bytes(20_000_000))


@each
def test_a_switch_of_protocols_is_a_response_without_content(kind: str) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n')
        peer.rest()

    with Server(script) as server:
        response = get_by(kind, url(server), headers={'Connection': 'upgrade', 'Upgrade': 'x'})
        assert (response.status_code, response.headers['Upgrade'], response.content) == (101, 'x', b'')


@each
@pytest.mark.parametrize(
    'answer',
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n',
        b'HTTP/1.1 2x0 OK\r\n\r\n',
    ],
)
def test_an_answer_that_is_cut_off_or_wrong_is_a_protocol_error(kind: str, answer: bytes) -> None:
    with Server(once(answer)) as server, pytest.raises(httpx.RemoteProtocolError):
        get_by(kind, url(server))


@each
@pytest.mark.parametrize('bad', ['example.org/', 'http://', 'http:///a', '//a/', 'ftp://a/'])
def test_a_bad_url_is_an_error_of_httpx(kind: str, bad: str) -> None:
    with pytest.raises(httpx.UnsupportedProtocol):
        get_by(kind, bad)


@pytest.mark.parametrize('fields', [{'X': 'a\nb'}, {'X Y': 'a'}])
def test_a_bad_field_is_an_error_of_httpx(client: Any, fields: dict[str, str]) -> None:
    with pytest.raises(httpx.LocalProtocolError):
        client.get('http://127.0.0.1:9/', headers=fields)


@each
@pytest.mark.parametrize('fields', [[('TE', 'trailers')], [('Host', 'a'), ('Host', 'b')]])
def test_fields_that_the_session_refuses_are_an_error_of_httpx(kind: str, fields: list[tuple[str, str]]) -> None:
    with Server(answer_all) as server, pytest.raises(httpx.LocalProtocolError, match=fields[0][0]):
        get_by(kind, url(server), headers=fields)


def test_content_of_another_length_is_an_error_of_httpx(client: Any) -> None:
    with Server(answer_all) as server:
        with pytest.raises(httpx.LocalProtocolError, match='1 of 5 bytes'):
            client.post(url(server), content=iter([b'a']), headers={'Content-Length': '5'})
        client.close()


def test_an_extension_that_is_not_supported_is_an_error(client: Any) -> None:
    with pytest.raises(ValueError, match='sni_hostname'):
        client.get('http://127.0.0.1:9/', extensions={'sni_hostname': 'a'})


@pytest.mark.parametrize('error', [KeyError('mine'), ValueError('mine')])
def test_an_exception_of_the_content_comes_through(client: Any, error: Exception) -> None:
    def content() -> Iterator[bytes]:
        yield b'a'
        raise error

    def script(peer: Peer) -> None:
        peer.rest()

    with Server(script) as server:
        with pytest.raises(type(error), match='mine') as caught:
            client.post(url(server), content=content())
        client.close()
    assert caught.value is error


# TLS and proxies


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / 'ca.pem'))
    return str(tmp_path / 'ca.pem')


def get_secure(server: Server, **settings: Any) -> Any:
    with httpx.Client(transport=transports.Transport(**settings)) as client:
        return client.get(f'https://localhost:{server.port}/a').text


def test_verify_says_what_is_trusted(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, ca: str) -> None:
    for verify in ca, client_tls, False:
        with Server(answer_all, tls=server_tls) as server:
            assert get_secure(server, verify=verify) == '/a'


def test_the_environment_says_what_is_trusted(
    server_tls: ssl.SSLContext, ca: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('SSL_CERT_FILE', ca)
    with Server(answer_all, tls=server_tls) as server:
        assert get_secure(server) == '/a'


def test_an_unknown_authority_is_a_connect_error(server_tls: ssl.SSLContext) -> None:
    server = Server(answer_all, tls=server_tls)
    with pytest.raises(httpx.ConnectError, match='certificate'):
        get_secure(server)
    server.close()


def test_a_client_certificate_is_shown(authority: trustme.CA, ca: str, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert('localhost').configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert('me').private_key_and_cert_chain_pem.write_to_path(str(tmp_path / 'me.pem'))
    with Server(answer_all, tls=context) as server:
        assert get_secure(server, verify=ca, cert=str(tmp_path / 'me.pem')) == '/a'


def test_a_proxy_gets_the_request() -> None:
    def script(peer: Peer) -> None:
        got = peer.request()
        peer.answer(f'{got.target} {got.values("Proxy-Authorization")}'.encode())

    with Server(script) as server:
        transport = transports.Transport(proxy=f'http://us%40er:word@127.0.0.1:{server.port}')
        with httpx.Client(transport=transport) as client:
            text = client.get('http://example.test/a').text
    assert text == "http://example.test/a ['Basic dXNAZXI6d29yZA==']"


def test_a_proxy_that_refuses_is_a_proxy_error() -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n')

    with Server(script) as server, httpx.Client(transport=transports.Transport(proxy=url(server))) as client:
        with pytest.raises(httpx.ProxyError) as caught:
            client.get('https://example.test/a')
        assert '407' in str(caught.value)


@pytest.mark.parametrize('proxy', ['socks5://u:secret@127.0.0.1:9', 'https://u:secret@127.0.0.1:9'])
def test_a_proxy_that_is_not_supported_is_an_error(proxy: str) -> None:
    with pytest.raises(ValueError, match='http proxies') as caught:
        transports.Transport(proxy=proxy)
    assert 'secret' not in str(caught.value)


# Lives


def test_nothing_is_left_open(origin: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        with httpx.Client(transport=transports.Transport()) as client:
            assert client.get(f'{origin}/bytes/7').is_success
            client.send(client.build_request('GET', f'{origin}/bytes/1000000'), stream=True)
        del client


def test_a_loop_that_ends_leaves_nothing_open(origin: str, run: Run) -> None:
    async def main() -> None:
        client = asynchronous()
        assert (await client.get(f'{origin}/bytes/7')).is_success
        await client.send(client.build_request('GET', f'{origin}/bytes/1000000'), stream=True)

    with warnings.catch_warnings():
        warnings.simplefilter('error')
        run(main)


def test_a_client_can_be_used_in_one_loop_after_another(origin: str, run: Run) -> None:
    client = asynchronous()

    async def main() -> None:
        assert (await client.get(f'{origin}/bytes/7')).is_success

    run(main)
    run(main)


@pytest.mark.parametrize('wrong', [{'connections': 0}, {'retries': -1}, {'depth': 'x'}, {'limits': 5}])
def test_a_wrong_setting_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        transports.Transport(**wrong)
