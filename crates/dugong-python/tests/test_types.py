"""Type checkers accept the code of programs, and the stub agrees with the extension."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from interop_support import python_environment
from test_docs import DOCS, PAGES, blocks, is_there

from dugong import _dugong

#: Uses of a connection with the standard library.
PROGRAM = """
import io
import shutil

from dugong import HTTPConnection

conn = HTTPConnection('h', '80')
conn = HTTPConnection('h', 80, proxy=('proxy', '3128'), timeout=2.5)
conn.port = '8080'
with open('file', 'wb') as target:
    shutil.copyfileobj(conn, target)
with open('file', 'rb') as source:
    shutil.copyfileobj(source, conn)
lines: list[bytes] = io.BufferedReader(conn).readlines()
text: str = io.TextIOWrapper(conn, encoding='utf-8').read()
data: bytes = conn.read(10)
whole: bytes = conn.readall()


async def read() -> bytes:
    some: bytes = await conn.co_read(10)
    return some + await conn.co_readall()
"""


@pytest.fixture(scope='module')
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One program for each page, with the same line numbers."""
    folder = tmp_path_factory.mktemp('programs')
    (folder / 'program.py').write_text(PROGRAM)
    for page in PAGES:
        lines: list[str] = []
        for block in blocks(page.read_text()):
            if block.language == 'python' and is_there(block.marks.get('needs', 'dugong')):
                lines += [''] * (block.line - len(lines)) + block.text.splitlines()
        name = '_'.join(page.relative_to(DOCS).with_suffix('').parts).replace('-', '_')
        # The name of a page may be that of a package.
        (folder / f'page_{name}.py').write_text('\n'.join([*lines, '']))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    'checker',
    [
        # Some packages, such as pyarrow, have no types.
        ['mypy', '--check-untyped-defs', '--disable-error-code=import-untyped'],
        ['pyright', '--pythonpath', sys.executable],
    ],
    ids=['mypy', 'pyright'],
)
def test_the_examples_of_the_documentation_have_types(programs: Path, checker: list[str]) -> None:
    if not importlib.util.find_spec(checker[0]):
        pytest.skip(f'{checker[0]} is not installed')
    environment = python_environment()
    environment['PATH'] = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    files = sorted(path.name for path in programs.glob('*.py'))
    done = subprocess.run(
        [sys.executable, '-m', *checker, *files],
        cwd=programs,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr


STUB = Path(_dugong.__file__).with_name('_dugong.pyi')


def described() -> Iterator[tuple[str, object, str]]:
    """The classes and methods of the stub: name, object of the extension, and first docstring."""
    for cls in ast.parse(STUB.read_text()).body:
        if not isinstance(cls, ast.ClassDef) or not hasattr(_dugong, cls.name):
            continue
        there = getattr(_dugong, cls.name)
        yield cls.name, there, ast.get_docstring(cls) or ''
        texts: dict[str, str] = {}
        for method in cls.body:
            if isinstance(method, ast.FunctionDef) and not method.name.startswith('_'):
                texts[method.name] = texts.get(method.name) or ast.get_docstring(method) or ''
        for name, text in texts.items():
            yield f'{cls.name}.{name}', getattr(there, name), text


def test_the_stub_has_the_docstrings_of_the_extension() -> None:
    """Editors show the docstrings of the stub."""
    entries = list(described())
    assert len(entries) > 50
    for name, there, text in entries:
        assert text == inspect.getdoc(there), f'{name}: run update-stub'
