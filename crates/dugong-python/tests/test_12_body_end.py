from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable

import pytest
from peers import Peer, Script, Serve, says

import dugong
from dugong import ConnectionClosed, InvalidResponse, StateError, UnsupportedResponse

LIMIT = 10
NEXT = b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext'
CHUNKS = b'3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n'


def by_read(conn: dugong.HTTPConnection) -> bytes:
    return b''.join(iter(lambda: conn.read(1000), b''))


def by_read_of_one(conn: dugong.HTTPConnection) -> bytes:
    return b''.join(iter(lambda: conn.read(1), b''))


def by_readinto(conn: dugong.HTTPConnection) -> bytes:
    buf = bytearray(1000)
    return b''.join(iter(lambda: buf[: conn.readinto(buf)], b''))


def by_readall(conn: dugong.HTTPConnection) -> bytes:
    return conn.readall()


def by_discard(conn: dugong.HTTPConnection) -> bytes:
    conn.discard()
    return b'hello'


Reader = Callable[[dugong.HTTPConnection], bytes]
READERS: list[Reader] = [by_read, by_read_of_one, by_readinto, by_readall, by_discard]
every_reader = pytest.mark.parametrize('reader', READERS)


def ends(answer: bytes) -> Script:
    """Send this answer, then end the connection in order."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)

    return script


def head(*lines: str, first: str = 'HTTP/1.1 200 OK') -> bytes:
    return '\r\n'.join([first, *lines, '', '']).encode('latin-1')


def warnings(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    return [(name, level) for name, level, _ in caplog.record_tuples if level > logging.DEBUG]


@pytest.mark.parametrize(
    ('method', 'status'),
    [
        ('HEAD', '200 OK'),
        ('HEAD', '404 Not Found'),
        ('GET', '204 No Content'),
        ('PUT', '204 No Content'),
        ('GET', '304 Not Modified'),
        ('HEAD', '304 Not Modified'),
    ],
)
@pytest.mark.parametrize(
    'lines',
    [
        (),
        ('Content-Length: 5',),
        ('Transfer-Encoding: chunked',),
        ('Content-Length: 5', 'Transfer-Encoding: chunked'),
        ('Content-Length: 5', 'Content-Length: 6'),
        ('Content-Length: x',),
        ('Transfer-Encoding: gzip',),
    ],
)
def test_12_1_first_no_body(serve: Serve, method: str, status: str, lines: tuple[str, ...]) -> None:
    conn = serve(says(head(*lines, first=f'HTTP/1.1 {status}'), NEXT))
    conn.send_request(method, '/')
    conn.send_request('GET', '/next')
    assert conn.read_response().length == 0
    assert conn.readall() == b''
    assert conn.read_response().path == '/next'
    assert conn.readall() == b'next'


def test_12_1_no_body_at_the_end_of_the_connection(serve: Serve) -> None:
    conn = serve(says(head('Connection: close', first='HTTP/1.1 204 No Content')))
    conn.send_request('GET', '/')
    assert conn.read_response().length == 0
    assert conn.readall() == b''


@pytest.mark.parametrize('name', ['Transfer-Encoding', 'transfer-encoding', 'TRANSFER-ENCODING'])
@pytest.mark.parametrize('value', ['chunked', 'Chunked', 'CHUNKED', ' chunked \t'])
def test_12_1_second_chunked(serve: Serve, name: str, value: str) -> None:
    conn = serve(says(*[head(f'{name}:{value}') + CHUNKS] * len(READERS)))
    for reader in READERS:
        conn.send_request('GET', '/')
        assert conn.read_response().length is None
        with pytest.raises(StateError):
            conn.read_response()
        assert reader(conn) == b'hello'
        assert not conn.response_pending()


@every_reader
def test_12_1_third_content_length(serve: Serve, reader: Reader) -> None:
    conn = serve(says(head('content-LENGTH: 5') + b'hello', NEXT))
    conn.send_request('GET', '/')
    conn.send_request('GET', '/next')
    assert conn.read_response().length == 5
    assert reader(conn) == b'hello'
    assert conn.read_response().path == '/next'
    assert conn.readall() == b'next'


@every_reader
def test_12_1_last_connection_close(serve: Serve, reader: Reader) -> None:
    conn = serve(ends(head('Connection: close') + b'hello'))
    conn.send_request('GET', '/')
    assert conn.read_response().length is None
    assert reader(conn) == b'hello'
    assert not conn.response_pending()


@every_reader
@pytest.mark.parametrize(
    'answer',
    [
        head('Connection: close', 'Transfer-Encoding: chunked') + CHUNKS,
        head('Connection: close', 'Content-Length: 5') + b'hello',
        head('Connection: close', 'Content-Length: 0'),
    ],
)
def test_12_1_connection_close_comes_last(serve: Serve, reader: Reader, answer: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)
        assert read.wait(LIMIT)

    read = threading.Event()
    conn = serve(script)
    conn.send_request('GET', '/')
    resp = conn.read_response()
    if resp.length != 0:
        assert reader(conn) == b'hello'
    assert conn.read(10) == b''
    read.set()


@pytest.mark.parametrize(
    'lines', list(itertools.permutations(['Transfer-Encoding: chunked', 'Content-Length: 20', 'X: y'])), ids=str
)
def test_12_1_transfer_encoding_and_content_length(serve: Serve, lines: tuple[str, ...]) -> None:
    assert len(CHUNKS) == 20
    conn = serve(says(head(*lines) + CHUNKS))
    conn.send_request('GET', '/')
    assert conn.read_response().length is None
    for reader in READERS:
        with pytest.raises(InvalidResponse):
            reader(conn)


@pytest.mark.parametrize(
    'lines',
    [
        ['Transfer-Encoding: gzip'],
        ['Transfer-Encoding: gzip, chunked'],
        ['Transfer-Encoding: chunked, gzip'],
        ['Transfer-Encoding: chunked, chunked'],
        ['Transfer-Encoding: identity, chunked'],
        ['Transfer-Encoding: gzip', 'Transfer-Encoding: chunked'],
        ['Transfer-Encoding: chunked', 'Transfer-Encoding: gzip'],
        ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
        ['Transfer-Encoding: chunkedx'],
        ['Transfer-Encoding: x-chunked'],
        ['Transfer-Encoding: chunked x'],
        ['Transfer-Encoding: "chunked"'],
        ['Transfer-Encoding: =?utf-8?q?chunked?='],
        ['Transfer-Encoding: gzip', 'Connection: close'],
    ],
    ids=str,
)
def test_12_2_other_transfer_encodings(serve: Serve, lines: list[str], caplog: pytest.LogCaptureFixture) -> None:
    conn = serve(ends(head(*lines) + CHUNKS))
    conn.send_request('GET', '/')
    resp = conn.read_response()
    assert (resp.status, resp.length) == (200, None)
    with pytest.raises(InvalidResponse):
        conn.readall()
    assert warnings(caplog) == [('dugong', logging.WARNING)]


@pytest.mark.parametrize('value', ['identity', 'Identity', 'IDENTITY'])
def test_12_2_a_lone_identity_is_excepted(serve: Serve, value: str, caplog: pytest.LogCaptureFixture) -> None:
    conn = serve(ends(head(f'Transfer-Encoding: {value}', 'Connection: close') + b'hello'))
    conn.send_request('GET', '/')
    assert conn.read_response().length is None
    assert conn.readall() == b'hello'
    assert warnings(caplog) == []


@pytest.mark.parametrize('coding', ['chunked', 'gzip', 'gzip, chunked'])
@pytest.mark.parametrize('connection', ['close', 'keep-alive', 'other'])
def test_12_2_none_in_http_1_0(serve: Serve, coding: str, connection: str, caplog: pytest.LogCaptureFixture) -> None:
    lines = f'Transfer-Encoding: {coding}', f'Connection: {connection}'
    conn = serve(ends(head(*lines, first='HTTP/1.0 200 OK') + CHUNKS))
    conn.send_request('GET', '/')
    assert conn.read_response().length is None
    with pytest.raises(InvalidResponse):
        conn.readall()
    assert warnings(caplog) == [('dugong', logging.WARNING)]


@pytest.mark.parametrize(
    'values',
    [
        ['-3'],
        ['+3'],
        ['0_3'],
        ['3_0'],
        ['0x3'],
        ['3.0'],
        ['3e0'],
        ['abc'],
        ['3 4'],
        ['3;'],
        ['3 bytes'],
        [''],
        ['\xb3'],
        ['\xa03'],
        ['"3"'],
        ['=?utf-8?q?3?='],
        ['3', '4'],
        ['4', '3'],
        ['3', '3', '4'],
        ['3, 4'],
        ['3,3,4'],
        ['3', 'x'],
        ['3', '-3'],
        ['3', ''],
    ],
    ids=str,
)
@pytest.mark.parametrize('more', [(), ('Connection: close',)])
def test_12_3_unusable_lengths(serve: Serve, values: list[str], more: tuple[str, ...]) -> None:
    conn = serve(ends(head(*(f'Content-Length: {value}' for value in values), *more) + b'hello'))
    conn.send_request('GET', '/')
    resp = conn.read_response()
    assert (resp.status, resp.length) == (200, None)
    with pytest.raises(InvalidResponse):
        conn.readall()


@pytest.mark.parametrize('value', ['99999999999999999999', '340282366920938463463374607431768211461', '9' * 5000])
@every_reader
def test_12_3_a_length_beyond_all_measure_never_ends_well(serve: Serve, reader: Reader, value: str) -> None:
    conn = serve(ends(head(f'Content-Length: {value}') + b'hello'))
    conn.send_request('GET', '/')
    conn.read_response()
    with pytest.raises((InvalidResponse, ConnectionClosed)):
        reader(conn)


@pytest.mark.parametrize('values', [['5', '5'], ['5', '5', '5'], ['5, 5'], ['5,5'], ['5', '5 , 5']], ids=str)
def test_12_3_equal_repetitions_are_fine(serve: Serve, values: list[str]) -> None:
    conn = serve(says(head(*(f'Content-Length: {value}' for value in values)) + b'hello', NEXT))
    conn.send_request('GET', '/')
    conn.send_request('GET', '/')
    assert conn.read_response().length == 5
    assert conn.readall() == b'hello'
    conn.read_response()
    assert conn.readall() == b'next'


@pytest.mark.parametrize('value', ['05', '0000000000000000000000000000000005'])
def test_12_3_just_decimal_digits(serve: Serve, value: str) -> None:
    conn = serve(says(head(f'Content-Length: {value}') + b'hello'))
    conn.send_request('GET', '/')
    assert conn.read_response().length == 5
    assert conn.readall() == b'hello'


@pytest.mark.parametrize(
    'lines',
    [
        ['Connection: close'],
        ['connection: CLOSE'],
        ['Connection: Close'],
        ['Connection: foo, close'],
        ['Connection: close, foo'],
        ['Connection: foo,close,bar'],
        ['Connection: foo ,\tclose\t, bar'],
        ['Connection: ,close,'],
        ['Connection: keep-alive, close'],
        ['Connection: foo', 'Connection: close'],
        ['Connection: close', 'Connection: foo'],
        ['Connection: foo', 'X: y', 'Connection: bar, close'],
    ],
    ids=str,
)
@pytest.mark.parametrize('version', ['1.0', '1.1'])
def test_12_4_close_may_be_any_of_the_words(serve: Serve, lines: list[str], version: str) -> None:
    conn = serve(ends(head(*lines, first=f'HTTP/{version} 200 OK') + b'hello'))
    conn.send_request('GET', '/')
    conn.send_request('GET', '/lost')
    assert conn.read_response().length is None
    assert conn.readall() == b'hello'
    with pytest.raises(ConnectionClosed):
        conn.read_response()


@pytest.mark.parametrize(
    'value', ['closed', 'not-close', 'close-not', 'foo close', '"close"', 'foo; close', 'keep-alive', 'clo, se', '']
)
def test_12_4_other_words_are_not_close(serve: Serve, value: str) -> None:
    conn = serve(
        says(
            head(f'Connection: {value}', 'Content-Length: 5') + b'hello',
            head(f'Connection: {value}'),
        )
    )
    conn.send_request('GET', '/')
    conn.read_response()
    assert conn.readall() == b'hello'
    conn.send_request('GET', '/')
    conn.read_response()
    with pytest.raises(UnsupportedResponse):
        conn.readall()


@pytest.mark.parametrize('lines', [[], ['Connection: foo'], ['Keep-Alive: timeout=5'], ['Connection: keep alive']])
def test_12_4_http_1_0_counts_as_close(serve: Serve, lines: list[str]) -> None:
    conn = serve(ends(head(*lines, first='HTTP/1.0 200 OK') + b'hello'))
    conn.send_request('GET', '/')
    assert conn.read_response().length is None
    assert conn.readall() == b'hello'


def test_12_4_http_1_0_is_closed_after_a_length_too(serve: Serve) -> None:
    conn = serve(ends(head('Content-Length: 5', first='HTTP/1.0 200 OK') + b'hello'))
    conn.send_request('GET', '/')
    conn.send_request('GET', '/lost')
    assert conn.read_response().length == 5
    assert conn.readall() == b'hello'
    with pytest.raises(ConnectionClosed):
        conn.read_response()


@pytest.mark.parametrize('value', ['keep-alive', 'Keep-Alive', 'foo, keep-alive'])
def test_12_4_http_1_0_with_keep_alive(serve: Serve, value: str) -> None:
    answer = head(f'Connection: {value}', 'Content-Length: 5', first='HTTP/1.0 200 OK') + b'hello'
    conn = serve(says(answer, answer, NEXT))
    for _ in range(2):
        conn.send_request('GET', '/')
        conn.read_response()
        assert conn.readall() == b'hello'
    conn.send_request('GET', '/')
    conn.read_response()
    assert conn.readall() == b'next'


@pytest.mark.parametrize('lines', [[], ['Connection: keep-alive'], ['Connection: foo'], ['Content-Type: text/html']])
@every_reader
def test_12_5_no_length_and_no_close(serve: Serve, reader: Reader, lines: list[str]) -> None:
    conn = serve(ends(head(*lines) + b'hello'))
    conn.send_request('GET', '/')
    resp = conn.read_response()
    assert (resp.status, resp.length, len(resp.headers)) == (200, None, len(lines))
    with pytest.raises(UnsupportedResponse):
        reader(conn)


def test_12_5_a_missing_length_is_not_tolerated_by_default() -> None:
    assert dugong.HTTPConnection('localhost').tolerate_missing_length is False


def test_12_5_the_bytes_can_be_had(serve: Serve) -> None:
    conn = serve(ends(head() + b'hello'))
    conn.send_request('GET', '/')
    conn.read_response()
    with pytest.raises(UnsupportedResponse):
        conn.readall()
    assert conn.read_raw(3) == b'hel'
    assert conn.read_raw(100) == b'lo'
    assert conn.read_raw(100) == b''


@pytest.mark.parametrize('lines', [[], ['Connection: keep-alive'], ['Connection: foo', 'Connection: bar']])
@every_reader
def test_12_5_missing_length_tolerated(
    serve: Serve, reader: Reader, lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    conn = serve(ends(head('Content-Type: text/plain', *lines) + b'hello'))
    conn.tolerate_missing_length = True
    conn.send_request('GET', '/')
    conn.send_request('GET', '/lost')
    resp = conn.read_response()
    assert resp.length is None
    assert resp.headers['Connection'] == 'close'
    assert resp.headers.get_all('connection') == ['close']
    assert resp.headers['Content-Type'] == 'text/plain'
    assert reader(conn) == b'hello'
    assert conn.read(10) == b''
    assert warnings(caplog) == [('dugong', logging.WARNING)]
    with pytest.raises(ConnectionClosed):
        conn.read_response()


@pytest.mark.parametrize(
    ('answer', 'connection'),
    [
        (head('Content-Length: 5') + b'hello', None),
        (head('Content-Length: 5', 'Connection: keep-alive') + b'hello', 'keep-alive'),
        (head('Transfer-Encoding: chunked') + CHUNKS, None),
        (head('Connection: foo, close') + b'hello', 'foo, close'),
    ],
)
def test_12_5_other_responses_are_as_always(
    serve: Serve, answer: bytes, connection: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    conn = serve(ends(answer))
    conn.tolerate_missing_length = True
    conn.send_request('GET', '/')
    assert conn.read_response().headers['Connection'] == connection
    assert conn.readall() == b'hello'
    assert warnings(caplog) == []


@pytest.mark.parametrize('status', ['204 No Content', '304 Not Modified'])
def test_12_5_a_response_without_body_lacks_no_length(
    serve: Serve, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    conn = serve(says(head(first=f'HTTP/1.1 {status}'), NEXT))
    conn.tolerate_missing_length = True
    conn.send_request('GET', '/')
    assert conn.read_response().headers['Connection'] is None
    conn.send_request('GET', '/')
    conn.read_response()
    assert conn.readall() == b'next'
    assert warnings(caplog) == []


def test_12_5_other_errors_are_not_tolerated(serve: Serve) -> None:
    conn = serve(ends(head('Content-Length: -5') + b'hello'))
    conn.tolerate_missing_length = True
    conn.send_request('GET', '/')
    conn.read_response()
    with pytest.raises(InvalidResponse):
        conn.readall()


@pytest.mark.parametrize(
    ('lines', 'error'),
    [
        (['Transfer-Encoding: gzip'], InvalidResponse),
        (['Content-Length: x'], InvalidResponse),
        (['Transfer-Encoding: chunked', 'Content-Length: 5'], InvalidResponse),
        (['Content-Length: 5', 'Content-Length: 6'], InvalidResponse),
        ([], UnsupportedResponse),
    ],
    ids=str,
)
def test_12_6_reading_raises_again_and_again(serve: Serve, lines: list[str], error: type[Exception]) -> None:
    conn = serve(says(head('A: b', *lines) + CHUNKS, NEXT), says(NEXT))
    conn.send_request('GET', '/')
    conn.send_request('GET', '/')
    resp = conn.read_response()
    assert (resp.status, resp.reason, resp.headers['A']) == (200, 'OK', 'b')
    for reader in READERS * 2:
        with pytest.raises(error):
            reader(conn)
        with pytest.raises(StateError):
            conn.read_response()
    conn.reset()
    conn.send_request('GET', '/')
    conn.read_response()
    assert conn.readall() == b'next'


@pytest.mark.parametrize('reader', READERS[:-1])
@pytest.mark.parametrize(
    ('size', 'number'),
    [
        ('5', 5),
        ('05', 5),
        ('0000000000005', 5),
        ('a', 10),
        ('A', 10),
        ('1f', 31),
        ('1F', 31),
        ('5;ext', 5),
        ('5;a=b', 5),
        ('5;a=b;c', 5),
        ('5;a="b;c"', 5),
        ('5;a="b\\"c"', 5),
        ('5;' + 'a' * 1000, 5),
        ('5 ', 5),
        ('5\t', 5),
        ('5' + 16 * ' ', 5),
        ('5 ;ext', 5),
    ],
)
def test_12_7_sizes_are_hexadecimal_and_extensions_are_ignored(
    serve: Serve, reader: Reader, size: str, number: int
) -> None:
    data = bytes(range(65, 65 + number))
    chunk = size.encode() + b'\r\n' + data + b'\r\n'
    conn = serve(says(head('Transfer-Encoding: chunked') + chunk + chunk + b'0;last\r\n\r\n', NEXT))
    conn.send_request('GET', '/')
    conn.send_request('GET', '/')
    assert conn.read_response().length is None
    assert reader(conn) == data + data
    conn.read_response()
    assert conn.readall() == b'next'


@every_reader
def test_12_7_chunks_may_come_in_pieces(serve: Serve, reader: Reader) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        for byte in head('Transfer-Encoding: chunked') + CHUNKS[:-2] + b'A: b\r\n\r\n':
            peer.send(bytes([byte]))
        peer.rest()

    conn = serve(script)
    conn.send_request('GET', '/')
    resp = conn.read_response()
    assert reader(conn) == b'hello'
    assert resp.trailers['A'] == 'b'


def test_12_7_chunks_of_all_sizes(serve: Serve) -> None:
    sizes = [1, 2, 3, 15, 16, 17, 255, 4096, 65535, 65536, 65537, 300000, 1]
    data = bytes(itertools.islice(itertools.cycle(range(251)), sum(sizes)))
    ends_ = list(itertools.accumulate(sizes, initial=0))
    parts = [data[start:end] for start, end in itertools.pairwise(ends_)]
    wire = b''.join(b'%x\r\n%b\r\n' % (len(part), part) for part in parts) + b'0\r\n\r\n'
    conn = serve(says(head('Transfer-Encoding: chunked') + wire))
    conn.send_request('GET', '/')
    conn.read_response()
    assert conn.readall() == data


@every_reader
def test_12_7_no_chunk_but_the_last(serve: Serve, reader: Reader) -> None:
    conn = serve(says(head('Transfer-Encoding: chunked') + b'0\r\n\r\n', NEXT))
    conn.send_request('GET', '/')
    conn.send_request('GET', '/')
    assert conn.read_response().length is None
    assert conn.response_pending()
    with pytest.raises(StateError):
        conn.read_response()
    assert reader(conn) == (b'hello' if reader is by_discard else b'')
    conn.read_response()
    assert conn.readall() == b'next'


@every_reader
def test_12_7_trailers_are_kept_apart(serve: Serve, reader: Reader) -> None:
    trailers = b'X-Sum: 1\r\nA:  b c \r\nx-sum: 2\r\nContent-Length: 1\r\n'
    conn = serve(says(head('X-Sum: 0', 'Transfer-Encoding: chunked') + CHUNKS[:-2] + trailers + b'\r\n', NEXT))
    conn.send_request('GET', '/')
    conn.send_request('GET', '/')
    resp = conn.read_response()
    assert resp.trailers.items() == []
    assert reader(conn) == b'hello'
    assert resp.trailers.items() == [('X-Sum', '1'), ('A', 'b c'), ('x-sum', '2'), ('Content-Length', '1')]
    assert resp.trailers.get_all('X-SUM') == ['1', '2']
    assert resp.headers.items() == [('X-Sum', '0'), ('Transfer-Encoding', 'chunked')]
    other = conn.read_response()
    assert conn.readall() == b'next'
    assert other.trailers.items() == []


@pytest.mark.parametrize('trailer', [b'NoColon', b'A : b', b'A: b\rc', b'A: b\nc: d', b'A: \x00'])
def test_12_7_bad_trailers(serve: Serve, trailer: bytes) -> None:
    conn = serve(says(head('Transfer-Encoding: chunked') + CHUNKS[:-2] + trailer + b'\r\n\r\n'))
    conn.send_request('GET', '/')
    conn.read_response()
    with pytest.raises(InvalidResponse):
        conn.readall()


@pytest.mark.parametrize(
    'size',
    [
        b'',
        b'+5',
        b'-5',
        b'-0',
        b'0x5',
        b'0X5',
        b'5_0',
        b'_5',
        b' 5',
        b'\t5',
        b'5 0',
        b'5 \t5',
        b'5' + 17 * b' ',
        b' ',
        b'g',
        b'5h',
        b'5.',
        b'5,5',
        b'\xb5',
        b'\xa05',
        b';ext',
        b'hello',
        b'5\x00',
        b'5\r',
        b'ffffffffffffffff5',
        b'10000000000000005',
        b'100000000000000000000000000000005',
    ],
)
@pytest.mark.parametrize('before', [b'', b'2\r\nab\r\n'])
def test_12_7_other_sizes(serve: Serve, size: bytes, before: bytes) -> None:
    script = says(head('Transfer-Encoding: chunked') + before + size + b'\r\nhello\r\n0\r\n\r\n')
    conn = serve(*[script] * len(READERS))
    for reader in READERS:
        conn.send_request('GET', '/')
        conn.read_response()
        with pytest.raises(InvalidResponse):
            reader(conn)
        conn.reset()


@pytest.mark.parametrize(
    'chunks',
    [
        b'5\nhello\r\n0\r\n\r\n',
        b'5\rhello\r\n0\r\n\r\n',
        b'5\r\nhello\n0\r\n\r\n',
        b'5\r\nhello\r0\r\n\r\n',
        b'5\r\nhello0\r\n\r\n',
        b'5\r\nhelloX\r\n0\r\n\r\n',
        b'5\r\nhello world\r\n0\r\n\r\n',
        b'5\r\nhello\r\r\n0\r\n\r\n',
        b'5\r\nhelloX: y\r\n\r\n0\r\n\r\n',
        b'5\r\nhello\r\n\r\n0\r\n\r\n',
        b'5\r\nhello\r\n0\n\r\n',
        b'5\r\nhello\r\n0\r\n\n',
        b'5\r\nhello\r\n0\r\n\rX',
    ],
)
def test_12_7_data_not_followed_by_crlf(serve: Serve, chunks: bytes) -> None:
    conn = serve(*[says(head('Transfer-Encoding: chunked') + chunks)] * len(READERS))
    for reader in READERS:
        conn.send_request('GET', '/')
        conn.read_response()
        with pytest.raises(InvalidResponse):
            reader(conn)
        conn.reset()


@every_reader
@pytest.mark.parametrize('ending', ['end', 'cut', 'reset'])
@pytest.mark.parametrize('sent', [b'', b'h', b'hell'])
def test_12_8_end_within_a_body_of_known_length(serve: Serve, reader: Reader, ending: str, sent: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(head('Content-Length: 5') + sent)
        assert got_head.wait(LIMIT)
        getattr(peer, ending)()

    got_head = threading.Event()
    conn = serve(script)
    conn.send_request('GET', '/')
    conn.read_response()
    got_head.set()
    with pytest.raises(ConnectionClosed):
        reader(conn)


@pytest.mark.parametrize('ending', ['end', 'cut'])
@pytest.mark.parametrize('length', range(len(CHUNKS[:-2] + b'A: b\r\n\r\n')))
def test_12_8_end_within_chunks(serve: Serve, ending: str, length: int) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(head('Transfer-Encoding: chunked') + (CHUNKS[:-2] + b'A: b\r\n\r\n')[:length])
        getattr(peer, ending)()

    conn = serve(script, script, script, script, script)
    for reader in READERS:
        conn.send_request('GET', '/')
        conn.read_response()
        with pytest.raises(ConnectionClosed):
            reader(conn)
        conn.reset()


@pytest.mark.parametrize('lines', [('Content-Length: 50',), ('Transfer-Encoding: chunked',)])
def test_12_8_data_that_arrived_is_delivered_first(serve: Serve, lines: tuple[str, ...]) -> None:
    conn = serve(ends(head(*lines) + b'14\r\nhello'))
    conn.send_request('GET', '/')
    resp = conn.read_response()
    want = b'hello' if resp.length is None else b'14\r\nhello'
    got = b''
    while len(got) < len(want):
        data = conn.read(100)
        assert data
        got += data
    assert got == want
    for _ in range(2):
        with pytest.raises(ConnectionClosed):
            conn.read(100)


@every_reader
@pytest.mark.parametrize('sent', [b'', b'hello'])
@pytest.mark.parametrize('tolerate', [False, True])
def test_12_8_end_of_a_body_without_length(serve: Serve, reader: Reader, sent: bytes, tolerate: bool) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send((head() if tolerate else head('Connection: close')) + sent)
        peer.end()
        assert read.wait(LIMIT)

    read = threading.Event()
    conn = serve(script)
    if tolerate:
        conn.tolerate_missing_length = True
    conn.send_request('GET', '/')
    conn.read_response()
    assert reader(conn) == (b'hello' if reader is by_discard else sent)
    assert not conn.response_pending()
    read.set()


@every_reader
@pytest.mark.parametrize('sent', [b'', b'hello'])
@pytest.mark.parametrize('ending', ['cut', 'reset'])
@pytest.mark.parametrize('tolerate', [False, True])
def test_12_8_with_tls_it_must_be_announced(
    serve_tls: Serve, reader: Reader, sent: bytes, ending: str, tolerate: bool
) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send((head() if tolerate else head('Connection: close')) + sent)
        assert got_head.wait(LIMIT)
        getattr(peer, ending)()

    got_head = threading.Event()
    conn = serve_tls(script)
    conn.tolerate_missing_length = tolerate
    conn.send_request('GET', '/')
    conn.read_response()
    got_head.set()
    for _ in range(2):
        with pytest.raises(ConnectionClosed):
            reader(conn)


@every_reader
def test_12_8_reset_is_not_an_end(serve_plain: Serve, reader: Reader) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(head('Connection: close') + b'hello')
        assert got_head.wait(LIMIT)
        peer.reset()

    got_head = threading.Event()
    conn = serve_plain(script)
    conn.send_request('GET', '/')
    conn.read_response()
    got_head.set()
    with pytest.raises(ConnectionClosed):
        reader(conn)


@every_reader
@pytest.mark.parametrize(
    'answer',
    [head('Content-Length: 5') + b'hello', head('Transfer-Encoding: chunked') + CHUNKS],
)
def test_12_8_a_complete_body_needs_no_announcement(serve: Serve, reader: Reader, answer: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)
        peer.cut()

    conn = serve(script)
    conn.send_request('GET', '/')
    conn.read_response()
    assert reader(conn) == b'hello'
    assert not conn.response_pending()
