"""The names of the package: the same in the code, its documentation, its stub and its metadata."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from peers import Peer, Server

import dugong

CRATE = Path(__file__).parents[1]
REFERENCE = (CRATE.parents[1] / 'docs' / 'api.md').read_text()

TWINS = 'connect send_request write finish read_response read readinto readall discard pipeline'.split()

#: Modules that a bare interpreter lacks, and that are cheap to import.
CHEAP = set(
    '__future__ _collections _collections_abc _functools _operator collections collections.abc errno functools'
    ' itertools keyword operator reprlib select types weakref _weakrefset'.split()
)


def public(cls: type) -> list[str]:
    return sorted(name for name in vars(cls) if not name.startswith('_'))


def documented() -> set[str]:
    """Names that have an entry in the reference."""
    names: set[str] = set()
    for block in re.findall(r'```\{eval-rst\}\n(.*?)```', REFERENCE, re.DOTALL):
        for entry in re.findall(
            r'^\.\. (?:auto)?(?:class|exception|function|data|method|attribute|property):: (.*(?:\n {3,}[A-Z]\w*$)*)',
            block,
            re.M,
        ):
            names |= set(entry.split())
    return names


def python(code: str, *arguments: object) -> str:
    """Run *code* in a new interpreter that has only the standard library and the package."""
    source = Path(dugong.__path__[0]).parent
    start = f'import sys; at_start = set(sys.modules); sys.path.insert(0, {str(source)!r})\n'
    command = [sys.executable, '-I', '-S', '-W', 'error', '-c', start + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.stderr == ''
    return done.stdout


def test_the_reference_has_exactly_the_public_names() -> None:
    entries = {name for name in documented() if '.' not in name}
    in_running_text = {'__version__', 'log'}
    inherited = set(dugong._INHERITED)
    assert entries | in_running_text == set(dugong.__all__) - inherited
    [listed] = re.findall(r'3\.8\.2 had imported(.*?)\n\n', REFERENCE, re.DOTALL)
    assert set(re.findall(r'`(\w+)`', listed)) == inherited
    for name in in_running_text:
        assert f'`dugong.{name}`' in REFERENCE


def test_the_reference_has_exactly_the_members_of_a_connection() -> None:
    entries = {name.removeprefix('HTTPConnection.') for name in documented() if name.startswith('HTTPConnection.')}
    assert entries == set(public(dugong.HTTPConnection))


def test_1_1_there_are_no_other_public_names() -> None:
    modules = {name for name, value in vars(dugong).items() if inspect.ismodule(value)}
    others = {name for name in vars(dugong) if not name.startswith('_')} - set(dugong.__all__) - modules
    assert others <= {'annotations', 'TYPE_CHECKING'}


@pytest.mark.parametrize('name', public(dugong.HTTPConnection))
def test_1_6_every_member_of_a_connection_has_a_docstring(name: str) -> None:
    text = inspect.getdoc(getattr(dugong.HTTPConnection, name))
    assert text
    assert text[0].isupper()
    assert text.split('\n\n')[0].rstrip().endswith('.'), 'a docstring begins with a sentence'


def test_1_6_and_18_1_these_methods_have_twins() -> None:
    assert {name for name in public(dugong.HTTPConnection) if name.startswith('co_')} == {f'co_{n}' for n in TWINS}


@pytest.mark.parametrize('name', TWINS)
def test_1_6_docstrings_of_twins_name_each_other(name: str) -> None:
    regular, twin = getattr(dugong.HTTPConnection, name), getattr(dugong.HTTPConnection, f'co_{name}')
    assert f'`co_{name}`' in regular.__doc__
    assert f'`{name}`' in twin.__doc__
    assert 'to be awaited' in twin.__doc__ or 'async for' in twin.__doc__


@pytest.mark.parametrize('name', TWINS)
def test_18_1_twins_take_the_same_arguments(name: str) -> None:
    regular, twin = getattr(dugong.HTTPConnection, name), getattr(dugong.HTTPConnection, f'co_{name}')
    assert inspect.signature(regular) == inspect.signature(twin)


def test_the_version_is_the_same_everywhere() -> None:
    with (CRATE / 'Cargo.toml').open('rb') as file:
        assert dugong.__version__ == tomllib.load(file)['package']['version']
    if 'site-packages' in dugong.__path__[0]:
        assert dugong.__version__ == importlib.metadata.version('dugong')


def test_importing_the_package_imports_only_cheap_modules() -> None:
    imported = set(python('import dugong; print(*sys.modules.keys() - at_start)').split())
    assert {name for name in imported if name.split('.')[0] != 'dugong'} <= CHEAP


@pytest.mark.parametrize('used', ['read_response', 'headers'])
def test_modules_are_imported_when_they_are_needed(used: str) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.answer(b'content', headers=[('Date', 'Sat, 21 Nov 2026 12:00:00 GMT')])

    code = """
import dugong
with dugong.HTTPConnection('127.0.0.1', int(sys.argv[1])) as conn:
    conn.timeout = 10
    conn.send_request('GET', '/')
    resp = conn.read_response()
    if sys.argv[2] == 'headers':
        assert resp.headers['Date'].endswith('GMT')
    assert conn.readall() == b'content'
print(*sys.modules)
"""
    with Server(script) as server:
        modules = set(python(code, server.port, used).split())
    assert modules.isdisjoint({'ssl', '_ssl', 'asyncio', 'logging', 'typing'})
    assert ('email.message' in modules) == (used == 'headers')
    # The parser of structured fields would rewrite values, and is slow to import.
    assert modules.isdisjoint({'email.headerregistry', 'email._header_value_parser', 'email.policy'})


def test_the_package_says_that_it_has_types() -> None:
    assert (Path(dugong.__path__[0]) / 'py.typed').exists()
    assert (Path(dugong.__path__[0]) / '_dugong.pyi').exists()


def test_signatures_can_be_inspected() -> None:
    def parameters(thing: Any) -> str:
        return str(inspect.signature(thing))

    assert parameters(dugong.HTTPConnection) == ('(hostname, port=None, ssl_context=None, proxy=None, *, timeout=None)')
    assert parameters(dugong.HTTPConnection.send_request) == (
        '(self, /, method, path, headers=None, body=None, expect100=False)'
    )
