"""Runs the programs in examples/python as their docstrings say, over http and https, and compares their output."""

from __future__ import annotations

import ast
import http.server
import os
import re
import shlex
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

import dugong

EXAMPLES = Path(__file__).parents[3] / 'examples' / 'python'
ALL = sorted(EXAMPLES.glob('*.py'))
#: The others need a server of their own kind: see test_session_examples.py.
PROGRAMS = [program for program in ALL if 'http://localhost:8000' in program.read_text()]

DOCUMENTS = {
    '/poem.txt': ('text/plain; charset=iso-8859-1', 'Weiß ist der Schnee,\nschwarz ist der See.\n'.encode('latin-1')),
    '/start.html': (
        'text/html; charset=utf-8',
        b'<a href="poem.txt">a poem</a> <a name="top">no link</a>'
        + b'<p>much text</p>' * 3000
        + '<A HREF="/news?page=2"><b>news</b></A> <a href=https://www.example.org/straße>else</a>'.encode(),
    ),
    '/log': ('text/plain', b''.join(b'%05d something happened\n' % i for i in range(1000))),
    '/gr%C3%BC%C3%9Fe?an=%C3%A4%20b': ('text/plain', 'schöne Grüße\n'.encode()),
    '/latin-1': ('text/plain; charset=iso-8859-1', 'Weiß'.encode('latin-1')),
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    timeout = 20
    lost = 0  # connections, for /flaky

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, status: int, body: bytes, kind: str = 'text/plain', close: bool = False) -> None:
        self.send_response(status)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        if close:
            self.send_header('Connection', 'close')
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.path == '/flaky' and Handler.lost < 2:
            Handler.lost += 1
            self.close_connection = True
        elif self.path.startswith('/doc/'):
            self.answer(200, b'This is document %d.\n' % int(self.path.removeprefix('/doc/')))
        elif self.path.startswith(('/three-and-close/', '/three-and-reset/')):
            # Some servers limit the requests of a connection. Data that they leave unread makes the system send RST.
            is_last = self.path.endswith('/3')
            self.answer(200, b'hello\n', close=is_last and self.path.startswith('/three-and-close/'))
            self.close_connection = is_last
        elif self.path == '/flaky':
            self.answer(200, b'hello\n')
        elif self.path in DOCUMENTS:
            kind, body = DOCUMENTS[self.path]
            self.answer(200, body, kind)
        else:
            self.answer(404, b'not here\n')

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers['Content-Length']))
        assert body == LETTER
        self.answer(201, b'stored %d bytes\n' % len(body))

    def handle_expect_100(self) -> bool:
        if self.path.startswith('/read-only/'):
            self.answer(403, b'nothing can be stored here\n', close=True)
            return False
        return super().handle_expect_100()


class Origin(http.server.ThreadingHTTPServer):
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(20)
        with self.tls.wrap_socket(request, server_side=True) as sock:
            super().finish_request(sock, client_address)


LETTER = b'Dear reader, all the best. Bye\n'


@pytest.fixture(params=['http', 'https'])
def origin(request: pytest.FixtureRequest, authority: trustme.CA) -> Iterator[str]:
    """Scheme and authority of a server with the documents of the examples."""
    Handler.lost = 0
    with Origin(('127.0.0.1', 0), Handler) as server:
        if request.param == 'https':
            server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert('localhost').configure_cert(server.tls)
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.05})
        thread.start()
        yield f'{request.param}://localhost:{server.server_port}'
        server.shutdown()
        thread.join(10)


@pytest.fixture
def surroundings(authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    """Environment of the programs: they find this package, and trust our server."""
    authority.cert_pem.write_to_path(str(tmp_path / 'ca.pem'))
    (tmp_path / 'letter.txt').write_bytes(LETTER)
    return {
        **os.environ,
        'PYTHONPATH': str(Path(dugong.__file__).parents[1]),
        'PYTHONUTF8': '1',
        'SSL_CERT_FILE': str(tmp_path / 'ca.pem'),
    }


def run(command: str, cwd: Path, env: dict[str, str]) -> str:
    """Run a command of an example, and return its output."""
    done = attempt(command, cwd, env)
    assert done.stderr.decode() == ''
    assert done.returncode == 0
    return done.stdout.decode()


def attempt(command: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Run a command of an example, which may fail."""
    python, program, *args = shlex.split(command)
    assert python == 'python'
    return subprocess.run(
        [sys.executable, '-W', 'error', EXAMPLES / program, *args],
        cwd=cwd,
        env=env,
        capture_output=True,
        timeout=240,  # importing pyarrow takes long on a busy machine
        check=False,
    )


def runs_shown(program: Path) -> list[tuple[str, str]]:
    """Return the commands in the docstring of a program, each with its output."""
    docstring = ast.get_docstring(ast.parse(program.read_text()), clean=False)
    assert docstring, program
    found = re.findall(r'^    \$ (.+)\n((?:    (?!\$ ).*\n)+)', docstring, re.MULTILINE)
    return [(command, re.sub('^    ', '', output, flags=re.MULTILINE)) for command, output in found]


def test_there_are_examples() -> None:
    assert len(PROGRAMS) >= 8
    readme = (EXAMPLES / 'README.md').read_text()
    assert [program.name for program in ALL if f'({program.name})' not in readme] == []


@pytest.mark.parametrize('program', PROGRAMS, ids=lambda program: program.stem)
def test_an_example_prints_the_output_it_shows(
    program: Path, origin: str, surroundings: dict[str, str], tmp_path: Path
) -> None:
    shown = runs_shown(program)
    assert shown
    for command, output in shown:
        assert program.name in command
        printed = run(command.replace('http://localhost:8000', origin), tmp_path, surroundings)
        assert printed.replace(origin, 'http://localhost:8000') == output


PIPELINES = [program for program in PROGRAMS if program.stem.startswith('pipeline_')]


@pytest.mark.parametrize('program', PIPELINES, ids=lambda program: program.stem)
def test_a_pipeline_of_many(program: Path, origin: str, surroundings: dict[str, str], tmp_path: Path) -> None:
    lines = run(f'python {program.name} {origin}/doc/ 1000', tmp_path, surroundings).splitlines()
    assert [line.split(',')[0] for line in lines] == [f'/doc/{i}: 200' for i in range(1, 1001)]


@pytest.mark.parametrize('how', ['close', 'reset'])
@pytest.mark.parametrize('program', PIPELINES, ids=lambda program: program.stem)
def test_a_pipeline_yields_responses_that_arrived_before_the_connection_was_lost(
    program: Path, how: str, origin: str, surroundings: dict[str, str], tmp_path: Path
) -> None:
    done = attempt(f'python {program.name} {origin}/three-and-{how}/ 20000', tmp_path, surroundings)
    assert done.stdout.decode().splitlines() == [f'/three-and-{how}/{i}: 200, 6 bytes' for i in (1, 2, 3)]
    assert 'ConnectionClosed: ' in done.stderr.decode()
    assert done.returncode == 1


def test_a_path_that_has_to_be_quoted(origin: str, surroundings: dict[str, str], tmp_path: Path) -> None:
    printed = run(f'python print_url.py "{origin}/grüße?an=ä b"', tmp_path, surroundings)
    assert printed == '200 OK, text/plain, utf-8, 16 bytes\nschöne Grüße\n'


def test_an_upload_to_a_url_without_path(origin: str, surroundings: dict[str, str], tmp_path: Path) -> None:
    printed = run(f'python upload.py letter.txt {origin}', tmp_path, surroundings)
    assert printed == 'the server wants 31 bytes\n201 Created\nstored 31 bytes\n'


def test_tail_of_less_than_the_buffer(origin: str, surroundings: dict[str, str], tmp_path: Path) -> None:
    printed = run(f'python tail.py 100 {origin}/doc/7', tmp_path, surroundings)
    assert printed == 'This is document 7.\nof 20 bytes\n'


def test_tail_that_begins_within_a_character(origin: str, surroundings: dict[str, str], tmp_path: Path) -> None:
    printed = run(f'python tail.py 1 {origin}/latin-1', tmp_path, surroundings)
    assert printed == '\N{REPLACEMENT CHARACTER}of 4 bytes\n'


@pytest.mark.parametrize('size', ['0', '-1'])
def test_tail_of_nothing(size: str, origin: str, surroundings: dict[str, str], tmp_path: Path) -> None:
    done = attempt(f'python tail.py {size} {origin}/log', tmp_path, surroundings)
    assert done.stderr.decode() == f'the size has to be at least 1, not {size}\n'
    assert done.returncode == 1
