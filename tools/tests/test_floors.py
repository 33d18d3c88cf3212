"""Runs `tools/floors` over small trees with one thing wrong in each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FLOORS = Path(__file__).parents[1] / 'floors'


def faults(root: Path, files: dict[str, str]) -> list[str]:
    """The faults in a tree with these files."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    ran = subprocess.run([sys.executable, FLOORS, root], capture_output=True, text=True, check=False)
    assert (ran.returncode == 0) == (ran.stderr == ''), ran.stderr
    return ran.stderr.splitlines()


def crate(name: str, **modules: str) -> dict[str, str]:
    """A crate with these modules; `lib` has all of them as children."""
    lib = ''.join(f'mod {module};\n' for module in modules if module != 'lib') + modules.pop('lib', '')
    return {f'crates/{name}/src/{module}.rs': text for module, text in {'lib': lib, **modules}.items()}


def test_a_tree_whose_arrows_lead_down_is_right(tmp_path: Path) -> None:
    tree = crate('dugong-net', lib='use dugong_proto::Fields;', a='use crate::b::B;', b='pub struct B;')
    assert faults(tmp_path, tree) == []


@pytest.mark.parametrize('above', ['use dugong_http::Config;', 'fn f() { dugong_http::connect(); }'])
def test_a_crate_that_uses_one_above_it_is_named(tmp_path: Path, above: str) -> None:
    found = faults(tmp_path, crate('dugong-net', a=above))
    assert found == ['dugong-net uses dugong-http, which is not below it: crates/dugong-net/src/a.rs']


def test_a_crate_beside_is_not_below(tmp_path: Path) -> None:
    [found] = faults(tmp_path, crate('dugong-cli', a='use dugong_python::x;'))
    assert found.startswith('dugong-cli uses dugong-python')


def test_a_library_of_another_floor_is_named(tmp_path: Path) -> None:
    tree = crate('dugong-http', a='use socket2::Socket;', b='use crate::tokio::x;')
    found = faults(tmp_path, tree | crate('dugong-net', c='use socket2::Socket;'))
    assert found == ['dugong-http names socket2, which is for dugong-net: crates/dugong-http/src/a.rs']


def test_a_dependency_that_leads_up_is_named_and_one_of_the_tests_is_not(tmp_path: Path) -> None:
    manifest = '[dev-dependencies]\ndugong-http = "1"\n\n[dependencies]\ndugong-cli.workspace = true\n'
    found = faults(tmp_path, crate('dugong-net') | {'crates/dugong-net/Cargo.toml': manifest})
    assert found == ['dugong-net depends on dugong-cli, which is not below it: crates/dugong-net/Cargo.toml']


@pytest.mark.parametrize(
    'a',
    [
        'use crate::b::B;',
        'use super::b::B;',
        'use super::{b::{self, B}};',
        'fn f() { crate::b::g(); }',
        # Another file passes the name on.
        'use crate::B;',
        'use crate::c::B as Other;',
    ],
)
def test_a_circle_of_files_is_named(tmp_path: Path, a: str) -> None:
    modules = {'b': 'use super::a::A;\npub struct B; pub fn g() {}', 'c': 'pub use crate::b::B;'}
    found = faults(tmp_path, crate('dugong-http', lib='pub use b::B;', a=f'{a}\npub struct A;', **modules))
    assert found == ['dugong-http: 2 files in a circle: a.rs -> b.rs -> a.rs']


@pytest.mark.parametrize(
    'a',
    [
        '// use crate::b::B;',
        'const TEXT: &str = "use crate::b::B;";',
        '#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}',
        'pub use crate::b::B;',
    ],
)
def test_comments_strings_tests_and_passing_a_name_on_are_no_arrows(tmp_path: Path, a: str) -> None:
    assert faults(tmp_path, crate('dugong-http', a=f'{a}\npub struct A;', b='use super::a::A;\npub struct B;')) == []


def test_a_circle_between_folders_is_named(tmp_path: Path) -> None:
    tree = crate('dugong-http', lib='mod a;\nmod b;') | {
        'crates/dugong-http/src/a/mod.rs': 'pub(crate) mod inner;',
        'crates/dugong-http/src/a/inner.rs': 'use crate::b::B;\npub struct I;',
        'crates/dugong-http/src/b.rs': 'use crate::a::inner::I;\npub struct B;',
    }
    assert faults(tmp_path, tree) == ['dugong-http: 2 files in a circle: a/inner.rs -> b.rs -> a/inner.rs']


@pytest.mark.parametrize(
    'a', ['from . import _b', 'from ._b import f', 'import dugong._b', 'def f():\n    from dugong._b import g']
)
def test_a_circle_of_python_modules_is_named(tmp_path: Path, a: str) -> None:
    folder = 'crates/dugong-python/python/dugong'
    found = faults(tmp_path, {f'{folder}/_a.py': a, f'{folder}/_b.py': 'from ._a import f'})
    assert found == ['python: 2 files in a circle: _a.py -> _b.py -> _a.py']


def test_imports_for_types_alone_are_no_arrows(tmp_path: Path) -> None:
    folder = 'crates/dugong-python/python/dugong'
    a = 'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ._b import B'
    assert faults(tmp_path, {f'{folder}/_a.py': a, f'{folder}/_b.py': 'from ._a import f'}) == []


def test_files_that_are_too_long_are_named_and_tests_may_be_longer(tmp_path: Path) -> None:
    long = '//\n' * 701
    tree = {'crates/x/src/a.rs': long, 'crates/x/tests/a.rs': long, 'crates/x/tests/b.rs': '//\n' * 1101}
    assert faults(tmp_path, tree) == [
        'crates/x/src/a.rs has 701 lines; at most 700 are allowed here',
        'crates/x/tests/b.rs has 1101 lines; at most 1100 are allowed here',
    ]
