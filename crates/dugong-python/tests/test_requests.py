"""`dugong.requests`: requests over the connections of a session."""

from __future__ import annotations

import gzip
import io
import pickle
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme
from origins import running
from peers import LIMIT, Peer, Server, answer_all, silent

requests = pytest.importorskip('requests', reason='requests is not installed')
urllib3 = pytest.importorskip('urllib3')
adapters = pytest.importorskip('dugong.requests')


@pytest.fixture(scope='module')
def origin() -> Iterator[str]:
    with running() as port:
        yield f'http://127.0.0.1:{port}'


@pytest.fixture
def session() -> Iterator[Any]:
    with made() as session:
        yield session


def made(**settings: Any) -> Any:
    session = requests.Session()
    session.trust_env = False
    for scheme in 'http://', 'https://':
        session.mount(scheme, adapters.Adapter(**settings))
    return session


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


def once(answer: bytes) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)
        peer.end()

    return script


def test_a_response_has_what_the_server_sent(session: Any, origin: str) -> None:
    response = session.get(f'{origin}/bytes/1000')
    assert (response.status_code, response.reason, len(response.content)) == (200, 'OK', 1000)
    assert response.headers['content-LENGTH'] == '1000'
    assert response.url == f'{origin}/bytes/1000'
    assert not hasattr(response.raw, 'retries') or response.raw.isclosed()
    assert session.head(f'{origin}/bytes/1000').content == b''


def test_an_error_of_the_server_is_a_response(session: Any, origin: str) -> None:
    response = session.get(f'{origin}/no/such/thing')
    assert response.status_code == 404
    with pytest.raises(requests.HTTPError):
        response.raise_for_status()


def test_fields_and_content_arrive_as_requests_made_them(session: Any) -> None:
    with Server(echo) as server:
        text = session.post(url(server, '/a?b=c'), json={'k': 1}, headers={'X-Y': 'z'}).text
        session.close()
    head, _, body = text.partition('\r\n\r\n')
    assert head.startswith('POST /a?b=c HTTP/1.1\r\n')
    assert 'X-Y: z' in head
    assert 'Accept-Encoding: gzip, deflate' in head
    assert 'User-Agent: python-requests/' in head
    assert head.count('Content-Length') == 1
    assert body == '{"k": 1}'


@pytest.mark.parametrize(
    'content',
    [lambda: b'abc', lambda: 'abc', lambda: iter([b'a', b'bc']), lambda: io.BytesIO(b'abc'), lambda: [b'abc']],
)
def test_content_of_each_kind_is_sent(session: Any, content: Callable[[], Any]) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.request().body)

    with Server(script) as server:
        data = content()
        assert session.put(url(server), data=data if not isinstance(data, list) else iter(data)).content == b'abc'
        session.close()


def test_requests_decodes_content(session: Any) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        data = gzip.compress(b'much ' * 1000)
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n' % len(data) + data)
        peer.rest()

    with Server(script) as server:
        assert session.get(url(server)).content == b'much ' * 1000
        session.close()


def test_requests_keeps_cookies_and_follows_redirects(session: Any) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 302 Found\r\nLocation: /b\r\nSet-Cookie: a=1\r\nContent-Length: 3\r\n\r\nold')
        got = peer.request()
        peer.answer(f'{got.target} {got.values("Cookie")}'.encode())

    with Server(script) as server:
        response = session.get(url(server, '/a'))
        session.close()
    assert response.text == "/b ['a=1']"
    assert [old.status_code for old in response.history] == [302]


def test_content_can_be_streamed(session: Any, origin: str) -> None:
    with session.get(f'{origin}/bytes/3000000', stream=True) as response:
        sizes = [len(piece) for piece in response.iter_content(100_000)]
    assert sizes == [100_000] * 30


def test_the_raw_response_is_a_file(session: Any, origin: str) -> None:
    with session.get(f'{origin}/bytes/300', stream=True) as response:
        assert len(response.raw.read(100)) == 100
        assert len(response.raw.read()) == 200
        assert response.raw.read() == b''


def test_a_response_that_is_closed_early_holds_nothing_up(session: Any, origin: str) -> None:
    for _ in range(10):
        with session.get(f'{origin}/bytes/10000000', stream=True) as response:
            assert next(response.iter_content(10))
    assert session.get(f'{origin}/bytes/5').ok


def test_threads_share_few_connections(origin: str) -> None:
    with Server(*[answer_all] * 2) as server, made(connections=2) as session, ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda number: session.get(url(server, f'/{number}')).text, range(200))
        assert list(answers) == [f'/{number}' for number in range(200)]
        assert server.connections <= 2
        session.close()


def test_a_server_that_closes_without_a_word_is_not_noticed(origin: str) -> None:
    with (
        running('--close-after', '5', '--close-silently') as port,
        made() as session,
        ThreadPoolExecutor(16) as pool,
    ):
        answers = pool.map(lambda size: len(session.get(f'http://127.0.0.1:{port}/bytes/{size}').content), range(200))
        assert list(answers) == list(range(200))


def test_a_lost_post_is_not_repeated(session: Any) -> None:
    with Server(once(b'')) as server:
        with pytest.raises(requests.ConnectionError) as caught:
            session.post(url(server), data=b'x')
        assert server.connections == 1
    assert caught.value.request.method == 'POST'


def test_a_server_that_is_not_there_is_a_connection_error(session: Any, refused: tuple[str, int]) -> None:
    with pytest.raises(requests.ConnectionError, match='refused') as caught:
        session.get(f'http://127.0.0.1:{refused[1]}/')
    assert not isinstance(caught.value, requests.Timeout)


def test_a_connect_timeout_is_no_read_timeout(session: Any, full: tuple[str, int]) -> None:
    with pytest.raises(requests.ConnectTimeout):
        session.get(f'http://{full[0]}:{full[1]}/', timeout=(0.1, None))


def test_a_read_timeout_is_no_connect_timeout(session: Any) -> None:
    with Server(silent) as server:
        with pytest.raises(requests.ReadTimeout, match='Read timed out') as caught:
            session.get(url(server), timeout=(None, 0.1))
        assert isinstance(caught.value.args[0], urllib3.exceptions.ReadTimeoutError)
        session.close()
        assert server.connections == 1


def test_a_timeout_within_the_content_is_that_of_requests(session: Any) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc')
        peer.rest()

    with Server(script) as server, session.get(url(server), timeout=0.2, stream=True) as response:
        with pytest.raises(requests.ConnectionError, match=f'{url(server)}: Read timed out'):
            response.content  # noqa: B018
        session.close()


@pytest.mark.parametrize(
    'answer',
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n',
    ],
)
def test_content_that_is_cut_off_is_an_error(session: Any, answer: bytes) -> None:
    with Server(once(answer)) as server, pytest.raises(requests.exceptions.ChunkedEncodingError):
        session.get(url(server))


def test_an_invalid_answer_is_a_connection_error(session: Any) -> None:
    with Server(once(b'HTTP/1.1 2x0 OK\r\n\r\n')) as server, pytest.raises(requests.ConnectionError, match='2x0'):
        session.get(url(server))


@pytest.mark.parametrize(
    ('bad', 'name'),
    [
        ('example.org/', 'MissingSchema'),
        ('http://', 'InvalidURL'),
        ('http:///a', 'InvalidURL'),
        ('ftp://a/', 'InvalidSchema'),
    ],
)
def test_a_bad_url_is_an_error_of_requests(session: Any, bad: str, name: str) -> None:
    with pytest.raises(getattr(requests.exceptions, name)):
        session.get(bad)


def test_a_url_that_came_past_the_checks_of_requests_is_invalid() -> None:
    prepared = requests.Request('GET', 'http://a/').prepare()
    prepared.url = 'http:///a'
    with pytest.raises(requests.exceptions.InvalidURL):
        adapters.Adapter().send(prepared)


def test_a_fragment_and_credentials_stay_out_of_the_target(session: Any) -> None:
    with Server(echo) as server:
        text = session.get(f'http://me:p%40ss@127.0.0.1:{server.port}/a?b=c@d#e').text
        session.close()
    assert text.startswith('GET /a?b=c@d HTTP/1.1\r\n')
    assert 'Authorization: Basic bWU6cEBzcw==' in text


def test_lengths_that_contradict_each_other_are_an_invalid_header(session: Any) -> None:
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde'
    with Server(once(answer)) as server, pytest.raises(requests.exceptions.InvalidHeader):
        session.get(url(server))


def test_a_repeat_that_was_not_sent_does_not_hide_that_the_request_was(session: Any) -> None:
    def serve_once() -> None:
        sock = listener.accept()[0]
        with listener, sock:
            assert sock.recv(1)

    listener = socket.create_server(('127.0.0.1', 0))
    address = f'http://127.0.0.1:{listener.getsockname()[1]}/'
    server = threading.Thread(target=serve_once)
    server.start()
    with pytest.raises(requests.ConnectionError, match='sent: yes') as caught:
        session.get(address)
    server.join()
    assert caught.value.__cause__.sent == 'yes'


def test_a_bad_field_is_an_error_of_requests(session: Any) -> None:
    with pytest.raises(requests.exceptions.InvalidHeader):
        session.get('http://127.0.0.1:9/', headers={'X': 'snow \u2603'})


def test_a_field_that_the_session_refuses_is_an_invalid_header(session: Any) -> None:
    with Server(answer_all) as server:
        with pytest.raises(requests.exceptions.InvalidHeader):
            session.get(url(server), headers={'TE': 'trailers'})
        session.close()


def test_content_of_another_length_is_an_invalid_header(session: Any) -> None:
    with Server(answer_all) as server:
        with pytest.raises(requests.exceptions.InvalidHeader, match='1 of 5 bytes'):
            session.post(url(server), data=iter([b'a']), headers={'Content-Length': '5'})
        session.close()


class Texts:
    def __iter__(self) -> Iterator[str | bytes]:
        return iter(['\xe9', b'a', 'b'])


@pytest.mark.parametrize('content', [lambda: iter(Texts()), Texts])
def test_pieces_of_text_are_sent_in_utf_8(session: Any, content: Callable[[], Any]) -> None:
    with Server(echo) as server:
        sent = session.post(url(server), data=content()).content
        session.close()
    assert sent.endswith(b'\r\n\r\n2\r\n\xc3\xa9\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n')


def test_a_text_file_is_sent_in_utf_8(session: Any, tmp_path: Path) -> None:
    path = tmp_path / 'text'
    path.write_text('caf\xe9 \u2603' * 50_000, 'utf-8')
    with Server(echo) as server, path.open(encoding='utf-8') as file:
        with pytest.warns(requests.exceptions.FileModeWarning):
            sent = session.post(url(server), data=file).content
        session.close()
    assert sent.endswith(b'\r\n\r\n' + path.read_bytes())


def test_a_text_file_that_becomes_longer_in_utf_8_is_not_cut(session: Any) -> None:
    with Server(answer_all) as server:
        with pytest.raises(requests.exceptions.InvalidHeader, match='bytes'):
            # requests counts its characters.
            session.post(url(server), data=io.StringIO('\xe9'), headers={'Content-Length': '1'})
        session.close()


@pytest.mark.parametrize('method', ['', 'GE T', 'GET\r\nX: y', 'G\xc9T', 'CONNECT'])
def test_a_bad_method_is_a_value_error_as_with_requests_itself(session: Any, method: str) -> None:
    with pytest.raises(ValueError, match=r'method|CONNECT') as caught:
        session.request(method, 'http://127.0.0.1:9/')
    assert not isinstance(caught.value, requests.RequestException)


@pytest.mark.parametrize('given', [{'verify': __file__}, {'cert': __file__}, {'cert': (__file__, __file__, 'more')}])
def test_files_without_certificates_are_an_ssl_error(session: Any, given: dict[str, Any]) -> None:
    with pytest.raises(requests.exceptions.SSLError, match='PEM'):
        session.get('https://127.0.0.1:9/', **given)


@pytest.mark.parametrize('proxy', ['http://a:b', 'http://me:secret@127.0.0.1:99999'])
def test_a_proxy_with_a_bad_port_is_an_invalid_url(session: Any, proxy: str) -> None:
    with pytest.raises(requests.exceptions.InvalidProxyURL) as caught:
        session.get('http://127.0.0.1:9/', proxies={'http': proxy})
    assert 'secret' not in str(caught.value)


def test_a_switch_of_protocols_is_a_response_without_content(session: Any) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n')
        peer.rest()

    with Server(script) as server:
        response = session.get(url(server), headers={'Connection': 'upgrade', 'Upgrade': 'x'}, timeout=LIMIT)
        assert (response.status_code, response.headers['Upgrade'], response.content) == (101, 'x', b'')
        session.close()


def test_a_lost_get_is_for_the_program_to_repeat(session: Any) -> None:
    with Server(once(b''), once(b'')) as server:
        with pytest.raises(requests.ConnectionError, match=r'attempts: 1\)') as caught:
            session.get(url(server))
        assert server.connections == caught.value.__cause__.attempts == 1


def test_an_exception_of_the_content_comes_through(session: Any) -> None:
    def content() -> Iterator[bytes]:
        yield b'a'
        raise KeyError('mine')

    def script(peer: Peer) -> None:
        peer.rest()

    with Server(script) as server:
        with pytest.raises(KeyError, match='mine'):
            session.post(url(server), data=content())
        session.close()


def test_a_file_whose_seek_returns_nothing_is_sent(session: Any) -> None:
    class Odd:
        def __init__(self, data: bytes) -> None:
            self._file = io.BytesIO(data)
            self.read, self.tell = self._file.read, self._file.tell

        def __len__(self) -> int:
            return len(self._file.getvalue())

        def seek(self, offset: int, whence: int = 0) -> None:
            self._file.seek(offset, whence)

    def script(peer: Peer) -> None:
        peer.answer(peer.request().body)

    with Server(script) as server:
        data = Odd(b'no abc')
        data.seek(3)
        assert session.put(url(server), data=data).content == b'abc'
        session.close()


def test_a_bad_timeout_is_a_value_error(session: Any) -> None:
    with pytest.raises(ValueError, match='must be an int, float or None'):
        session.get('http://127.0.0.1:9/', timeout='foo')
    with pytest.raises(ValueError, match='timeout'):
        session.get('http://127.0.0.1:9/', timeout=(1, 2, 3))
    with pytest.raises(ValueError, match='timeout'):
        session.get('http://127.0.0.1:9/', timeout=0)


# TLS and proxies


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / 'ca.pem'))
    return str(tmp_path / 'ca.pem')


def secure(server: Server) -> str:
    return f'https://localhost:{server.port}/a'


@pytest.mark.parametrize('verify', [True, False])
def test_verify_says_what_is_trusted(session: Any, server_tls: ssl.SSLContext, ca: str, verify: bool) -> None:
    with Server(answer_all, tls=server_tls) as server:
        assert session.get(secure(server), verify=ca if verify else False).text == '/a'
        session.close()


def test_an_unknown_authority_is_an_ssl_error(session: Any, server_tls: ssl.SSLContext) -> None:
    def script(peer: Peer) -> None:
        raise AssertionError('the handshake must fail')

    server = Server(script, tls=server_tls)
    with pytest.raises(requests.exceptions.SSLError):
        session.get(secure(server))
    server.close()


def test_a_client_certificate_is_shown(session: Any, authority: trustme.CA, ca: str, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert('localhost').configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert('me').private_key_and_cert_chain_pem.write_to_path(str(tmp_path / 'me.pem'))
    with Server(answer_all, tls=context) as server:
        assert session.get(secure(server), verify=ca, cert=str(tmp_path / 'me.pem')).text == '/a'
        session.close()


def test_a_missing_file_is_an_os_error(session: Any, tmp_path: Path) -> None:
    for given in {'verify': str(tmp_path / 'none')}, {'cert': str(tmp_path / 'none')}:
        with pytest.raises(OSError, match='none'):
            session.get('https://localhost:9/', **given)


def test_a_proxy_gets_the_request(session: Any) -> None:
    def script(peer: Peer) -> None:
        got = peer.request()
        peer.answer(f'{got.target} {got.values("Proxy-Authorization")}'.encode())

    with Server(script) as server:
        proxies = {'http': f'http://user:word@127.0.0.1:{server.port}'}
        assert session.get('http://example.test/a', proxies=proxies).text == (
            "http://example.test/a ['Basic dXNlcjp3b3Jk']"
        )
        session.close()


def test_a_proxy_that_refuses_is_a_proxy_error(session: Any) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b'HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n')

    with Server(script) as server, pytest.raises(requests.exceptions.ProxyError, match='407'):
        session.get('https://example.test/a', proxies={'https': url(server)})


def test_a_proxy_that_is_not_there_is_a_proxy_error(session: Any, refused: tuple[str, int]) -> None:
    for scheme in 'http', 'https':
        with pytest.raises(requests.exceptions.ProxyError, match='refused'):
            session.get(f'{scheme}://example.test/a', proxies={scheme: f'http://127.0.0.1:{refused[1]}'})


@pytest.mark.parametrize('proxy', ['http://:8080', 'http:/example.test:3128', 'http:///example.test:8080'])
def test_a_proxy_without_a_host_is_an_error(session: Any, proxy: str) -> None:
    with pytest.raises(requests.exceptions.InvalidProxyURL):
        session.get('http://example.test/', proxies={'http': proxy})


@pytest.mark.parametrize('proxy', ['socks5://u:secret@127.0.0.1:9', 'https://u:secret@127.0.0.1:9'])
def test_a_proxy_that_is_not_supported_is_an_error(session: Any, proxy: str) -> None:
    with pytest.raises(requests.exceptions.InvalidProxyURL) as caught:
        session.get('http://example.test/', proxies={'http': proxy})
    assert 'secret' not in str(caught.value)


# Lives


def test_a_session_with_an_adapter_can_be_pickled(origin: str) -> None:
    with pickle.loads(pickle.dumps(made(connections=2))) as session:
        assert session.get(f'{origin}/bytes/7').content


def test_a_closed_session_can_be_used_again(session: Any, origin: str) -> None:
    assert session.get(f'{origin}/bytes/7').ok
    session.close()
    assert session.get(f'{origin}/bytes/7').ok


def test_a_closed_session_does_not_take_a_streamed_response_along(origin: str) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc')
        assert is_closed.wait(LIMIT)
        peer.send(b'def')
        # The connection ends when the response is read, although the test keeps that.
        assert peer.rest() == b''

    is_closed = threading.Event()
    with Server(script) as server:
        with made() as session:
            response = session.get(url(server), stream=True)
        is_closed.set()
        assert response.content == b'abcdef'
        server.join()


def test_differing_timeouts_keep_few_sessions(session: Any, origin: str) -> None:
    for number in range(40):
        assert session.get(f'{origin}/bytes/7', timeout=5 + number / 10).ok
    assert len(session.get_adapter(origin)._pools._pools) <= 16


def test_nothing_is_left_open(origin: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        with made() as session:
            assert session.get(f'{origin}/bytes/7').ok
            session.get(f'{origin}/bytes/1000000', stream=True)
        del session


@pytest.mark.parametrize('wrong', [{'connections': 0}, {'retries': -1}, {'depth': 'x'}])
def test_a_wrong_setting_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        adapters.Adapter(**wrong)
