"""Runs the programs in examples/python that need a server of their own kind: S3, or a tree of files."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import importlib.util
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pytest
from interop_support import s3_server
from test_examples import EXAMPLES, attempt, run, runs_shown

import dugong

KEYS = {'a/1': b'hello\n', 'a/2': b'', 'b c/ü': bytes(100_000)}
CREDENTIALS = {'AWS_ACCESS_KEY_ID': 'access', 'AWS_SECRET_ACCESS_KEY': 'secret'}


def surroundings(**more: str) -> dict[str, str]:
    return {**os.environ, 'PYTHONPATH': str(Path(dugong.__file__).parents[1]), 'PYTHONUTF8': '1', **more}


def prints_what_it_shows(program: str, origin: str, cwd: Path, env: dict[str, str]) -> None:
    shown = runs_shown(EXAMPLES / program)
    assert shown
    for command, output in shown:
        assert run(command.replace('http://localhost:9000', origin), cwd, env) == output


def load(program: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(program, EXAMPLES / f'{program}.py')
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def s3() -> Iterator[str]:
    """The origin of an S3 with a bucket of a few objects, and one of many."""
    pytest.importorskip('moto', reason='moto is not installed: there is no S3 to talk to')
    pytest.importorskip('cheroot')
    signer = load('s3').Signer('access', 'secret')
    many = {f'{i:04}': b'%d' % i for i in range(120)}
    with (
        s3_server('cheroot', MOTO_S3_DEFAULT_MAX_KEYS='50') as port,
        dugong.Session(f'http://127.0.0.1:{port}', sign=signer) as session,
    ):
        for bucket, contents in ('letters', KEYS), ('many', many):
            session.put(f'/{bucket}').raise_for_status()
            for outcome in session.run(('PUT', f'/{bucket}/{quote(key)}', {}, contents[key]) for key in contents):
                assert outcome.reply
                outcome.reply.raise_for_status()
        yield session.origin


def test_s3_fetches_the_objects_of_a_bucket(s3: str, tmp_path: Path) -> None:
    prints_what_it_shows('s3.py', s3, tmp_path, surroundings(**CREDENTIALS))


def test_s3_fetches_pages_of_the_list_while_objects_come(s3: str, tmp_path: Path) -> None:
    printed = run(f'python s3.py {s3} many', tmp_path, surroundings(**CREDENTIALS))
    assert printed.splitlines() == [f'{i:04}: {len(str(i))} bytes' for i in range(120)]


def test_s3_signs_as_botocore_does() -> None:
    auth = pytest.importorskip('botocore.auth')
    requests = pytest.importorskip('botocore.awsrequest')
    credentials = pytest.importorskip('botocore.credentials').Credentials('access', 'secret')
    for method, target, content in [
        ('GET', '/bucket/b%20c/%C3%BC', b''),
        ('GET', '/bucket?prefix=a%2Fb&list-type=2', b''),
        ('PUT', '/bucket/key', b'hello'),
    ]:
        request = dugong.Request(method, target, headers={'Host': 's3.example'}, content=content or None)
        load('s3').Signer('access', 'secret')(request)
        theirs = requests.AWSRequest(method, f'https://s3.example{target}', dict(request.headers.items()), content)
        signer = auth.S3SigV4Auth(credentials, 's3', 'us-east-1')
        del theirs.headers['Authorization']
        theirs.context['timestamp'] = request.headers['X-Amz-Date']
        canonical = signer.canonical_request(theirs)
        signature = signer.signature(signer.string_to_sign(theirs, canonical), theirs)
        assert request.headers['Authorization'].endswith(f'Signature={signature}'), target


@pytest.fixture
def table(tmp_path: Path) -> Iterator[str]:
    """The origin of a table with three columns, which counts the bytes that it has sent."""
    pyarrow = pytest.importorskip('pyarrow')
    parquet = pytest.importorskip('pyarrow.parquet')
    rows = range(100_000)
    noise = [hashlib.sha256(b'%d' % row).hexdigest() for row in rows]
    columns = {'noise': noise, 'distance': rows, 'more': noise[::-1]}
    parquet.write_table(pyarrow.table(columns), tmp_path / 'trips.parquet')
    with origin_of(functools.partial(Ranges, content=(tmp_path / 'trips.parquet').read_bytes())) as origin:
        yield origin


class Ranges(http.server.BaseHTTPRequestHandler):
    """Serves ranges of one content."""

    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    sent = 0

    def __init__(self, *args: Any, content: bytes) -> None:
        self.content = content
        super().__init__(*args)

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        first, last = self.headers['Range'].removeprefix('bytes=').split('-')
        begin = int(first) if first else len(self.content) - int(last)
        end = min(int(last) + 1, len(self.content)) if first and last else len(self.content)
        self.send_response(206)
        self.send_header('ETag', '"1"')
        self.send_header('Content-Range', f'bytes {begin}-{end - 1}/{len(self.content)}')
        self.send_header('Content-Length', str(end - begin))
        self.end_headers()
        self.wfile.write(self.content[begin:end])
        Ranges.sent += end - begin


def test_columns_fetches_only_the_parts_that_hold_them(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ranges, 'sent', 0)
    prints_what_it_shows('columns.py', table, tmp_path, surroundings())
    assert Ranges.sent < (tmp_path / 'trips.parquet').stat().st_size / 2


class Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[str]:
    """The origin of a tree of files."""
    for name, content in ('a.txt', b'a\n'), ('folder/large.bin', os.urandom(3_000_000)), ('folder/deep/ü b.txt', b''):
        file = tmp_path / 'there' / 'tree' / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (tmp_path / 'there' / 'tree' / 'empty').mkdir()
    with origin_of(functools.partial(Quiet, directory=str(tmp_path / 'there'))) as origin:
        yield origin


@contextlib.contextmanager
def origin_of(handler: Any) -> Iterator[str]:
    """Serve requests, and give the origin."""
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.05})
        thread.start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()
        thread.join(10)


def files(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob('*') if path.is_file()}


def test_mirror_copies_a_tree_and_then_only_what_has_changed(tree: str, tmp_path: Path) -> None:
    prints_what_it_shows('mirror.py', tree, tmp_path, surroundings())
    assert files(tmp_path / 'copy') == files(tmp_path / 'there' / 'tree')
    changed = tmp_path / 'there' / 'tree' / 'a.txt'
    changed.write_bytes(b'changed\n')
    os.utime(changed, (4_000_000_000, 4_000_000_000))
    printed = run(f'python mirror.py {tree}/tree/ copy', tmp_path, surroundings())
    assert printed == 'new: a.txt\n3 files, 1 of them new\n'
    assert files(tmp_path / 'copy') == files(tmp_path / 'there' / 'tree')


def test_mirror_stays_in_its_folder() -> None:
    page = ''.join(
        f'<a href="{link}">x</a>' for link in ('../up', '/else', 'a', 'b/', 'c/d', '%2e%2e', 'x%2Fy', '//host/tree/e')
    )
    assert load('mirror').entries('/tree/', page) == ['/tree/a', '/tree/b/', '/tree/e']


def test_mirror_of_a_tree_that_is_not_there_says_so(tree: str, tmp_path: Path) -> None:
    done = attempt(f'python mirror.py {tree}/none/ copy', tmp_path, surroundings())
    assert b'the answer to /none/ is 404' in done.stderr
    assert done.returncode == 1
