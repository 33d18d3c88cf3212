"""`cat_ranges`, `download` and `open` of a session."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from loops import Loop, each_loop
from peers import Peer, Server

import dugong
from dugong import RangeError, RequestFailed, Session

SIZE = 3_000_000


@pytest.fixture(scope='module')
def content(origin_url: str) -> bytes:
    with Session(origin_url) as session:
        return session.get(f'/bytes/{SIZE}').content


RANGES = [(0, 4), (SIZE - 10, SIZE), (100, 100), (500_000, 500_100), (7, 8), (1_000_000, 1_300_000)]


def test_ranges_come_in_the_order_asked(session: Session, content: bytes) -> None:
    expected = [content[start:end] for start, end in RANGES]
    assert session.cat_ranges(f'/bytes/{SIZE}', RANGES) == expected
    assert session.cat_ranges(f'/bytes/{SIZE}', RANGES, merge_gap=0) == expected
    assert session.cat_ranges(f'/bytes/{SIZE}?ranges=no', RANGES) == expected
    assert session.cat_ranges(f'/bytes/{SIZE}', []) == []
    many = [(start, start + 10) for start in range(0, SIZE, 10_000)]
    assert session.cat_ranges(f'/bytes/{SIZE}', many, merge_gap=0) == [content[start:end] for start, end in many]


@pytest.mark.parametrize(
    ('kind', 'ranges'),
    [(ValueError, [(5, 4)]), (ValueError, [(-1, 4)]), (TypeError, [('0', 4)]), (RangeError, [(0, SIZE + 1)])],
)
def test_ranges_that_cannot_be_are_errors(
    session: Session, kind: type[Exception], ranges: list[tuple[int, int]]
) -> None:
    with pytest.raises(kind):
        session.cat_ranges(f'/bytes/{SIZE}', ranges)
    assert session.get('/bytes/1').status == 200


@pytest.mark.parametrize('harm', ['shifted', 'half', 'unnamed'])
def test_wrong_answers_are_errors(session: Session, harm: str, tmp_path: Path) -> None:
    with pytest.raises(RangeError) as caught:
        session.cat_ranges(f'/bytes/{SIZE}?ranges={harm}', [(0, 4), (1_000_000, 1_000_004)])
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, dugong.Error)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_download_has_the_content(session: Session, content: bytes, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    path = tmp_path / 'file'
    size = session.download(
        f'/bytes/{SIZE}', path, part_size=100_000, progress=lambda done, total: told.append((done, total))
    )
    assert size == SIZE
    assert path.read_bytes() == content
    assert told[-1] == (SIZE, SIZE)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert list(tmp_path.iterdir()) == [path]
    assert session.download(f'/bytes/{SIZE}?ranges=no', str(tmp_path / 'other')) == SIZE
    assert (tmp_path / 'other').read_bytes() == content
    assert session.download('/bytes/0', tmp_path / 'empty') == 0


def test_a_digest_is_checked(session: Session, content: bytes, tmp_path: Path) -> None:
    right = hashlib.sha256(content).hexdigest()
    assert session.download(f'/bytes/{SIZE}', tmp_path / 'file', sha256=right) == SIZE
    with pytest.raises(RangeError):
        session.download(f'/bytes/{SIZE}', tmp_path / 'other', sha256='0' * 64)
    with pytest.raises(ValueError, match='sha256'):
        session.download(f'/bytes/{SIZE}', tmp_path / 'other', sha256='0')
    assert not (tmp_path / 'other').exists()


def test_a_download_that_was_interrupted_goes_on(session: Session, content: bytes, tmp_path: Path) -> None:
    def stop(done: int, _: int | None) -> None:
        if done > 1_000_000:
            raise KeyError('enough')

    path = tmp_path / 'file'
    with pytest.raises(KeyError, match='enough'):
        session.download(f'/bytes/{SIZE}', path, part_size=100_000, progress=stop)
    assert not path.exists()
    first: list[int] = []
    session.download(f'/bytes/{SIZE}', path, part_size=100_000, progress=lambda done, _: first.append(done))
    assert path.read_bytes() == content
    assert first[0] > 500_000


def test_paths_that_cannot_be_written_are_errors_before_a_request(session: Session, tmp_path: Path) -> None:
    with pytest.raises(OSError, match='nowhere'):
        session.download(f'/bytes/{SIZE}', tmp_path / 'nowhere' / 'file')
    with pytest.raises(TypeError, match='progress'):
        session.download('/bytes/1', tmp_path / 'file', progress=5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='percent-encoded'):
        session.download('/a b', tmp_path / 'file')
    assert session.stats()['opened'] == 0


def test_a_missing_target_is_an_error(session: Session, tmp_path: Path) -> None:
    with pytest.raises(OSError, match='404'):
        session.download('/status/404', tmp_path / 'file')
    with pytest.raises(OSError, match='404'):
        session.open('/status/404')
    assert list(tmp_path.iterdir()) == []


def test_a_file_can_be_read_and_sought(session: Session, content: bytes) -> None:
    with session.open(f'/bytes/{SIZE}') as file:
        with pytest.raises(io.UnsupportedOperation):
            file.write(b'a')
        assert (file.size, file.tell(), file.readable(), file.seekable(), file.writable()) == (
            SIZE,
            0,
            True,
            True,
            False,
        )
        assert file.read(10) == content[:10]
        assert file.seek(-10, io.SEEK_END) == SIZE - 10
        assert file.read() == content[-10:]
        assert file.read() == b''
        assert file.seek(1_000_000) == 1_000_000
        assert file.read(500_000) == content[1_000_000:1_500_000]
        assert file.seek(-5, io.SEEK_CUR) == 1_499_995
        buffer = bytearray(10)
        assert file.readinto(buffer) == 10
        assert bytes(buffer) == content[1_499_995:1_500_005]
        assert file.seek(SIZE + 5) == SIZE + 5
        assert file.read(5) == b''
        with pytest.raises(ValueError, match='before the beginning'):
            file.seek(-1)
        wrong: list[Any] = ['x', 1.5]
        with pytest.raises(TypeError, match="size has to be an int or None, not 'x'"):
            file.read(wrong[0])
        with pytest.raises(TypeError, match=r'offset has to be an int, not 1\.5'):
            file.seek(wrong[1])
        assert file.tell() == SIZE + 5
        file.seek(0)
        assert hashlib.sha256(io.BufferedReader(file).read()).digest() == hashlib.sha256(content).digest()
    with pytest.raises(ValueError, match='closed'):
        file.read()


def test_threads_can_share_a_file(session: Session, content: bytes) -> None:
    with session.open(f'/bytes/{SIZE}', block_size=4096) as file:

        def read(part: int) -> None:
            for at in range(part * 1000, SIZE, 200_000):
                file.seek(at)
                piece = file.read(100)
                assert len(piece) == 100
                assert piece in content

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(read, range(4)))


@each_loop
def test_a_file_is_read_by_one_task_at_a_time(session: Session, loop: Loop) -> None:
    async def main() -> None:
        file = await session.co_open(f'/bytes/{SIZE}')
        refused: list[RuntimeError] = []

        async def read() -> None:
            try:
                assert len(await file.co_read(1_000_000)) == 1_000_000
            except RuntimeError as exc:
                refused.append(exc)

        await loop.together(read, read)
        assert len(refused) == 1
        assert file.tell() == 1_000_000
        await file.co_close()

    loop.run(main)


def test_a_file_of_a_server_without_ranges_is_taken_once(session: Session, content: bytes) -> None:
    with session.open(f'/bytes/{SIZE}?ranges=no') as file:
        file.seek(5)
        assert file.read(10) == content[5:15]


def archive_server(archive: bytes) -> Server:
    def script(peer: Peer) -> None:
        while True:
            try:
                got = peer.request()
            except EOFError:
                return
            start, end = got.values('Range')[0].removeprefix('bytes=').split('-')
            last = min(int(end), len(archive) - 1)
            where = f'bytes {start}-{last}/{len(archive)}'
            part = archive[int(start) : last + 1]
            peer.answer(part, '206 Partial Content', [('Content-Range', where), ('ETag', '"1"')])

    return Server(*[script] * 4)


def test_zipfile_reads_it() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, 'w') as archive:
        for number in range(50):
            archive.writestr(f'{number}.txt', f'member {number} ' * 1000)
    with archive_server(made.getvalue()) as server, Session(f'http://127.0.0.1:{server.port}') as session:
        file = session.open('/a.zip', block_size=4096)
        with file, zipfile.ZipFile(file) as archive:
            assert archive.testzip() is None
            assert archive.read('7.txt') == b'member 7 ' * 1000


def test_a_file_that_changes_is_an_os_error() -> None:
    def script(peer: Peer) -> None:
        for tag in range(100):
            try:
                got = peer.request()
            except EOFError:
                return
            start, end = got.values('Range')[0].removeprefix('bytes=').split('-')
            size = int(end) - int(start) + 1
            where = f'bytes {start}-{end}/10000000'
            peer.answer(bytes(size), '206 Partial Content', [('Content-Range', where), ('ETag', f'"{tag}"')])

    server = Server(*[script] * 4)
    try:
        with Session(f'http://127.0.0.1:{server.port}') as session, session.open('/x', read_ahead=0) as file:
            file.seek(5_000_000)
            with pytest.raises(OSError, match='changed') as caught:
                file.read(10)
            assert isinstance(caught.value, RangeError)
    finally:
        server.close()


def test_a_lost_server_is_an_os_error(refused: tuple[str, int]) -> None:
    with Session(f'http://{refused[0]}:{refused[1]}', retries=0) as session:
        with pytest.raises(OSError, match='connection') as caught:
            session.open('/x')
        assert isinstance(caught.value, RequestFailed)


@each_loop
def test_tasks_have_twins(loop: Loop, origin_url: str, content: bytes, tmp_path: Path) -> None:
    async def main() -> None:
        async with Session(origin_url) as session:
            parts = await session.co_cat_ranges(f'/bytes/{SIZE}', RANGES)
            assert parts == [content[start:end] for start, end in RANGES]
            with pytest.raises(RangeError):
                await session.co_cat_ranges(f'/bytes/{SIZE}', [(0, SIZE + 1)])
            told: list[int] = []
            size = await session.co_download(
                f'/bytes/{SIZE}', tmp_path / 'file', part_size=100_000, progress=lambda done, _: told.append(done)
            )
            assert (size, told[-1]) == (SIZE, SIZE)
            assert (tmp_path / 'file').read_bytes() == content
            file = await session.co_open(f'/bytes/{SIZE}')
            file.seek(1_000_000)
            assert await file.co_read(500_000) == content[1_000_000:1_500_000]
            file.seek(-10, io.SEEK_END)
            assert await file.co_read() == content[-10:]
            file.seek(2_000_000)
            assert file.read(10) == content[2_000_000:2_000_010]
            await file.co_close()

    loop.run(main)


@pytest.mark.parametrize('length', [244, 245, 255])
def test_a_download_may_have_a_name_as_long_as_the_system_allows(
    session: Session, content: bytes, tmp_path: Path, length: int
) -> None:
    path = tmp_path / ('a' * length)
    assert session.download(f'/bytes/{SIZE}', os.fsencode(path)) == SIZE
    assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_longer_name_is_an_error_before_any_request(tmp_path: Path) -> None:
    with Session('http://127.0.0.1:9') as session, pytest.raises(OSError, match='too long') as caught:
        session.download('/', tmp_path / ('a' * 256))
    assert caught.value.errno == errno.ENAMETOOLONG
    assert list(tmp_path.iterdir()) == []
