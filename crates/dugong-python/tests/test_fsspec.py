"""`dugong.fsspec`: files at URLs, for fsspec."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from file_server import FileServer, serving
from origins import running
from peers import Peer, Received, Server

pytest.importorskip('fsspec', reason='fsspec is not installed')

import fsspec
from fsspec.callbacks import Callback
from fsspec.tests import abstract

import dugong
from dugong.fsspec import FileSystem


@pytest.fixture(scope='module')
def server() -> Iterator[FileServer]:
    with serving() as server:
        yield server


@pytest.fixture(scope='module')
def origins() -> Iterator[tuple[str, str]]:
    with running() as one, running() as other:
        yield f'http://127.0.0.1:{one}', f'http://127.0.0.1:{other}'


@pytest.fixture
def fs() -> FileSystem:
    return FileSystem()


@pytest.fixture
def url(server: FileServer) -> str:
    server.files.clear()
    server.requests.clear()
    server.directories = {'/'}
    return server.url


class TestAbstract(
    abstract.AbstractFixtures,  # type: ignore[misc]  # fsspec has no types
    abstract.AbstractCopyTests,  # type: ignore[misc]
    abstract.AbstractGetTests,  # type: ignore[misc]
    abstract.AbstractPutTests,  # type: ignore[misc]
    abstract.AbstractOpenTests,  # type: ignore[misc]
    abstract.AbstractPipeTests,  # type: ignore[misc]
):
    """The suites of fsspec."""

    @pytest.fixture
    def fs(self) -> FileSystem:
        return FileSystem()

    @pytest.fixture
    def fs_path(self, url: str) -> str:
        return f'{url}/top'


def content_of(size: int) -> bytes:
    return bytes(number * 7 % 251 for number in range(size))


CONTENT = content_of(300_000)


def test_parts_of_files_are_read(fs: FileSystem, url: str) -> None:
    fs.pipe_file(f'{url}/a', CONTENT)
    for start, end in [
        (None, None),
        (5, 10),
        (5, None),
        (None, 7),
        (-9, None),
        (-9, -2),
        (4, -4),
        (7, 7),
        (9, 999_999),
    ]:
        assert fs.cat_file(f'{url}/a', start, end) == CONTENT[start:end], (start, end)
    with pytest.raises(OSError, match='416'):
        fs.cat_file(f'{url}/a', 300_000, 300_010)
    assert fs.cat([f'{url}/a', f'{url}/a']) == {f'{url}/a': CONTENT}
    assert fs.head(f'{url}/a', 10) == CONTENT[:10]
    assert fs.tail(f'{url}/a', 10) == CONTENT[-10:]


def test_ranges_of_many_files_come_in_one_burst(fs: FileSystem, origins: tuple[str, str]) -> None:
    paths = [f'{origins[number % 2]}/bytes/5000?seed={number % 5}' for number in range(1000)]
    whole = {path: fs.cat_file(path) for path in set(paths)}
    starts = [number * 4 for number in range(1000)]
    ends = [start + 100 for start in starts]
    found = fs.cat_ranges(paths, starts, ends)
    assert found == [whole[path][start:end] for path, start, end in zip(paths, starts, ends, strict=True)]
    stats = [sessions.stats() for sessions in fs._of_loops.values()]
    assert all(one[origin]['opened'] <= 4 for one in stats for origin in origins)
    assert fs.cat_ranges(paths[:3], 0, 5) == [whole[path][:5] for path in paths[:3]]
    assert fs.cat_ranges(paths[:3], [None, -5, 2], [None, None, -4990]) == [
        whole[paths[0]],
        whole[paths[1]][-5:],
        whole[paths[2]][2:10],
    ]


def test_errors_of_ranges_keep_their_places(fs: FileSystem, url: str) -> None:
    fs.pipe_file(f'{url}/a', CONTENT)
    paths = [f'{url}/a', f'{url}/b', f'{url}/secret', 'http://', f'{url}/a', f'{url}/a']
    starts, ends = [0, 0, 0, 0, 5, 400_000], [5, 5, 5, 5, 9, 400_005]
    found = fs.cat_ranges(paths, starts, ends, on_error='return')
    kinds = [FileNotFoundError, PermissionError, ValueError]
    assert [found[0], found[4]] == [CONTENT[:5], CONTENT[5:9]]
    assert [type(error) for error in found[1:4]] == kinds
    assert isinstance(found[5], OSError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(paths, starts, ends, on_error='raise')
    with pytest.raises(ValueError, match='2 paths have 1 starts'):
        fs.cat_ranges(paths[:2], [0], [5])


@pytest.mark.parametrize('habit', ['no', 'half', 'unknown-total'])
def test_other_answers_to_ranges_lose_nothing(fs: FileSystem, origins: tuple[str, str], habit: str) -> None:
    path = f'{origins[0]}/bytes/5000'
    whole = fs.cat_file(path)
    assert fs.cat_file(f'{path}?ranges={habit}', 100, 4200) == whole[100:4200]
    assert fs.cat_ranges([f'{path}?ranges={habit}'] * 2, [100, 5], [200, 5000]) == [whole[100:200], whole[5:5000]]


@pytest.mark.parametrize('habit', ['shifted', 'unnamed'])
def test_wrong_ranges_are_errors(fs: FileSystem, origins: tuple[str, str], habit: str) -> None:
    path = f'{origins[0]}/bytes/5000?ranges={habit}'
    with pytest.raises(OSError, match='Content-Range'):
        fs.cat_file(path, 100, 200)
    assert isinstance(fs.cat_ranges([path], [100], [200], on_error='return')[0], OSError)


@contextlib.contextmanager
def answering(answer: Callable[[Peer, Received, int], None], limit: int = 20) -> Iterator[tuple[FileSystem, str]]:
    """Answer requests, which have numbers. Too many of them get a 500, so that no test runs forever."""
    numbers = itertools.count()

    def script(peer: Peer) -> None:
        with contextlib.suppress(EOFError):
            while True:
                got = peer.request()
                number = next(numbers)
                if number < limit:
                    answer(peer, got, number)
                else:
                    peer.answer(status='500 Too Many')

    with Server(script) as server:
        fs = FileSystem(skip_instance_cache=True)
        try:
            yield fs, f'http://127.0.0.1:{server.port}/a'
        finally:
            for sessions in fs._of_loops.values():
                sessions.close()


def asked(got: Received) -> tuple[int, int]:
    """Return the limits of the range, at most 100 bytes of a content of 1000."""
    first, _, last = (got.values('Range') or ['bytes=0-'])[0].removeprefix('bytes=').partition('-')
    return int(first), min(int(last or 999) + 1, int(first) + 100, 1000)


def ways_to_read(fs: FileSystem, path: str) -> list[Callable[[], bytes]]:
    def in_burst() -> bytes:
        content: bytes = fs.cat_ranges([path], [10], [900], on_error='raise')[0]
        return content

    return [lambda: fs.cat_file(path, 10, 900), lambda: fs.cat_file(path, 10), in_burst]


@pytest.mark.parametrize('sign', ['ETag: "{}"', 'ETag: W/"{}"', 'Last-Modified: {}', 'size'])
@pytest.mark.parametrize('way', range(3))
def test_a_content_that_changes_between_pieces_is_an_error(sign: str, way: int) -> None:
    def answer(peer: Peer, got: Received, number: int) -> None:
        start, end = asked(got)
        version = min(number, 1)
        name, _, value = sign.format(version).partition(': ')
        size = 1000 + version if sign == 'size' else 1000
        lines = [('Content-Range', f'bytes {start}-{end - 1}/{size}'), (name, value or 'x')]
        peer.answer(b'AB'[version : version + 1] * (end - start), '206 Partial Content', lines)

    with answering(answer) as (fs, path), pytest.raises(OSError, match=r'the content changed: its .* was .*, now'):
        ways_to_read(fs, path)[way]()


@pytest.mark.parametrize('way', range(3))
@pytest.mark.parametrize('status', ['200 OK', '412 Precondition Failed', '416 Range Not Satisfiable'])
def test_a_server_that_tells_of_the_change_is_believed(status: str, way: int) -> None:
    def answer(peer: Peer, got: Received, number: int) -> None:
        if number:
            assert got.values('If-Match') == ['"1"']
            peer.answer(b'B' * 1000, status, [('ETag', '"2"')])
        else:
            start, end = asked(got)
            lines = [('Content-Range', f'bytes {start}-{end - 1}/*'), ('ETag', '"1"')]
            peer.answer(b'A' * (end - start), '206 Partial Content', lines)

    with answering(answer) as (fs, path), pytest.raises(OSError, match='the content changed'):
        ways_to_read(fs, path)[way]()


@pytest.mark.parametrize('way', range(3))
def test_416_before_the_end_loses_nothing(way: int) -> None:
    def answer(peer: Peer, got: Received, number: int) -> None:
        if number:
            peer.answer(status='416 Range Not Satisfiable')
        else:
            start, end = asked(got)
            peer.answer(bytes(end - start), '206 Partial Content', [('Content-Range', f'bytes {start}-{end - 1}/1000')])

    with (
        answering(answer) as (fs, path),
        pytest.raises(OSError, match='has 1000 bytes, but the server has none at 110'),
    ):
        ways_to_read(fs, path)[way]()


@pytest.mark.parametrize('way', range(3))
def test_the_rest_may_come_as_the_whole_content(way: int) -> None:
    whole = content_of(1000)

    def answer(peer: Peer, got: Received, number: int) -> None:
        if number:
            peer.answer(whole, headers=[('ETag', '"1"')])
        else:
            start, end = asked(got)
            lines = [('Content-Range', f'bytes {start}-{end - 1}/1000'), ('ETag', '"1"')]
            peer.answer(whole[start:end], '206 Partial Content', lines)

    with answering(answer) as (fs, path):
        assert ways_to_read(fs, path)[way]() == (whole[10:] if way == 1 else whole[10:900])


@pytest.mark.parametrize('named', ['bytes {}-{}/1000', 'bytes {}-{}/*', None])
@pytest.mark.parametrize('way', range(3))
def test_a_range_without_content_is_an_error(named: str | None, way: int) -> None:
    def answer(peer: Peer, got: Received, _number: int) -> None:
        start = asked(got)[0]
        lines = [('Content-Range', named.format(start, start - 1))] if named else []
        peer.answer(b'', '206 Partial Content', lines)

    expected = f"Content-Range '{named.format(10, 9)}'".replace('*', '[*]') if named else 'no Content-Range'
    with answering(answer) as (fs, path), pytest.raises(OSError, match=expected):
        ways_to_read(fs, path)[way]()


@pytest.mark.parametrize(
    'lines',
    [
        'Content-Length: 5\r\nContent-Length: 6\r\n',
        'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n',
        'Content-Length: 5, 6\r\n',
        '',
    ],
)
def test_a_doubtful_length_is_no_size(lines: str) -> None:
    total = '9'

    def answer(peer: Peer, got: Received, _number: int) -> None:
        if got.method == 'HEAD':
            peer.send(f'HTTP/1.1 200 OK\r\n{lines}\r\n'.encode())
        else:
            peer.answer(b'x', '206 Partial Content', [('Content-Range', f'bytes 0-0/{total}')])

    with answering(answer) as (fs, path):
        assert fs.info(path)['size'] == 9
        total = '*'
        assert fs.info(path)['size'] is None
        with pytest.raises(OSError, match='does not tell the size'):
            fs.cat_file(path, -3, -1)


def test_limits_from_the_end_count_for_one_size_only() -> None:
    def answer(peer: Peer, got: Received, _number: int) -> None:
        if got.method == 'HEAD':
            peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n')
        else:
            start, end = asked(got)
            peer.answer(bytes(end - start), '206 Partial Content', [('Content-Range', f'bytes {start}-{end - 1}/30')])

    with answering(answer) as (fs, path):
        with pytest.raises(OSError, match='its size was 20, now 30'):
            fs.cat_file(path, -9, -2)
        with pytest.raises(OSError, match='its size was 20, now 30'):
            fs.cat_ranges([path], [-9], [-2], on_error='raise')


def test_a_url_that_cannot_be_read_does_not_exist(fs: FileSystem, url: str, refused: tuple[str, int]) -> None:
    fs.pipe_file(f'{url}/a', b'x')
    assert fs.exists(f'{url}/a')
    for path in f'{url}/secret', f'{url}/broken', 'http://', f'http://{refused[0]}:{refused[1]}/':
        lost = FileSystem(retries=0)
        assert (lost.exists(path), lost.isfile(path), lost.isdir(path)) == (False, False, False)
        with pytest.raises((OSError, ValueError)):
            lost.exists(path, strict=True)
    assert not fs.exists(f'{url}/nothing', strict=True)


def test_text_is_not_written(fs: FileSystem, url: str) -> None:
    for value in 'text', 5:
        with pytest.raises(TypeError, match=f'the content has to be bytes, not {type(value).__name__}'):
            fs.pipe_file(f'{url}/a', value)
    fs.pipe_file(f'{url}/a', memoryview(b'abc'))
    assert fs.cat_file(f'{url}/a') == b'abc'


def test_options_survive_json(url: str) -> None:
    fs = FileSystem(auth=('user', 'secret'), backoff=(0.1, 0.2), headers=[('X-A', 'b')])
    again = FileSystem.from_json(fs.to_json())
    assert again.sessions._settings == fs.sessions._settings
    with pytest.raises(TypeError, match='auth has to be a tuple'):
        FileSystem(auth=['user'])


def test_statuses_are_errors_of_the_system(fs: FileSystem, url: str, refused: tuple[str, int]) -> None:
    for method in fs.cat_file, fs.info, fs.ls, fs.open:
        with pytest.raises(FileNotFoundError):
            method(f'{url}/nothing')
        with pytest.raises(PermissionError):
            method(f'{url}/secret')
        with pytest.raises(OSError, match='500'):
            method(f'{url}/broken')
        for bad in 'http://', 'nothing':
            with pytest.raises(ValueError):  # noqa: PT011
                method(bad)
    assert not fs.exists(f'{url}/nothing')
    lost = FileSystem(retries=0)
    with pytest.raises(ConnectionError):
        lost.cat_file(f'http://{refused[0]}:{refused[1]}/')
    with pytest.raises(TypeError, match="'colour' is no setting"):
        FileSystem(colour='red')


def test_files_are_written_once_if_that_is_wanted(fs: FileSystem, url: str, tmp_path: Path) -> None:
    local = tmp_path / 'file'
    local.write_bytes(CONTENT)
    fs.pipe_file(f'{url}/a', b'1', mode='create')
    with pytest.raises(FileExistsError):
        fs.pipe_file(f'{url}/a', b'2', mode='create')
    with pytest.raises(FileExistsError):
        fs.put_file(str(local), f'{url}/a', mode='create')
    with pytest.raises(FileExistsError):
        fs.open(f'{url}/a', 'xb')
    fs.touch(f'{url}/a', truncate=False)
    assert fs.cat_file(f'{url}/a') == b'1'
    fs.touch(f'{url}/a')
    assert fs.info(f'{url}/a')['size'] == 0
    with fs.open(f'{url}/b', 'wb') as file:
        file.write(b'one ')
        file.write(CONTENT)
    assert fs.cat_file(f'{url}/b') == b'one ' + CONTENT
    with pytest.raises(KeyError), fs.open(f'{url}/c', 'wb') as file:
        file.write(b'half')
        raise KeyError
    assert not fs.exists(f'{url}/c')
    with pytest.raises(NotImplementedError):
        fs.open(f'{url}/b', 'ab')


def test_progress_is_told(fs: FileSystem, url: str, tmp_path: Path) -> None:
    local = tmp_path / 'file'
    local.write_bytes(CONTENT)
    for method, arguments in [
        (fs.put_file, (str(local), f'{url}/a')),
        (fs.get_file, (f'{url}/a', str(tmp_path / 'other'))),
    ]:
        told = Callback()
        method(*arguments, callback=told)
        assert (told.size, told.value) == (len(CONTENT), len(CONTENT))
    assert (tmp_path / 'other').read_bytes() == CONTENT


def test_a_download_that_fails_leaves_the_file_as_it_was(fs: FileSystem, url: str, tmp_path: Path) -> None:
    local = tmp_path / 'file'
    local.write_bytes(b'old')
    with pytest.raises(FileNotFoundError):
        fs.get_file(f'{url}/nothing', str(local))

    class Stop(Callback):  # type: ignore[misc]  # fsspec has no types
        def relative_update(self, _size: int = 1) -> None:
            raise KeyError('stop')

    fs.pipe_file(f'{url}/a', CONTENT)
    with pytest.raises(KeyError, match='stop'):
        fs.get_file(f'{url}/a', str(local), callback=Stop())
    assert local.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [local]


def test_listings_are_the_links_below(fs: FileSystem, url: str) -> None:
    for name in 'd/a.txt', 'd/b%20c.csv', 'd/e/f.txt':
        fs.pipe_file(f'{url}/{name}', b'x')
    assert fs.ls(f'{url}/d', detail=False) == [f'{url}/d/a.txt', f'{url}/d/b%20c.csv', f'{url}/d/e']
    assert [info['type'] for info in fs.ls(f'{url}/d/')] == ['file', 'file', 'directory']
    assert fs.find(f'{url}/d') == [f'{url}/d/a.txt', f'{url}/d/b%20c.csv', f'{url}/d/e/f.txt']
    assert fs.glob(f'{url}/d/*.txt') == [f'{url}/d/a.txt']
    assert fs.glob(f'{url}/**/*.txt') == [f'{url}/d/a.txt', f'{url}/d/e/f.txt']
    assert fs.ls(f'{url}/d/a.txt', detail=False) == [f'{url}/d/a.txt']
    assert (fs.isdir(f'{url}/d'), fs.isdir(f'{url}/d/a.txt'), fs.isfile(f'{url}/d/a.txt')) == (True, False, True)
    assert fs.cat_file(f'{url}/d/b c.csv') == b'x'
    assert fs.du(f'{url}/d') == 3
    fs.rm(f'{url}/d', recursive=True)
    assert not fs.exists(f'{url}/d')
    fs.mkdir(f'{url}/new')
    assert fs.isdir(f'{url}/new')
    with pytest.raises(FileExistsError):
        fs.mkdir(f'{url}/new')
    with pytest.raises(FileExistsError):
        fs.makedirs(f'{url}/new')
    fs.makedirs(f'{url}/new', exist_ok=True)


def test_queries_are_no_patterns(fs: FileSystem, origins: tuple[str, str]) -> None:
    path = f'{origins[0]}/bytes/5?seed=1'
    assert fs.cat(path) == fs.cat_file(path)
    assert fs.glob(path) == [path]
    assert fs.info(path)['size'] == 5


def test_redirects_are_followed(fs: FileSystem, url: str) -> None:
    fs.pipe_file(f'{url}/a', CONTENT)
    path = f'{url}/moved/a'
    assert fs.cat_file(path) == CONTENT
    assert fs.cat_ranges([path], [5], [9]) == [CONTENT[5:9]]
    assert fs.info(path)['size'] == len(CONTENT)
    with fs.open(path) as file:
        assert file.read() == CONTENT


def test_files_are_opened_for_reading(fs: FileSystem, server: FileServer, url: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / 'file', 'w') as archive:
        archive.writestr('member', 'text\n' * 1000)
    fs.put_file(str(tmp_path / 'file'), f'{url}/a')
    file = fs.open(f'{url}/a', block_size=4096, default_cache='none', cache_type='readahead')
    with file, zipfile.ZipFile(file) as archive:
        assert archive.read('member') == b'text\n' * 1000
        file.seek(3)
        with pickle.loads(pickle.dumps(file)) as again:
            assert again.tell() == 3
            assert again.read() == (tmp_path / 'file').read_bytes()[3:]
        assert (file.size, file.path) == ((tmp_path / 'file').stat().st_size, f'{url}/a')
    fs.pipe_file(f'{url}/lines', b'one\ntwo\n')
    with fs.open(f'{url}/lines', 'r') as text:
        assert list(text) == ['one\n', 'two\n']
    with fs.open(f'{url}/lines') as lines:
        assert lines.readline() == b'one\n'
    fs.touch(f'{url}/empty')
    with fs.open(f'{url}/empty') as empty:
        assert empty.read() == b''
    fs.mkdir(f'{url}/d')


def test_it_works_in_tasks(url: str) -> None:
    async def main() -> None:
        fs = FileSystem(asynchronous=True)
        await fs._pipe_file(f'{url}/a', CONTENT)
        assert await fs._cat_file(f'{url}/a', 5, 10) == CONTENT[5:10]
        file = await fs.open_async(f'{url}/a')
        assert await file.read(10) == CONTENT[:10]
        assert await file.read() == CONTENT[10:]
        await file.close()
        with pytest.raises(FileNotFoundError):
            await fs.open_async(f'{url}/nothing')
        assert len(fs._of_loops) == 1

    for _ in range(3):
        asyncio.run(main())


def test_it_has_names_and_instances(url: str) -> None:
    fs, path = fsspec.url_to_fs(f'dugong+{url}/a', headers={'X-A': 'b'})
    assert isinstance(fs, FileSystem)
    assert path == f'{url}/a'
    assert FileSystem(headers={'X-A': 'b'}) is fs
    assert FileSystem() is not fs
    assert pickle.loads(pickle.dumps(fs)) is fs
    assert FileSystem.from_json(fs.to_json()) is fs
    fs.pipe_file(path, b'x')
    with fsspec.open(f'dugong+{url}/a') as file:
        assert file.read() == b'x'


def test_options_of_others_are_ignored(url: str) -> None:
    # pandas tries again with `anon`, if a file cannot be read.
    with pytest.raises(PermissionError):
        FileSystem(anon=True).open(f'{url}/secret')


def test_pyarrow_reads_datasets(fs: FileSystem, url: str) -> None:
    dataset = pytest.importorskip('pyarrow.dataset', reason='pyarrow is not installed')
    parquet = pytest.importorskip('pyarrow.parquet')
    table = pytest.importorskip('pyarrow').table
    for number in range(3):
        with fs.open(f'{url}/d/{number}.parquet', 'wb') as file:
            parquet.write_table(table({'a': range(number * 100, number * 100 + 100)}), file)
    found = dataset.dataset(f'{url}/d', filesystem=fs)
    assert found.count_rows() == 300
    assert found.to_table(filter=dataset.field('a') < 150).num_rows == 150


def test_large_files_are_written_and_copied(fs: FileSystem, server: FileServer, url: str, tmp_path: Path) -> None:
    large = content_of(3_000_000)
    (tmp_path / 'file').write_bytes(large)
    fs.put_file(str(tmp_path / 'file'), f'{url}/a')
    fs.cp_file(f'{url}/a', f'{url}/b')
    with open(tmp_path / 'file', 'rb') as file:
        fs.put_file(file, f'{url}/c')
    assert [server.files[name] for name in ('/a', '/b', '/c')] == [large] * 3


@pytest.mark.parametrize('seed', range(3))
def test_faults_of_the_network_are_errors_or_harmless(seed: int, origins: tuple[str, str]) -> None:
    with running('--proxy-to', origins[0].removeprefix('http://'), '--chaos', str(seed)) as port:
        fs = FileSystem(timeout=0.5, backoff=(0.001, 0.01))
        path = f'http://127.0.0.1:{port}/bytes/100000'
        expected = fs.cat_file(f'{origins[0]}/bytes/100000')
        starts = list(range(0, 90_000, 300))
        found = fs.cat_ranges([path] * len(starts), starts, [start + 1000 for start in starts])
        for start, content in zip(starts, found, strict=True):
            assert isinstance(content, OSError) or content == expected[start : start + 1000]
        assert sum(isinstance(content, bytes) for content in found) > 0


PROGRAM = """
import sys
import dugong
assert 'fsspec' not in sys.modules
import dugong.fsspec, fsspec
dugong.fsspec.install()
assert isinstance(fsspec.filesystem('https'), dugong.fsspec.FileSystem)
with fsspec.open(sys.argv[1]) as file:
    print(file.read().decode())
import os
fs = fsspec.filesystem('http')
print(fs.cat_file(sys.argv[1]).decode(), flush=True)
child = os.fork()
if not child:
    print(fs.cat_file(sys.argv[1]).decode(), fs.cat_ranges([sys.argv[1]], [0], [2]), flush=True)
    with fs.open(sys.argv[1]) as file:
        print(file.read().decode(), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(fs.cat_file(sys.argv[1]).decode())
"""


def test_install_replaces_the_stock_one_and_a_forked_child_begins_anew(fs: FileSystem, url: str) -> None:
    fs.pipe_file(f'{url}/a', b'abc')
    environment = {**os.environ, 'PYTHONPATH': str(Path(dugong.__file__).parents[1])}
    found = subprocess.run(
        [sys.executable, '-W', 'error', '-c', PROGRAM, f'{url}/a'],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, '')
    assert found.stdout.split('\n') == ['abc', 'abc', "abc [b'ab']", 'abc', 'abc', '']
