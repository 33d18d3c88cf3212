"""The wire transcripts of the project's corpus, as a program for 3.8.2 sees them.

The README of the corpus has the format. This test leaves out the parts that a caller cannot see: `version`, `close`,
unexpected interim responses, the place of an error, and the sent bytes, which have other fields (statements 8.5 to
8.9). `tolerate_missing_length` is on, as in the corpus (12.5). Then the
cases run again with the default.
"""

from __future__ import annotations

import fcntl
import itertools
import re
import socket
import struct
import termios
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from interop_support import PATIENCE

import dugong
from dugong import BodyFollowing, HTTPConnection, PollNeeded

T = TypeVar('T')

CORPUS = Path(__file__).parents[3] / 'corpus'

FACES = CORPUS.parent / 'docs' / 'faces.md'

INVALID = 'error InvalidResponse'
UNSUPPORTED = 'error UnsupportedResponse'
CLOSED = 'error ConnectionClosed'
STATE = 'error StateError'
VALUE = 'error ValueError'

#: Cases with other events here, with the statement, and the lines of all `events` blocks.
DIFFERENT: dict[str, tuple[str, list[str]]] = {
    # A response is pending when its request is complete, not before.
    'interim: A final response behind the 100 may still come before the content': ('9.4', ['response 100', 'end']),
    'persistence: Content that is not complete leaves the connection unusable': ('9.4', []),
    'persistence: Content that is completed during the response saves the connection': (
        '9.4',
        ['response 200', 'content ab', 'end'],
    ),
    "persistence: The client's word counts more than content that was not sent": ('9.4', []),
    "persistence: The server's word counts more than content that was not sent": ('9.4', []),
    # The next request goes out over a new connection, which has no server here.
    'persistence: A request after refused content is not sent': ('10.3', ['response 401', 'end']),
    'limits: A thousand and one fields are refused': ('11.6', ['response 200', 'end']),
    'fields: A head without fields is read': (
        '12.5',
        ['response 200', 'reason OK', 'field Connection: close', 'end', CLOSED],
    ),
    # Method and path go out unchanged, unless they could be taken for something else.
    'requests: The asterisk is for OPTIONS alone': ('8.10', []),
    # The caller's Host and Content-Length have no effect.
    'requests: A Content-Length of the caller that is not true is refused': ('8.6', []),
    'requests: A Content-Length that is no number is refused': ('8.6', []),
    'requests: A negative Content-Length is refused': ('8.6', []),
    'requests: A Content-Length without content is refused': ('8.6', []),
    'requests: A Content-Length beside chunked content is refused': ('8.6', []),
    'requests: Two Hosts are refused': ('8.6', []),
    'requests: Two equal Hosts are refused': ('8.6', []),
    'requests: TRACE has no content': ('9.1', []),
    'requests: Chunked is not offered in TE': ('8.5', []),
    'requests: A TE field that Connection does not name is refused': ('8.5', []),
    'requests: An Upgrade field that Connection does not name is refused': ('8.5', []),
    'limits: 65 interim responses are refused': ('10.4', ['response 200', 'end']),
    'tunnel: 101 to a request to upgrade opens a tunnel': ('10.4', [INVALID]),
    'tunnel: Nothing is sent behind a request that asks for an upgrade': ('8.5', []),
}

#: 12.5: without `tolerate_missing_length`, the first response of these is the last that can be read.
MISSING_LENGTH = [
    'fields: A head without fields is read',
    'framing: 205 without framing extends to the end of the connection',
    'framing: Identity alone counts as no coding',
    'framing: Content extends to the end of the connection',
    'framing: There is no end while the connection is open',
    'framing: Content may be empty',
    'framing: Keep-alive does not end the content',
    'framing: A connection that breaks is not an end',
    'incomplete: Close-delimited content breaks off',
    'incomplete: Close-delimited content breaks off before its first byte',
    'pipelining: Close-delimited content ends the answers',
]

# Reading the tables of faces.md


def table(heading: str) -> list[list[str]]:
    """The cells of the table that begins with this line."""
    lines = FACES.read_text(encoding='utf-8').split('\n')
    rows = itertools.takewhile(lambda line: line.startswith('|'), lines[lines.index(heading) + 2 :])
    return [[cell.strip() for cell in row[1:-1].split('|')] for row in rows]


def quoted(cell: str) -> list[str]:
    return cell.split('`')[1::2]


#: The beginnings of error lines in the corpus, and their names here.
NAMES = {
    code: f'error {quoted(row[3])[0]}'
    for row in table('| what happened | transcript | core and Rust clients | Python | exit code of `dugong get` |')
    for code in quoted(row[1])
}

#: The outcomes of a kind of cases, and the differences of this package.
KINDS = {
    row[0]: (row[3], quoted(row[5]))
    for row in table('| what happens | core | Rust clients | Python | why they differ | transcripts |')
}


# Reading the corpus


@dataclass
class Block:
    kind: str
    flag: str
    lines: list[str]

    @property
    def content(self) -> bytes:
        return b''.join(unescape(line) for line in self.lines)


@dataclass
class Case:
    area: str
    name: str
    blocks: list[Block] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f'{self.area}: {self.name}'


def cases() -> list[Case]:
    found: list[Case] = []
    for file in sorted(CORPUS.glob('*/*.md')):
        if file.parent.name == 'src':
            continue
        block: Block | None = None
        for line in file.read_text(encoding='utf-8').split('\n'):
            if block is not None:
                if line == '```':
                    block = None
                else:
                    block.lines.append(line)
            elif line.startswith('## '):
                found.append(Case(file.parent.name, line[3:].strip()))
            elif line.startswith('```'):
                kind, _, flag = line[3:].partition(' ')
                block = Block(kind, flag.strip(), [])
                found[-1].blocks.append(block)
    for case in found:
        kinds = [block.kind for block in case.blocks]
        if 'request' not in kinds:
            case.blocks.insert(kinds.index('receive'), Block('request', '', ['GET /']))
    return found


ESCAPE = re.compile(rb'\\(?:\{(\d+)\*([^}]*)\}|x([0-9a-fA-F]{2})|(.))', re.DOTALL)
SIMPLE = {b'r': b'\r', b'n': b'\n', b't': b'\t', b'0': b'\0', b'\\': b'\\', b's': b' '}


def unescape(text: str) -> bytes:
    def replace(match: re.Match[bytes]) -> bytes:
        times, repeated, code, letter = match.groups()
        if times:
            return int(times) * ESCAPE.sub(replace, repeated)
        return bytes([int(code, 16)]) if code else SIMPLE[letter]

    return ESCAPE.sub(replace, text.encode())


def escape(data: bytes | bytearray) -> str:
    names = {0x0D: '\\r', 0x0A: '\\n', 0x09: '\\t', 0: '\\0', 0x5C: '\\\\'}
    text = ''.join(names.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f'\\x{byte:02x}') for byte in data)
    return f'{text[:-1]}\\s' if text.endswith(' ') else text


def expected(case: Case) -> list[str]:
    """The events that this package has to report in the whole case."""
    lines: list[str] = []
    expects = sum('@expect' in block.lines for block in case.blocks)
    for block in case.blocks:
        if block.kind != 'events':
            continue
        for line in block.lines:
            word, _, rest = line.partition(' ')
            if word in ('version', 'close'):
                continue
            if word == 'interim':
                # 10.2: the first 100 answers the expectation; others are skipped.
                if rest == '100' and expects:
                    expects -= 1
                    lines.append('response 100')
                    lines.append('end')
            elif word == 'error':
                kind, code = rest.split()[:2]
                lines.append(NAMES.get(f'error {kind}') or NAMES[f'error {kind} {code}'])
            else:
                lines.append(line)
                if word == 'response':
                    expects = 0
            if lines and lines[-1] in (INVALID, UNSUPPORTED, CLOSED):
                return lines  # no events follow
    last = case.blocks[-1]
    if (
        last.kind == 'events'
        and last.lines
        and last.lines[-1].startswith('close ')
        and not last.lines[-1].endswith('-sent')
    ):
        lines.append(CLOSED)  # 14.2, by `Run.probe`
    return lines


# Running a case


class Starved(Exception):
    """The client waits for bytes that will not come."""


class Run:
    """The client and its server in one thread: when the client has to wait, the server sends the next piece."""

    def __init__(self, piece: int | None, tolerate: bool) -> None:
        self.piece = piece
        self.queue = bytearray()
        self.end = ''
        self.events: list[str] = []
        self.head = False
        self.response: Any = None
        self.content = bytearray()
        self.over = False
        self.expecting = False
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.conn = HTTPConnection('127.0.0.1', self.listener.getsockname()[1])
        self.conn.tolerate_missing_length = tolerate
        self.conn.connect()
        self.peer, _ = self.listener.accept()
        self.peer.settimeout(PATIENCE)
        self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.conn.disconnect()
        self.peer.close()
        self.listener.close()

    # The server

    def feed(self) -> bool:
        """Send the next piece, or the end. Return whether one was left."""
        if self.queue:
            size = self.piece or len(self.queue)
            self.peer.sendall(self.queue[:size])
            del self.queue[:size]
        elif self.end == 'eof':
            self.peer.shutdown(socket.SHUT_WR)
            self.end = ''
        elif self.end == 'reset':
            self.arrived()
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            self.peer.close()
            self.end = ''
        else:
            return False
        return True

    def arrived(self) -> None:
        """Wait until the client's system has all bytes that were sent."""
        if self.peer.fileno() < 0:
            return
        end = time.monotonic() + PATIENCE
        while struct.unpack('i', fcntl.ioctl(self.peer, termios.TIOCOUTQ, bytes(4)))[0]:
            assert time.monotonic() < end
            time.sleep(0.001)

    # The client

    def drive(self, crt: Generator[PollNeeded, None, T]) -> T:
        while True:
            try:
                need = next(crt)
            except StopIteration as stop:
                value: T = stop.value
                return value
            if need.mask & dugong.POLLOUT and not need.mask & dugong.POLLIN:
                assert need.poll(PATIENCE)
            elif not self.feed() and not self.ready(need):
                crt.close()
                raise Starved

    def ready(self, need: PollNeeded) -> bool:
        # (`poll` takes 0 for no limit.)
        if need.poll(0.0001):
            return True
        self.arrived()
        return need.poll(0.0001)

    def step(self, block: Block) -> None:
        if block.kind == 'receive':
            self.queue += block.content
            self.end = block.flag
        elif block.kind == 'events':
            self.head = block.flag == 'head'
            self.pull()
            self.flush_content()
        elif block.kind in ('request', 'write', 'finish'):
            if self.expecting and block.kind != 'request':
                # 10.1: the 100 has to be read before the body is written.
                self.pull()
                self.flush_content()
            while self.feed():
                pass
            self.arrived()
            try:
                self.drive(getattr(self, block.kind)(block))
            except Starved:
                raise AssertionError('sending waits for the server') from None
            except Exception as exc:
                self.failed(exc)

    def failed(self, exc: Exception) -> None:
        self.flush_content()
        if isinstance(exc, (dugong.StateError, dugong.ExcessBodyData)):
            self.events.append(f'error {type(exc).__name__}')
        elif isinstance(exc, ValueError):
            self.events.append(VALUE)
        else:
            self.over = True
            self.events.append(f'error {type(exc).__name__}')

    def request(self, block: Block) -> Generator[PollNeeded, None, None]:
        first, *rest = block.lines
        method, _, target = first.partition(' ')
        pairs: list[tuple[str, str]] = []
        body: BodyFollowing | None = None
        expect = False
        for line in rest:
            if line.startswith('@'):
                if line == '@expect':
                    expect = True
                else:
                    body = BodyFollowing(None if line == '@chunked' else int(line.split()[1]))
            else:
                pairs.append(pair(line))
        self.expecting = expect
        return self.conn.co_send_request(
            unescape(method).decode(), unescape(target).decode(), pairs, body=body, expect100=expect
        )

    def write(self, block: Block) -> Generator[PollNeeded, None, None]:
        return self.conn.co_write(block.content)

    def finish(self, block: Block) -> Generator[PollNeeded, None, None]:
        return self.conn.co_finish([pair(line) for line in block.lines])

    def flush_content(self) -> None:
        if self.content:
            size = len(self.content)
            self.events.append('content ' + (escape(self.content) if size <= 200 else f'{size} bytes'))
            self.content.clear()

    def pull(self) -> None:
        """Read all responses."""
        try:
            while self.response or self.conn.response_pending():
                if self.response:
                    self.pull_content()
                else:
                    self.pull_head()
        except Starved:
            pass
        except Exception as exc:
            self.failed(exc)

    def pull_head(self) -> None:
        self.response = response = self.drive(self.conn.co_read_response())
        self.expecting = False
        self.events.append(f'response {response.status}')
        if self.head:
            self.events.append(f'reason {escape(response.reason.encode("latin-1"))}'.rstrip())
            self.events.extend(shown('field', response.headers))

    def pull_content(self) -> None:
        data = self.drive(self.conn.co_read(65536))
        self.content += data
        if not data:
            self.flush_content()
            self.events.extend(shown('trailer', self.response.trailers))
            self.events.append('end')
            self.response = None

    def probe(self) -> None:
        """Make another request, if the connection allows it: it has to report the fault (14.6)."""
        while self.feed():
            pass
        self.arrived()
        try:
            self.drive(self.conn.co_send_request('GET', '/probe'))
            self.drive(self.conn.co_read_response())
        except Starved:
            self.events.append('nothing')
        except Exception as exc:
            self.failed(exc)
        else:
            self.events.append('an answer to another request')


def pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(':')
    return unescape(name).decode('latin-1'), unescape(value.removeprefix(' ')).decode('latin-1')


def shown(word: str, message: Any) -> Iterator[str]:
    for name, value in message.items():
        yield f'{word} {escape(name.encode("latin-1"))}: {escape(value.encode("latin-1"))}'.rstrip()


def tell(case: Case, piece: int | None, tolerate: bool, want: list[str]) -> list[str]:
    with Run(piece, tolerate) as run:
        for block in case.blocks:
            run.step(block)
            if run.over:
                break
        if not run.over and want[len(run.events) :] in ([INVALID], [CLOSED]):
            run.probe()
        return run.events


ALL = cases()


def connects(case: Case) -> int:
    """The number of CONNECT requests, which are not sent (7.10)."""
    return sum(block.kind == 'request' and block.lines[0].startswith('CONNECT ') for block in case.blocks)


def expected_here(case: Case, tolerate: bool) -> list[str]:
    want = DIFFERENT[case.id][1] if case.id in DIFFERENT else [VALUE] * connects(case) or expected(case)
    if case.id in MISSING_LENGTH and not tolerate:
        head = [line for line in want[:2] if line.startswith(('response', 'reason'))]
        return [*head, UNSUPPORTED]
    return want


def test_the_corpus_is_there() -> None:
    assert len(ALL) > 400


def test_each_difference_is_in_the_documentation_with_its_cases() -> None:
    different = {*DIFFERENT, *MISSING_LENGTH, *(case.id for case in ALL if connects(case))}
    documented = [case for cell, cases in KINDS.values() if not cell.startswith('the same') for case in cases]
    assert sorted(documented) == sorted({*documented}), 'a case has two rows'
    assert {*documented} == different


@pytest.mark.parametrize('kind', KINDS)
def test_a_difference_is_as_documented(kind: str) -> None:
    cell, ids = KINDS[kind]
    found = [case for case in ALL if case.id in ids]
    assert len(found) == len(ids)
    named = {f'error {name}' for name in quoted(cell) if hasattr(dugong, name) or name == 'ValueError'}

    def agrees(tolerate: bool) -> bool:
        told = {line for case in found for line in expected_here(case, tolerate) if line.startswith('error ')}
        return told <= named | {CLOSED} and named - {VALUE} <= told

    # The text of a cell is about one of the settings.
    assert cell.startswith('the same') or agrees(False) or agrees(True)


# The extension reads these bytes, and it is the same for each version of Python.
@pytest.mark.slow
@pytest.mark.parametrize('case', ALL, ids=lambda case: case.id)
def test_corpus(case: Case) -> None:
    """Each case in one piece, in small pieces, and, at the end, without leniency."""
    want = expected_here(case, True)
    size = sum(len(block.content) for block in case.blocks if block.kind == 'receive')
    assert tell(case, None, True, want) == want
    assert tell(case, 1 if size < 3000 else 997, True, want) == want
    want = expected_here(case, False)
    assert tell(case, None, False, want) == want
